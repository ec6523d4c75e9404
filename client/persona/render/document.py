"""Replies as JSON documents: the one encoder behind every `--json`.

A reply's struct, with `…_nanousd` as `…_usd` and `…_ms` as `…_s`, both written from the exact
integers; times in UTC; the `type` tag, which only the wire needs, left out.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from .values import decimal

_UNITS = {"_nanousd": ("_usd", 9), "_ms": ("_s", 3)}
"""Ending of a field on the wire: the ending in a document, and the decimal places it moves by."""


def render(reply: object, *, indent: bool = False) -> bytes:
    """One document, with a newline at its end."""
    encoded = msgspec.json.encode(_plain(reply, 0))
    return (msgspec.json.format(encoded) if indent else encoded) + b"\n"


def _plain(value: object, places: int) -> Any:
    """What msgspec encodes as the document wants it; numbers are divided by 10^`places`."""
    match value:
        case bool():
            return value
        case int() if places:
            return msgspec.Raw(decimal(value, places).encode())
        case float() if places:
            return value / 10**places
        case datetime():
            return value.astimezone(UTC)
        case msgspec.Struct():
            return dict(_field(value, name, places) for name in value.__struct_fields__)
        case Mapping():
            # Keys are data here, such as the names of metrics: no unit is read from them.
            return {key: _plain(item, places) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, places) for item in value]
        case _:
            return value


def _field(struct: msgspec.Struct, name: str, places: int) -> tuple[str, Any]:
    value = getattr(struct, name)
    for ending, (shown, moved) in _UNITS.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + shown, _plain(value, moved)
    return name, _plain(value, places)
