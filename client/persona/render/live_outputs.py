"""Where a batch is shown while it goes on: drawn in place, as lines for a log, as JSON, or not."""

import sys
from collections.abc import Callable
from typing import Protocol

import click
from rich.console import Console
from rich.text import Text

from personad.contract.batch import BatchState

from .live_frame import compact_line, frame
from .live_lines import Seen, json_lines, plain_lines
from .live_look import Look
from .painter import Painter

Draw = Callable[[BatchState, Look], list[Text]]
LookAt = Callable[[int, int], Look]
"""The look of a screen with so many columns and rows."""

_NO_SCREEN = 80
"""Columns and rows of who draws nothing."""


class Output(Protocol):
    """Shows a batch's changes. Each may raise OSError where nobody is there any more."""

    is_drawn: bool
    """Whether it is a picture that is kept up to date, rather than lines that pile up."""

    def show(self, state: BatchState, look: LookAt) -> None:
        """Shows what has changed since the last time."""

    def set_aside(self) -> None:
        """Leaves the terminal to others; showing again begins anew."""

    def resized(self) -> None:
        """The terminal may have another size than before."""


class Drawn:
    """A picture on a terminal, redrawn in place."""

    is_drawn = True

    def __init__(self, console: Console, draw: Draw, *, plain: bool) -> None:
        self._painter = Painter(console, plain=plain)
        self._draw = draw
        self._size = self._painter.size()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._size

    def show(self, state: BatchState, look: LookAt) -> None:
        self._painter.draw(self._draw(state, look(*self._size)))

    def set_aside(self) -> None:
        self._painter.leave()

    def resized(self) -> None:
        found = self._painter.size()
        if found != self._size:
            self._size = found
            self._painter.forget(*found)


class _Lines:
    """Lines that pile up."""

    is_drawn = False

    def __init__(self) -> None:
        self._seen = Seen()

    def set_aside(self) -> None:
        """What is written stays."""

    def resized(self) -> None:
        """Lines don't care."""


class JsonLines(_Lines):
    """One object a change, on stdout."""

    def show(self, state: BatchState, look: LookAt) -> None:
        tokens = look(_NO_SCREEN, _NO_SCREEN).tokens
        for text in json_lines(state, self._seen, tokens):
            sys.stdout.write(text)
        sys.stdout.flush()


class PlainLines(_Lines):
    """One line for each persona that ended, on stderr."""

    def show(self, state: BatchState, look: LookAt) -> None:
        for text in plain_lines(state, self._seen):
            click.echo(text, err=True)


class Silent(_Lines):
    """Nothing until the end."""

    def show(self, state: BatchState, look: LookAt) -> None:
        """Nothing."""


def detailed(console: Console, *, plain: bool) -> Drawn:
    """The whole view, on all the terminal but its last line."""
    return Drawn(console, frame, plain=plain)


def compact(console: Console, *, plain: bool) -> Drawn:
    """One line."""
    return Drawn(console, lambda state, look: [compact_line(state, look)], plain=plain)
