"""Single keys from a terminal, as they are pressed, and the terminal given back as it was."""

import os
import termios
from types import TracebackType

from msgspec import Struct

_ESCAPE = "\x1b"
_NAMES = {
    "[A": "up",
    "OA": "up",
    "[B": "down",
    "OB": "down",
    "[5~": "page-up",
    "[6~": "page-down",
    "[H": "home",
    "OH": "home",
    "[1~": "home",
    "[7~": "home",
    "[F": "end",
    "OF": "end",
    "[4~": "end",
    "[8~": "end",
}
_LONGEST_SEQUENCE = 32
_READ_BYTES = 1_024


class HungUp(Exception):
    """The terminal is gone."""


class Read(Struct, frozen=True):
    """Keys, and the beginning of one that has not arrived whole."""

    keys: list[str]
    rest: str = ""


class Keyboard:
    """Keys from the terminal at `descriptor`; Ctrl-C and Ctrl-Z stay signals.

    `hold` takes the terminal and `release` gives it back as it was found; either may be called
    again. Raises termios.error where `descriptor` is no terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._found = termios.tcgetattr(descriptor)
        self._rest = ""
        self.is_held = False

    def fileno(self) -> int:
        return self._descriptor

    def hold(self) -> None:
        """Lets keys through one by one, unseen."""
        single = [*self._found]
        single[3] &= ~(termios.ICANON | termios.ECHO)
        single[6] = [*self._found[6]]
        single[6][termios.VMIN], single[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, single)
        self.is_held = True

    def release(self) -> None:
        """Gives the terminal back; keys that nobody read don't become the shell's."""
        if self.is_held:
            self.is_held = False
            termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._found)

    def read(self) -> list[str]:
        """The keys pressed: single characters, or `up`, `page-down` and the like.

        To be called where something is there to read. Raises HungUp.
        """
        try:
            pressed = os.read(self._descriptor, _READ_BYTES)
        except OSError as error:
            raise HungUp from error
        if not pressed:
            raise HungUp
        found = parse(self._rest + pressed.decode(errors="replace"))
        self._rest = found.rest
        return found.keys

    def __enter__(self) -> "Keyboard":
        self.hold()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self.release()
        except termios.error:
            # The terminal is gone: there is nothing to give back.
            return


def parse(text: str) -> Read:
    """The keys in `text`; sequences that mean nothing here are left out whole."""
    keys: list[str] = []
    while text:
        if not text.startswith(_ESCAPE):
            keys.append(text[0])
            text = text[1:]
            continue
        length = _sequence_length(text)
        if length is None:
            return Read(keys, text)
        if name := _NAMES.get(text[1:length]):
            keys.append(name)
        text = text[length:]
    return Read(keys)


def _sequence_length(text: str) -> int | None:
    """Of the escape sequence that `text` begins with; None where its end is still to come."""
    if len(text) == 1:
        return None
    if text[1] == "O":
        return 3 if len(text) > 2 else None
    if text[1] != "[":
        return 1
    for place in range(2, min(len(text), _LONGEST_SEQUENCE)):
        if "@" <= text[place] <= "~":
            return place + 1
    return None if len(text) < _LONGEST_SEQUENCE else _LONGEST_SEQUENCE
