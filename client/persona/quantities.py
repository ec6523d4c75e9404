"""Amounts as people write them on the command line: money, exact, and durations."""

import math
import re
from decimal import Decimal

import click

_DOLLARS = re.compile(r"\$?(\d{1,10}(?:\.\d{0,9})?|\.\d{1,9})")
_NANO = 1_000_000_000
_MOST = 2**63 - 1


class Dollars(click.ParamType[int]):
    """A sum of money above zero, to the nano-dollar; given on as integer nano-dollars."""

    name = "USD"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip()
        found = _DOLLARS.fullmatch(text)
        nanousd = int(Decimal(found[1]) * _NANO) if found else 0
        if not 0 < nanousd <= _MOST:
            self.fail(
                f"{text!r} is no amount of dollars above zero, such as 5 or 0.25, with at most "
                "nine decimals",
                param,
                ctx,
            )
        return nanousd


class Seconds(click.FloatRange):
    """A duration; `nan` is none, though no comparison says so."""

    name = "seconds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)  # type: ignore[arg-type]
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return number
