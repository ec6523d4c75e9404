"""A price list that the user had fetched: kept beside the database, and checked before it counts.

Nothing in here asks the network; `persona cost prices update` does, when it is told to.
"""

import json
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from personad.whole import whole

if TYPE_CHECKING:
    from genai_prices.types import Provider

FILE = "prices.json"
_PATTERNS = frozenset({"regex", "api_pattern"})
_AMOUNTS = ("_mtok", "_kcount", "base", "price")
"""Endings of what holds dollars."""
_DEAREST, _DECIMALS = 1_000_000, 15
"""Dollars a million tokens, or a thousand calls, and their decimals: anything else is a mistake."""
_PLACES = 5
"""Of mistakes in a list, so many parts of the place are told."""


class BadList(ValueError):
    """What was given is no price list; the message says where it is wrong."""


class Fetched(NamedTuple):
    providers: "Sequence[Provider]"
    gathered_on: date

    @property
    def models(self) -> int:
        return sum(len(each.models) for each in self.providers)


def parsed(text: str) -> "Sequence[Provider]":
    """The list that `genai-prices` publishes. Raises BadList."""
    # There is no public way to it that doesn't fetch; the package's version is held by ours.
    from genai_prices.types import _providers_from_raw
    from pydantic import ValidationError

    try:
        raw: Any = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise BadList(f"it is no JSON: {error}") from None
    if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
        raise BadList("it is no list of providers")
    try:
        providers = _providers_from_raw(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"][:_PLACES]))
        raise BadList(f"{place}: {first['msg']}") from None
    except (ArithmeticError, AttributeError, KeyError, LookupError, TypeError, ValueError) as error:
        raise BadList(f"{type(error).__name__}: {error}") from None
    if not any(each.models for each in providers):
        raise BadList("there is no model in it")
    for number, each in enumerate(raw):
        _look_through(each, str(number), is_price=False)
    return providers


def _look_through(value: Any, place: str, *, is_price: bool) -> None:
    """What the package would only find when it prices a call, which is too late. Raises BadList."""
    if isinstance(value, dict):
        for key, each in value.items():
            inside = f"{place}.{key}"
            if key in _PATTERNS and isinstance(each, str):
                _compiled(each, inside)
            if is_price and key.endswith(_AMOUNTS) and not isinstance(each, dict | None):
                _is_amount(each, inside)
            _look_through(each, inside, is_price=is_price or key == "prices")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _look_through(each, f"{place}.{index}", is_price=is_price)


def _compiled(pattern: str, place: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadList(f"{place}: {error}") from None


def _is_amount(value: object, place: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadList(f"{place}: {value!r} is no number")
    exponent = Decimal(value).as_tuple().exponent
    if not 0 <= value <= _DEAREST or not isinstance(exponent, int) or exponent < -_DECIMALS:
        raise BadList(f"{place}: {value} is no price")


def keep(path: Path, text: str, on: date) -> Fetched:
    """Checks the list and writes it down. Raises BadList, OSError."""
    found = Fetched(parsed(text), on)
    with whole(path) as file:
        file.write(f'{{"gathered_on":"{on}","providers":'.encode() + text.encode() + b"}\n")
    return found


def kept(path: Path) -> Fetched | None:
    """What was kept; None: nothing was. Raises BadList, OSError."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise BadList(f"it is no UTF-8: {error}") from None
    head, comma, rest = text.partition(',"providers":')
    try:
        on = date.fromisoformat(json.loads(head + "}")["gathered_on"])
    except (ValueError, KeyError, TypeError):
        raise BadList("it doesn't say when it was fetched") from None
    if not comma:
        raise BadList("there are no providers in it")
    return Fetched(parsed(rest.rstrip().removesuffix("}")), on)
