"""What keys and signals do to a batch and to the view of it, and when the view is over."""

import io
import signal
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import UTC, datetime

from msgspec import Struct

from persona.app import Stopped
from persona.client import Ledger
from persona.generation.launch import RunnerFailed
from persona.identity import event_id
from persona.outcome import ALL_DONE, INTERRUPTED, exit_status
from persona.watch import Watch
from personad.contract.batch import OPEN, BatchState, Cancel, Pause
from personad.contract.errors import LedgerError

from . import values
from .live_frame import sight
from .live_lines import detach_lines, pausing_line, resume_line
from .live_look import Look

TWICE_S = 2.0
"""A second Ctrl-C within this time leaves at once."""
NOTICE_S = 10.0
"""How long something that was said can be read."""
LOOKS_BEFORE = 2
"""The first look is the one that draws what was said."""
ASK_S = 10.0
"""How long a steering request may take; keys are not heard meanwhile."""


class Left(Struct, frozen=True, kw_only=True):
    """How a view ended."""

    status: int
    """The exit status."""
    state: BatchState
    """As it was last seen."""
    is_detached: bool = False
    """The batch goes on without its starter."""
    is_silent: bool = False
    """There is nobody left to tell anything."""
    notes: list[str] = []
    """What to say on stderr."""


class Steering:
    """The view's side of things that change: what is asked for, where it is scrolled to.

    Args:
        owner: Whether this is who started the batch, whose Ctrl-C pauses it.
        resume: Allows a paused batch to run again and starts its new runner.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        ledger: Ledger,
        watched: Watch,
        *,
        owner: bool,
        resume: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._watched = watched
        self._owner = owner
        self._resume = resume
        self._clock = clock
        self._top: int | None = None
        self._is_asking = False
        self._notice: str | None = None
        self._notice_until = float("-inf")
        self._left_at: float | None = None
        self._is_leaving = False
        self._resumes_next = False
        self._resumes_in: int | None = None
        """After so many more looks at the batch: the view is drawn before."""
        self.left: Left | None = None
        """Set when the view is over."""

    @property
    def state(self) -> BatchState:
        return self._watched.state

    @property
    def is_saying(self) -> bool:
        """Whether there is a notice that will go away by itself."""
        return self._notice is not None

    @property
    def is_hurried(self) -> bool:
        """Whether something is to be done as soon as the view has been drawn."""
        return self._resumes_in is not None

    def look(self, width: int, height: int, *, plain: bool, has_keys: bool) -> Look:
        """What a screen of this size is to show now."""
        problem = self._watched.problem
        notice = self._current_notice() or (
            f"the ledger does not answer; this is what was last known: {problem}"
            if problem
            else None
        )
        return Look(
            width=width,
            height=height,
            now=datetime.now(UTC),
            tokens=self._watched.tokens,
            top=None if self.left else self._top,
            plain=plain,
            keys="none" if self.left or not has_keys else "owning" if self._owner else "watching",
            is_asking=self._is_asking,
            notice=values.clean(notice) if notice else None,
        )

    def mind(self, *, has_keys: bool) -> None:
        """Draws the conclusions from the batch's present state."""
        state = self.state
        status = exit_status(state)
        if self._resumes_in is not None:
            self._resumes_in -= 1
            if self._resumes_in == 0:
                self._resumes_in = None
                self._go_on()
            return
        if status is None or self.left is not None:
            return
        if state.status not in OPEN:
            self._leave(status)
        elif self._resumes_next and state.status == "paused":
            self._resumes_next = False
            self._go_on()
        elif self._is_leaving:
            self._leave(INTERRUPTED, resume_line(state))
        elif not (has_keys and (not self._owner or _was_wanted(state))):
            self._leave(status, resume_line(state))

    def hear(self, number: signal.Signals, *, has_terminal: bool) -> str | None:
        """A signal that ends things; gives a line to say, if there is one.

        Raises:
            LedgerError: a pause was asked for by who can't ask again, and couldn't be had.
        """
        if number == signal.SIGHUP and has_terminal:
            self.hang_up()
            return None
        if number == signal.SIGINT:
            return self._interrupt()
        if not self._owner or self._is_leaving:
            self._leave(INTERRUPTED, *([resume_line(self.state)] if self._owner else []))
            return None
        reason = "terminal" if number == signal.SIGHUP else "shutdown"
        self._ask(Pause(batch=self.state.batch, reason=reason, id=event_id()))
        self._is_leaving = True
        return pausing_line(self.state)

    def hang_up(self) -> None:
        """The terminal is gone: the batch goes on without it."""
        self.left = Left(status=ALL_DONE, state=self.state, is_detached=self._owner, is_silent=True)

    def press(self, key: str, screen: Look) -> None:
        """A key, on what `screen` shows."""
        self._notice = None
        if self._is_asking:
            self._is_asking = False
            if key in "yY":
                self._try(Cancel(batch=self.state.batch, id=event_id()))
            return
        is_open = self.state.status in OPEN
        match key:
            case "q" if self._owner:
                self._interrupt()
            case "q":
                self._leave(ALL_DONE)
            case "d" if self._owner and is_open:
                self.left = Left(
                    status=ALL_DONE,
                    state=self.state,
                    is_detached=True,
                    notes=detach_lines(self.state),
                )
            case "p" if is_open:
                self._toggle()
            case "c" if is_open:
                self._is_asking = True
            case "f":
                self._top = None
            case _:
                self._scroll(key, screen)

    def _scroll(self, key: str, screen: Look) -> None:
        seen = sight(self.state, screen)
        page = max(1, seen.end - seen.top - 1)
        moves = {
            "up": -1,
            "down": 1,
            "page-up": -page,
            "page-down": page,
            "home": -seen.top,
            "end": len(self.state.personas),
        }
        if key in moves and seen.end - seen.top < len(self.state.personas):
            wanted = max(0, seen.top + moves[key])
            self._top = sight(self.state, screen.at(wanted)).top

    def _interrupt(self) -> str | None:
        """Ctrl-C: whoever started the batch pauses it, others only leave."""
        now = self._clock()
        if not self._owner:
            self._leave(INTERRUPTED)
            return None
        again = self._left_at is not None and now - self._left_at <= TWICE_S
        if again or self.state.status in ("paused", "interrupted"):
            self._leave(INTERRUPTED, resume_line(self.state))
            return None
        self._left_at = now
        self._is_leaving, self._resumes_next = True, False
        if not self._try(Pause(batch=self.state.batch, id=event_id())):
            return self._notice
        self._say("Ctrl-C again within 2 seconds leaves at once", for_s=TWICE_S)
        return pausing_line(self.state)

    def _toggle(self) -> None:
        match self.state.status:
            case "queued" | "running":
                self._try(Pause(batch=self.state.batch, id=event_id()))
            case "pausing":
                # Its runner still holds it: only when that has let go can a new one take over.
                self._is_leaving, self._resumes_next = False, True
                self._say("it goes on as soon as what is in flight is finished")
            case _ if self._resume is not None:
                # Its runner takes a moment to load, in which no key is heard: so it is said first.
                self._say("starting a runner that goes on with it …")
                self._resumes_in = LOOKS_BEFORE
            case _:
                self._say(f"`persona batch resume {self.state.batch}` goes on with it")

    def _go_on(self) -> None:
        self._is_leaving = False
        if self._resume is None:
            self._say(f"`persona batch resume {self.state.batch}` goes on with it")
            return
        said = io.StringIO()
        try:
            # What it says would stand in the middle of the view.
            with redirect_stderr(said):
                self._resume(self.state.batch)
        except (LedgerError, OSError, RunnerFailed, Stopped) as error:
            self._say(
                "; ".join((f"it could not be resumed: {error}", *said.getvalue().splitlines()))
            )
            return
        self._notice = None
        self._watched.poll()

    def _try(self, request: Pause | Cancel) -> bool:
        """Asks; where it can't be done, that is said and the view goes on."""
        try:
            self._ask(request)
        except LedgerError as error:
            self._say(f"{error}; {error.hint}" if error.hint else str(error))
            return False
        return True

    def _ask(self, request: Pause | Cancel) -> None:
        """A batch that ended in the meantime needs no steering: the view will hear of it.

        Raises LedgerError.
        """
        try:
            self._ledger.ask(request, timeout_s=ASK_S)
        except LedgerError as error:
            if error.code != "conflict":
                raise
        self._watched.poll()

    def _say(self, notice: str, *, for_s: float = NOTICE_S) -> None:
        self._notice = notice
        self._notice_until = self._clock() + for_s

    def _current_notice(self) -> str | None:
        if self._clock() > self._notice_until:
            self._notice = None
        return self._notice

    def _leave(self, status: int, *notes: str) -> None:
        self.left = Left(status=status, state=self.state, notes=list(notes))


def _was_wanted(state: BatchState) -> bool:
    """Whether somebody paused it on purpose, and may go on with it by a key."""
    return state.status == "paused" and state.reason == "user"
