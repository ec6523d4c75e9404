"""A runner's way to the ledger, from asynchronous code.

Ledger calls block, so they run in threads. There are a few lines to the daemon, and everything
about one persona goes by the same line: so its events arrive in order, also through the spool. One
more line is kept free for what steers the batch, so that no work ever delays a renewal.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from persona.client import Ledger
from persona.generation.facts import not_sent
from persona.generation.standing import HoldLost
from persona.refused import refusal
from persona.spool import Recorder, Spool, Spooled
from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import Request
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Fence
from personad.contract.paths import Paths
from personad.contract.progress import Progress

LINES = 4
RETRY_S = 1.0
PATIENCE_S = 3_600.0
"""How long a runner waits for a daemon that is away; then it ends, and its batch can be resumed."""

WAIT_MIN_S, WAIT_MAX_S = 0.5, 15.0
"""How long a call that has to wait for money does so before it asks again, though nothing of this
runner's was billed meanwhile: others may have been."""

_BILLS = (c.CostRecorded, c.CallAbandoned)
"""What ends a reservation."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class BudgetRefused(Exception):
    """No call may be made any more: it could cost more than a budget has left."""

    def __init__(self, refused: c.Refused) -> None:
        super().__init__(refusal(refused))


async def _nobody_hears(_: bool) -> None:
    """For who doesn't care why it takes so long."""


class _Line:
    def __init__(self, paths: Paths, *, autostart: bool) -> None:
        self.ledger = Ledger(paths, autostart=autostart)
        self.recorder = Recorder(self.ledger, Spool(paths.spool_dir))
        self.turn = anyio.Lock()


