"""A terminal for the live view to be drawn on: its screen, and a program that runs on it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping

from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n])", re.DOTALL)
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)
DEADLINE_S = 20.0


class Screen:
    """What stands on a terminal; knows what the painter uses, and refuses anything else."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.row = self.column = 0
        self.wraps = True
        self.cursor_is_shown = True
        self._cells: list[list[str]] = [[] for _ in range(rows)]

    @property
    def lines(self) -> list[str]:
        return ["".join(cells).rstrip() for cells in self._cells]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()

    def feed(self, written: str) -> None:
        at = 0
        while at < len(written):
            token = _TOKEN.match(written, at)
            assert token, f"a terminal is not told {written[at : at + 12]!r}"
            at = token.end()
            private, number, command, control, character = token.groups()
            if command:
                self._obey(private + command, number)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._down()
            else:
                self._put(character)

    def _obey(self, command: str, number: str) -> None:
        match command:
            case "A":
                self.row = max(0, self.row - int(number))
            case "B":
                self.row = min(self.rows - 1, self.row + int(number))
            case "K":
                assert number == "2"
                self._cells[self.row] = []
            case "J":
                self._cells[self.row] = self._cells[self.row][: self.column]
                for below in range(self.row + 1, self.rows):
                    self._cells[below] = []
            case "?h" | "?l" if number == "7":
                self.wraps = command == "?h"
            case "?h" | "?l" if number == "25":
                self.cursor_is_shown = command == "?h"
            case "m":
                pass
            case _:
                raise AssertionError(f"a terminal is not told {command} {number}")

    def _down(self) -> None:
        if self.row == self.rows - 1:
            self._cells = [*self._cells[1:], []]
        else:
            self.row += 1

    def _put(self, character: str) -> None:
        width = cell_len(character)
        if self.column + width > self.columns:
            if not self.wraps:
                return
            self.column = 0
            self._down()
        cells = self._cells[self.row]
        cells.extend(" " * (self.column + width - len(cells)))
        cells[self.column : self.column + width] = [character, *[""] * (width - 1)]
        self.column += width


class Program:
    """A program on a terminal of its own; what it writes there is shown on `screen`."""

    def __init__(
        self,
        arguments: list[str],
        *,
        program: str = sys.executable,
        columns: int = 100,
        rows: int = 24,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.screen = Screen(columns, rows)
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self._ours)
        command = [sys.executable, "-c", _TAKE_TERMINAL, program, *arguments]
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **(environ or {})},
        )
        os.close(theirs)

    @property
    def modes(self) -> int:
        """The terminal's local modes at this moment."""
        return int(termios.tcgetattr(self._ours)[3])

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def until(self, seen: str | Callable[[Screen], bool]) -> str:
        """Waits until the screen shows `seen`, and gives it."""
        until = time.monotonic() + DEADLINE_S
        while not (seen in self.screen.text if isinstance(seen, str) else seen(self.screen)):
            left_s = until - time.monotonic()
            assert left_s > 0, f"not seen in time: {seen}\n{self.screen.text}"
            if not self._read(left_s):
                raise AssertionError(f"it ended without: {seen}\n{self.screen.text}")
        return self.screen.text

    def end(self) -> int:
        """Waits until it has ended; the exit status."""
        until = time.monotonic() + DEADLINE_S
        while self._read(until - time.monotonic()):
            assert time.monotonic() < until, f"it does not end\n{self.screen.text}"
        return self._process.wait(DEADLINE_S)

    def hang_up(self) -> int:
        """The terminal is closed under it; the exit status."""
        os.close(self._ours)
        self._ours = -1
        return self._process.wait(DEADLINE_S)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._ours >= 0:
            os.close(self._ours)

    def _read(self, wait_s: float) -> bool:
        """Takes what was written, if anything is in time; False at its end."""
        if not select.select([self._ours], [], [], max(0.0, wait_s))[0]:
            return True
        try:
            written = os.read(self._ours, 65_536)
        except OSError:
            return False
        self._undecoded = getattr(self, "_undecoded", b"") + written
        text = self._undecoded.decode(errors="ignore")
        whole = text.encode()
        if not self._undecoded.startswith(whole) or _is_cut(text):
            return True
        self._undecoded = self._undecoded[len(whole) :]
        self.screen.feed(text)
        return True


def _is_cut(text: str) -> bool:
    """Whether `text` ends within an escape sequence."""
    last = text.rfind("\x1b")
    return last >= 0 and not re.match(r"\x1b\[\??[0-9;]*[A-Za-z]", text[last:])
