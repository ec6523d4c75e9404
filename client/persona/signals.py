"""Signals as something to read: they wake a loop instead of breaking into what it does."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

HEARD = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGWINCH,
    signal.SIGTSTP,
    signal.SIGCONT,
)
_MAY_BE_IGNORED = frozenset({signal.SIGINT, signal.SIGHUP, signal.SIGTSTP})
"""A shell in the background, or `nohup`, has these ignored: that stays so."""

_Handler = Callable[[int, FrameType | None], Any] | int | None


class Signals:
    """While open, the signals of `HEARD` do nothing but make `fileno` readable.

    For the main thread only. What handled them before does so again afterwards.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> "Signals":
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in HEARD:
            handler = signal.getsignal(number)
            if handler is signal.SIG_IGN and number in _MAY_BE_IGNORED:
                continue
            self._before[number] = handler
            signal.signal(number, _hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        return self._read

    def read(self) -> list[signal.Signals]:
        """The signals that have come since the last time, in their order."""
        try:
            return [signal.Signals(number) for number in os.read(self._read, 1_024)]
        except BlockingIOError:
            return []

    def stop_here(self) -> None:
        """Stops this process as Ctrl-Z does, and returns when it goes on."""
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            signal.raise_signal(signal.SIGTSTP)
        finally:
            signal.signal(signal.SIGTSTP, handler)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Has SIGTERM and SIGHUP unwind this process, so that what is half done is cleared away: a
    terminal that was closed, or a time limit, would leave it for ever.

    What handles them already, or ignores them, stays.
    """
    before = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before.append(number)
                signal.signal(number, _end)
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _hear(number: int, frame: FrameType | None) -> None:
    """The number was written where `fileno` points to: that is all."""
