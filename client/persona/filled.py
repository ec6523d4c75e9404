"""The type of options and arguments that name something."""

import click


def filled(text: str) -> str:
    """Raises click.BadParameter for nothing but white space, as an unset variable leaves it."""
    if not text.strip():
        raise click.BadParameter("it is empty: leave it out, or say which")
    return text
