"""Dollars as people write them → exact nano-dollars."""

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
