"""Watching a batch in a terminal, a log or a program, and steering it by keys and signals.

One thread, one loop: it waits for what the daemon publishes, for keys and for signals, and draws
when something has changed, at most so many times a second. The terminal is given back as it was,
whichever way the view ends.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import click

from persona.app import App
from persona.keyboard import HungUp, Keyboard
from persona.signals import Signals
from persona.watch import Watch

from . import live_lines
from .live_look import Look
from .live_outputs import Drawn, JsonLines, Output, PlainLines, Silent, compact, detailed
from .live_steering import Left, Steering

_TICK_S = 1.0
"""Times go on by the second, and a watch wants to be asked so often."""


def watch(app: App, batch: str, mode: str, *, owner: bool = False, **options: Any) -> int:
    """As `follow`; gives only the exit status."""
    return follow(app, batch, mode, owner=owner, **options).status


def follow(
    app: App,
    batch: str | Watch,
    mode: str,
    *,
    owner: bool = False,
    resume: Callable[[str], None] | None = None,
    on_detach: Callable[[], None] | None = None,
    result_line: bool = True,
) -> Left:
    """Shows a batch until it has ended, stands still, or nobody looks any more.

    Args:
        batch: An id, or a watch that the caller closes.
        mode: `detailed`, `compact`, `quiet` or `json`; where there is no terminal to draw on, the
            first two are one line for each persona that ends.
        owner: Whether Ctrl-C and `q` pause the batch, as in `generate`; else they only leave.
        resume: Allows a paused batch to run again and starts a new runner for it; may raise
            LedgerError, RunnerFailed or OSError.
        on_detach: Called when the batch is to go on without this process.
        result_line: Whether to end with one line on stdout (never in `json`).

    Raises:
        LedgerError: there is no such batch, or no daemon.
    """
    with ExitStack() as stack:
        if isinstance(batch, Watch):
            watched = batch
        else:
            watched = stack.enter_context(Watch(app.ledger, app.paths, batch))
        steering = Steering(app.ledger, watched, owner=owner, resume=resume)
        left = stack.enter_context(_Loop(app, watched, steering, mode)).run()
    if left.is_detached and on_detach is not None:
        on_detach()
    if left.is_silent:
        return left
    if result_line and mode != "json" and not left.is_detached and _has_result(left):
        click.echo(live_lines.result_line(left.state, os.getcwd()))
    for note in left.notes:
        app.note(note)
    return left


def _has_result(left: Left) -> bool:
    """Whether the batch has come to an end or a standstill; leaving early has no result."""
    return left.state.status not in ("queued", "running", "pausing")


class _Loop:
    """The view while it is open: holds the terminal, and gives it back."""

    def __init__(self, app: App, watched: Watch, steering: Steering, mode: str) -> None:
        self._app = app
        self._watched = watched
        self._steering = steering
        self._plain = app.errors.no_color or not app.errors.encoding.startswith("utf")
        self._output = _output(app, mode, plain=self._plain)
        self._signals = Signals()
        self._keyboard = _keyboard() if self._output.is_drawn else None
        self._has_terminal = sys.stderr.isatty()
        self._is_aside = False
        self._draw_every_s = 1 / app.settings.generate.progress.refresh_hz

    def __enter__(self) -> "_Loop":
        with ExitStack() as stack:
            stack.enter_context(self._signals)
            if self._keyboard is not None:
                stack.enter_context(self._keyboard)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack, suppress(OSError):
            # An OSError here is a terminal that is gone.
            self._output.set_aside()

    def run(self) -> Left:
        """Shows the batch until the view is over."""
        is_stale, drawn_at, polled_at = True, float("-inf"), time.monotonic()
        while True:
            self._steering.mind(has_keys=self._keyboard is not None)
            if self._steering.left is not None:
                return self._finish(self._steering.left)
            now = time.monotonic()
            is_stale = (self._is_aside and self._take_back()) or is_stale
            is_stale = is_stale or (self._ticks and now - drawn_at >= _TICK_S)
            if is_stale and now - drawn_at >= self._rest_s:
                self._show()
                is_stale, drawn_at = False, now
            # While a drawing waits for its turn, what is published can wait as well.
            wait_s = drawn_at + self._rest_s - now if is_stale else _TICK_S
            wait_s = 0.0 if self._steering.is_hurried and not is_stale else max(0.0, wait_s)
            ready = self._wait(wait_s, hears_ledger=not is_stale)
            if self._signals in ready:
                is_stale = self._take_signals() or is_stale
            if self._keyboard in ready:
                is_stale = self._take_keys() or is_stale
            now = time.monotonic()
            if self._watched in ready or now - polled_at >= _TICK_S or is_stale:
                is_stale = self._watched.poll() or is_stale
                polled_at = now

    @property
    def _rest_s(self) -> float:
        """The least time between two showings; lines are never held back."""
        return self._draw_every_s if self._output.is_drawn else 0.0

    @property
    def _ticks(self) -> bool:
        """Whether what is shown changes with time alone."""
        goes_on = self._steering.state.status in ("running", "pausing")
        return self._output.is_drawn and (goes_on or self._steering.is_saying)

    def _wait(self, wait_s: float, *, hears_ledger: bool) -> list[object]:
        sources: list[Any] = [self._signals]
        if hears_ledger:
            sources.append(self._watched)
        if self._keyboard is not None and self._keyboard.is_held:
            sources.append(self._keyboard)
        ready: list[object] = select.select(sources, [], [], wait_s)[0]
        return ready

    def _look(self, columns: int, rows: int) -> Look:
        # A line is left for the shell's prompt that the view was started from.
        return self._steering.look(
            columns, max(1, rows - 1), plain=self._plain, has_keys=self._keyboard is not None
        )

    def _show(self) -> None:
        if self._is_aside:
            return
        try:
            self._output.show(self._steering.state, self._look)
        except BrokenPipeError:
            raise
        except OSError:
            if not self._output.is_drawn:
                raise
            self._steering.hang_up()

    def _finish(self, left: Left) -> Left:
        if not left.is_silent:
            self._show()
        return left

    def _take_signals(self) -> bool:
        for number in self._signals.read():
            match number:
                case signal.SIGWINCH:
                    if not self._is_aside:
                        self._output.resized()
                case signal.SIGTSTP:
                    self._set_aside()
                    self._signals.stop_here()
                    self._take_back()
                case signal.SIGCONT:
                    self._take_back()
                case _:
                    said = self._steering.hear(number, has_terminal=self._has_terminal)
                    if said and not self._output.is_drawn:
                        self._app.note(said)
        return True

    def _take_keys(self) -> bool:
        assert self._keyboard is not None
        assert isinstance(self._output, Drawn)
        try:
            for key in self._keyboard.read():
                self._steering.press(key, self._look(*self._output.size))
        except HungUp:
            self._steering.hang_up()
        return True

    def _set_aside(self) -> None:
        """The shell takes the terminal."""
        self._output.set_aside()
        if self._keyboard is not None:
            self._keyboard.release()
        self._is_aside = True

    def _take_back(self) -> bool:
        """Makes the terminal ours again, unless somebody else is in front of it; whether it did.

        Looked after again and again: not every shell tells a job that it was brought back.
        """
        if not self._is_aside or (self._output.is_drawn and not _is_in_front()):
            return False
        self._is_aside = False
        self._output.resized()
        if self._keyboard is not None:
            self._keyboard.hold()
        return True


def _output(app: App, mode: str, *, plain: bool) -> Output:
    if mode == "json":
        return JsonLines()
    if mode == "quiet" or app.flags.quiet:
        return Silent()
    can_draw = sys.stderr.isatty() and os.environ.get("TERM") not in (None, "", "dumb", "unknown")
    if not can_draw or not _is_in_front():
        return PlainLines()
    draw = compact if mode == "compact" else detailed
    return draw(app.errors, plain=plain)


def _keyboard() -> Keyboard | None:
    """Keys, where somebody sits at a terminal that is ours."""
    return Keyboard(sys.stdin.fileno()) if sys.stdin.isatty() and _is_in_front() else None


def _is_in_front() -> bool:
    """Whether the terminal is this job's: one in the background must neither draw nor read."""
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except OSError:
        # A terminal that controls no job, as a container's may be.
        return True
