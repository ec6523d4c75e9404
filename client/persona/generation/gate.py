"""Where calls wait for their turn: none is asked for before its provider can be expected to answer.

What is held up is told to the ledger, so that whoever watches sees why nothing happens.
"""

import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import anyio

from persona.generation.pace import Pace, Turn
from persona.generation.providers.base import ProviderError
from persona.generation.standing import Standing

TELL_S = 5.0
"""A shorter hold-up is not worth a fact."""

Held = Callable[[str | None, datetime | None], Coroutine[None, None, None]]
"""Tells why nothing is started, and until when; None: it goes on."""

logger = logging.getLogger(__name__)


class Slept(ProviderError):
    """The machine slept while the call was on its way: its answer is lost, nobody has failed."""

    def __init__(self) -> None:
        super().__init__("connection", "the machine slept during the call", maybe_paid=True)


class Gate:
    """The one way to a provider, for all personas of a run."""

    def __init__(
        self,
        pace: Pace,
        standing: Standing,
        *,
        tell: Held | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace = pace
        self._standing = standing
        self._tell = tell
        self._clock = clock
        self._told: tuple[str, int] | None = None
        self._flying: set[anyio.CancelScope] = set()

    async def enter(self) -> Turn:
        """Returns when a call may be made.

        Raises:
            HoldLost: nothing more is to be started.
        """
        while wait_s := self._pace.wait_s(self._clock()):
            await self._standing.until_change(wait_s)
        return self._pace.begin(self._clock())

    @property
    def is_shut(self) -> bool:
        """Whether not even what was granted is to be sent."""
        return not self._standing.may_send

    @property
    def was_missed(self) -> bool:
        """Whether the ledger says already that nobody knows what was granted came to."""
        return self._standing.was_missed

    def held_s(self) -> float:
        """How long nothing will be started from now on."""
        return self._pace.held_s(self._clock())

    async def leave(self, turn: Turn, error: ProviderError) -> None:
        """A call has ended without an answer."""
        if isinstance(error, Slept):
            self._pace.drop(turn)
        else:
            asked_s = error.retry_after_s
            # Of what is no number, every comparison is false.
            asked_s = asked_s if asked_s is not None and asked_s > 0 else 0.0
            self._pace.end(turn, self._clock(), error.kind, min(asked_s, 24 * 3_600.0))
        self._standing.wake()
        await self.report()

    def answered(self, turn: Turn) -> None:
        """A call has ended with an answer; `report` is to follow once that is safe."""
        self._pace.end(turn, self._clock(), None, 0.0)
        self._standing.wake()

    def drop(self, turn: Turn) -> None:
        """A call was not made, or not waited for."""
        self._pace.drop(turn)
        self._standing.wake()

    @contextmanager
    def flying(self, scope: anyio.CancelScope) -> Iterator[None]:
        """A call is on its way in here; `woke` cancels `scope`."""
        self._flying.add(scope)
        try:
            yield
        finally:
            self._flying.discard(scope)

    def woke(self) -> None:
        """The machine has slept: no answer that was awaited will come."""
        for scope in self._flying:
            scope.cancel()

    async def waits_for_money(self, waits: bool) -> None:
        """A call is held up, or no longer, until others have been billed."""
        if waits:
            await self._say("budget", None)
        elif self._told is not None and self._told[0] == "budget":
            await self._say(None, None)

    async def report(self) -> None:
        """Tells where calls began to be held up, or are no longer."""
        held_s = self.held_s()
        if held_s < TELL_S:
            if self._told is not None and self._told[0] != "budget":
                await self._say(None, None)
        elif self._pace.is_broken:
            await self._say("breaker", held_s)
        elif self._told is None:
            await self._say("rate limit", held_s)

    async def _say(self, why: str | None, held_s: float | None) -> None:
        told = None if why is None else (why, round(self._clock() + (held_s or 0)) * bool(held_s))
        if told == self._told:
            return
        self._told = told
        until = None if held_s is None else datetime.now(UTC) + timedelta(seconds=held_s)
        logger.info("%s", f"no call is started: {why}, until {until}" if why else "it goes on")
        if self._tell is not None:
            await self._tell(why, until)
