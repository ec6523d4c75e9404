"""US dollars on the command line, as integer nano-dollars: no amount passes through a float."""

import re

import click

NANO = 10**9
PLACES = 9
MOST_NANOUSD = 10**9 * NANO
"""A thousand million dollars: more is a slip of the keyboard."""

_AMOUNT = re.compile(r"\$?([0-9]{1,18})?(?:\.([0-9]*))?", re.ASCII)


def parse(text: str, *, may_be_nothing: bool = False) -> int:
    """`5`, `0.25` or `$12.50` in nano-dollars.

    Raises ValueError, with what is wrong: it is no amount, nothing, negative, too small or too
    large.
    """
    word, wanted = text.strip(), "0 or more" if may_be_nothing else "an amount above 0"
    found = _AMOUNT.fullmatch(word)
    if word.startswith(("-", "$-")):
        raise ValueError(f"{text} is negative: write {wanted}")
    if found is None or not (found[1] or found[2]):
        raise ValueError(f"{text!r} is no amount: write dollars such as 5 or 0.25")
    part = (found[2] or "").rstrip("0")
    if len(part) > PLACES:
        raise ValueError(f"{text} has over {PLACES} decimals: a nano-dollar is the least there is")
    nanousd = int(found[1] or 0) * NANO + int(part.ljust(PLACES, "0"))
    if not (nanousd or may_be_nothing):
        raise ValueError(f"{text} is nothing: write {wanted}")
    if nanousd > MOST_NANOUSD:
        raise ValueError(f"{text} is over a thousand million dollars")
    return nanousd


def usd(text: str) -> int:
    """The type of an option that takes an amount above nothing, handed over in nano-dollars."""
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
