"""The type of options that take a day."""

from datetime import date, datetime

import click


def day(text: str) -> date:
    """Raises click.BadParameter for what is no day of the calendar."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise click.BadParameter(f"{text!r} is no date: write such as 2026-10-05") from None
