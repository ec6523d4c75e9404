"""A runner's way to the ledger, from asynchronous code.

Ledger calls block, so they run in threads. There are a few lines to the daemon, and everything
about one persona goes by the same line: so its events arrive in order, also through the spool. One
more line is kept free for what steers the batch, so that no work ever delays a renewal.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from persona.client import Ledger
from persona.generation.standing import HoldLost
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

T = TypeVar("T")
logger = logging.getLogger(__name__)


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
        self, events: Sequence[AnyEvent], *, about: int = 0, held: bool = True
    ) -> bool:
        """Returns once the events are safe; those about one persona, by its place, stay in order.

        True where the ledger has them, False where they wait in the spool. A fact stays one when
        the hold on the batch is lost: it is then recorded without the fence, and so it is where
        the hold doesn't matter (`held=False`).

        Raises:
            HoldLost: the events are recorded, and nothing more is to be started.
            LedgerError: neither ledger nor spool takes them.
        """
        line = self._lines[about % LINES]
        fence = Fence(batch=self._batch, fence=self._fence) if held else None
        try:
            return await self._by(line, lambda line: _recorded(line, events, fence))
        except LedgerError as error:
            if error.code != "conflict" or not held:
                raise
            await self._by(line, lambda line: _recorded(line, events, None))
            raise HoldLost(error.message) from None

    async def start_call(self, call: c.StartCall, *, about: int) -> None:
        """Returns once the call is granted; waits for as long as nobody can grant it.

        Raises:
            HoldLost: the batch is to start no more calls.
            LedgerError: the ledger refuses, or is away for too long.
        """
        fenced = msgspec.structs.replace(call, fence=self._fence)
        until = anyio.current_time() + PATIENCE_S
        while True:
            try:
                reply = await self._by(
                    self._lines[about % LINES], lambda line: line.ledger.ask(fenced)
                )
            except LedgerError as error:
                if error.code == "conflict":
                    raise HoldLost(error.message) from None
                if error.code != "unavailable" or anyio.current_time() >= until:
                    raise
                logger.warning("no call can be granted now: %s", error)
            else:
                match reply:
                    case c.Granted():
                        return
                    case c.Refused():
                        raise LedgerError("budget-exceeded", f"the {reply.budget} budget is spent")
                    case c.Wait():
                        until = anyio.current_time() + PATIENCE_S
            await anyio.sleep(RETRY_S)

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
