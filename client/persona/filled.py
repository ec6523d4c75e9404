"""The types and options of what has to be named: by nothing but white space nothing is."""

from collections.abc import Callable
from typing import TypeVar

import click

T = TypeVar("T")


def filled(text: str) -> str:
    """Raises click.BadParameter for nothing but white space, as an unset variable leaves it."""
    if not text.strip():
        raise click.BadParameter("it is empty: leave it out, or say which")
    return text


def file_option(function: Callable[..., T]) -> Callable[..., T]:
    """`-o/--output FILE`, handed over as `path: str | None`, where the command itself writes it."""
    return click.option(
        "-o",
        "--output",
        "path",
        type=filled,
        metavar="FILE",
        help="Write to FILE, whole or not at all.",
    )(function)