class Books:
    """One batch's bookkeeping; `fence` goes with everything that is recorded."""

    def __init__(self, paths: Paths, batch: str, runner: str, *, autostart: bool = True) -> None:
        self._batch = batch
        self._runner = runner
        self._fence = 0
        self._lines = [_Line(paths, autostart=autostart) for _ in range(LINES)]
        self._steering = _Line(paths, autostart=autostart)
        # Threads of their own: behind work that fills all others, a renewal would come too late.
        self._threads = anyio.CapacityLimiter(LINES + 1)
        self._billed = anyio.Event()

    async def claim(self) -> b.BatchStatus:
        """Raises LedgerError `conflict` where another runner has the batch."""
        claimed = await self.ask(b.Claim(batch=self._batch, runner=self._runner))
        self._fence = claimed.fence
        return claimed.status

    async def renew(self) -> b.BatchStatus:
        """Raises LedgerError `conflict` where the batch is not this runner's any more."""
        request = b.Renew(batch=self._batch, runner=self._runner, fence=self._fence)
        return (await self.ask(request)).status

    async def resign(self) -> b.BatchStatus:
        """Raises LedgerError `conflict` where the batch is to go on."""
        request = b.Resign(batch=self._batch, runner=self._runner, fence=self._fence)
        return (await self.ask(request)).status

    async def show(self) -> b.BatchState:
        return await self.ask(b.BatchShow(batch=self._batch))

    async def status(self) -> b.BatchStatus:
        return (await self.show()).status

    async def ask(self, request: Request[T], *, patience_s: float = PATIENCE_S) -> T:
        """What the ledger answers; while it is away, it is asked again for `patience_s`.

        Raises LedgerError.
        """
        until = anyio.current_time() + patience_s
        while True:
            try:
                return await self._by(self._steering, lambda line: line.ledger.ask(request))
            except LedgerError as error:
                if error.code != "unavailable" or anyio.current_time() >= until:
                    raise
                logger.warning("the ledger is away: %s", error)
            await anyio.sleep(RETRY_S)

    async def record(
        self,
        events: Sequence[AnyEvent],
        *,
        about: int = 0,
        held: bool = True,
        first: Callable[[], None] | None = None,
        then: Callable[[], None] | None = None,
    ) -> bool:
        """Returns once the events are safe; those about one persona, by its place, stay in order.

        True where the ledger has them, False where they wait in the spool. A fact stays one when
        the hold on the batch is lost: it is then recorded without the fence, and so it is where
        the hold doesn't matter (`held=False`). What has to be done before, and what is done once
        the ledger has them, is done in the same thread: each change of threads costs as much again.

        Raises:
            HoldLost: the events are recorded, and nothing more is to be started.
            LedgerError: neither ledger nor spool takes them.
        """
        line = self._lines[about % LINES]
        fence = Fence(batch=self._batch, fence=self._fence) if held else None

        def recorded(line: _Line) -> bool:
            if first is not None:
                first()
            has_it = _recorded(line, events, fence)
            if has_it and then is not None:
                then()
            return has_it

        try:
            has_it = await self._by(line, recorded)
        except LedgerError as error:
            if error.code != "conflict" or not held:
                raise
            await self._by(line, lambda line: _recorded(line, events, None))
            raise HoldLost(error.message) from None
        if has_it and any(isinstance(each, _BILLS) for each in events):
            self._billed.set()
            self._billed = anyio.Event()
        return has_it

    async def start_call(
        self,
        call: c.StartCall,
        *,
        about: int,
        waits: Callable[[bool], Awaitable[None]] = _nobody_hears,
        begins: Sequence[AnyEvent] = (),
    ) -> None:
        """Returns once the call is granted and `begins` are safe; waits while nobody can grant it.

        What waits for money asks again when a call of this runner's was billed, and now and then.
        `waits` is told that it begins, and that it is over.

        Raises:
            BudgetRefused: a budget has too little left, and nothing in flight can change that.
            HoldLost: the batch is to start no more calls.
            LedgerError: the ledger refuses, or is away for too long.
        """
        fenced = msgspec.structs.replace(call, fence=self._fence)
        until, wait_s = anyio.current_time() + PATIENCE_S, WAIT_MIN_S
        while True:
            billed = self._billed
            try:
                reply = await self._by(
                    self._lines[about % LINES], lambda line: self._granted(line, fenced, begins)
                )
            except LedgerError as error:
                if error.code == "conflict":
                    raise HoldLost(error.message) from None
                if error.code != "unavailable" or anyio.current_time() >= until:
                    raise
                logger.warning("no call can be granted now: %s", error)
                await anyio.sleep(RETRY_S)
                continue
            match reply:
                case c.Granted():
                    await waits(False)
                    return
                case c.Refused():
                    raise BudgetRefused(reply)
                case c.Wait():
                    await waits(True)
            with anyio.move_on_after(wait_s):
                await billed.wait()
            until, wait_s = anyio.current_time() + PATIENCE_S, min(2 * wait_s, WAIT_MAX_S)

    def _granted(
        self, line: _Line, call: c.StartCall, begins: Sequence[AnyEvent]
    ) -> c.Granted | c.Wait | c.Refused:
        """Raises LedgerError; a call that was granted and can't begin is abandoned."""
        reply = line.ledger.ask(call)
        if begins and isinstance(reply, c.Granted):
            try:
                _recorded(line, begins, Fence(batch=self._batch, fence=self._fence))
            except LedgerError:
                _recorded(line, [*begins, not_sent(call.call, "stopped")], None)
                raise
        return reply

    async def tell(self, tokens: dict[str, int]) -> None:
        """Says how many tokens have come, by persona: a hint, asked once.

        Raises LedgerError.
        """
        request = Progress(batch=self._batch, fence=self._fence, tokens=tokens)
        await self.ask(request, patience_s=0)

    async def settle(self) -> None:
        """Waits until nothing of this runner's is in a spool.

        Raises:
            LedgerError: the ledger doesn't take it, or is away for too long.
        """
        until = anyio.current_time() + PATIENCE_S
        for line in self._lines:
            while not await self._settled(line, until):
                await anyio.sleep(RETRY_S)

    async def _settled(self, line: _Line, until: float) -> bool:
        try:
            return await self._by(line, lambda line: line.recorder.settle())
        except LedgerError as error:
            if error.code != "unavailable" or anyio.current_time() >= until:
                raise
            return False

    async def _by(self, line: _Line, call: Callable[[_Line], T]) -> T:
        async with line.turn:
            # Not cancelled half-way: whether the ledger has it would then be unknown.
            with anyio.CancelScope(shield=True):
                done = await anyio.to_thread.run_sync(call, line, limiter=self._threads)
            return done  # noqa: RET504 - a cancel scope may swallow what is in it

    def close(self) -> None:
        for line in (*self._lines, self._steering):
            line.recorder.close()
            line.ledger.close()


def _recorded(line: _Line, events: Sequence[AnyEvent], fence: Fence | None) -> bool:
    return not isinstance(line.recorder.record(events, fence=fence), Spooled)
