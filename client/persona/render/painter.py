"""Lines drawn in place at the end of a terminal's scroll: only those that changed are written.

Rich's own Live writes a frame whole each time and doesn't know what a narrower window did to it.
Nothing here wraps: a line that the terminal counts wider than we do is cut, not folded.
"""

import os
from collections.abc import Sequence
from typing import IO

from rich.console import COLOR_SYSTEMS, Console
from rich.text import Text

_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_NO_LINE, _REST_OF_SCREEN = "\x1b[2K", "\x1b[J"
_USUAL_SIZE = (80, 24)


class Painter:
    """What stands on the screen below the cursor's line of departure.

    Raises OSError where the terminal is gone.
    """

    def __init__(self, console: Console, *, plain: bool) -> None:
        self._console = console
        self._colours = None if plain else COLOR_SYSTEMS.get(console.color_system or "")
        self._file: IO[str] = console.file
        self._shown: list[str] = []
        self._lines: list[Text] = []

    def size(self) -> tuple[int, int]:
        """The terminal's columns and rows at this moment."""
        try:
            found = os.get_terminal_size(self._file.fileno())
        except OSError:
            return _USUAL_SIZE
        return found.columns or _USUAL_SIZE[0], found.lines or _USUAL_SIZE[1]

    def draw(self, lines: Sequence[Text]) -> None:
        """Makes the screen show `lines`; the cursor stays at the end of the last one."""
        drawn = [
            self._shown[place]
            if place < len(self._shown) and line is self._lines[place]
            else self._encoded(line)
            for place, line in enumerate(lines)
        ]
        out: list[str] = []
        at = len(self._shown) - 1 if self._shown else 0
        for place, line in enumerate(drawn):
            if place < len(self._shown):
                if line == self._shown[place]:
                    continue
                out.append(_moved(place - at))
            elif place:
                # Not a movement: at the bottom of the screen it makes room.
                out.append(_moved(place - 1 - at) + "\n")
            out.append("\r" + _NO_LINE + line)
            at = place
        last = len(drawn) - 1
        if len(self._shown) > len(drawn):
            out.append(_moved(last + 1 - at) + "\r" + _REST_OF_SCREEN)
            at = last + 1
        if out or at != last:
            out.append(_moved(last - at))
            begin = "" if self._shown else _HIDE_CURSOR
            self._write(begin + _NO_WRAP + "".join(out) + _WRAP)
        self._shown, self._lines = drawn, list(lines)

    def forget(self, columns: int, rows: int) -> None:
        """Takes away what is shown, on a screen that has changed its size since.

        Terminals fold lines that have become too long, so they take more rows than were drawn.
        """
        if not self._shown:
            return
        height = sum(max(1, -(-line.cell_len // columns)) for line in self._lines)
        self._write(_moved(-min(height - 1, rows - 1)) + "\r" + _REST_OF_SCREEN)
        self._shown, self._lines = [], []

    def leave(self) -> None:
        """What is shown stays; the cursor goes below it. Drawing again begins anew."""
        if self._shown:
            self._write("\r\n" + _SHOW_CURSOR)
        self._shown, self._lines = [], []

    def _encoded(self, line: Text) -> str:
        if self._colours is None:
            return line.plain
        return "".join(
            part.style.render(part.text, color_system=self._colours) if part.style else part.text
            for part in line.render(self._console)
        )

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()


def _moved(rows: int) -> str:
    """Down, or up where negative."""
    if not rows:
        return ""
    return f"\x1b[{rows}B" if rows > 0 else f"\x1b[{-rows}A"
