"""The type of options that take a score that something can be below."""

import math

import click


def score(text: str) -> float:
    """Raises click.BadParameter for what is no number above 0, up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise click.BadParameter(f"{text!r} is no score above 0, up to 1; write such as 0.8")
    return value
