"""A runner's way to the ledger, from asynchronous code.

Ledger calls block, so they run in threads. There are a few lines to the daemon, and everything
about one persona goes by the same line: so its events arrive in order, also through the spool.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread

from persona.client import Ledger
from persona.spool import Recorder, Spool
from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import Request
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Fence
from personad.contract.paths import Paths

LINES = 4
RETRY_S = 1.0

T = TypeVar("T")
logger = logging.getLogger(__name__)


class HoldLost(Exception):
    """Another runner has the batch, or it has ended: nothing more is to be started."""


class _Line:
    def __init__(self, paths: Paths, spool: Spool) -> None:
        self.ledger = Ledger(paths)
        self.recorder = Recorder(self.ledger, spool)
        self.turn = anyio.Lock()


class Books:
    """One batch's bookkeeping; `fence` goes with everything that is recorded."""

    def __init__(self, paths: Paths, batch: str, runner: str) -> None:
        self._batch = batch
        self._runner = runner
        self._fence = 0
        self._lines = [_Line(paths, Spool(paths.spool_dir)) for _ in range(LINES)]

    async def claim(self) -> b.BatchStatus:
        """Raises LedgerError `conflict` where another runner has the batch."""
        claimed = await self.ask(b.Claim(batch=self._batch, runner=self._runner))
        self._fence = claimed.fence
        return claimed.status

    async def renew(self) -> b.BatchStatus:
        request = b.Renew(batch=self._batch, runner=self._runner, fence=self._fence)
        return (await self.ask(request)).status

    async def resign(self) -> b.BatchStatus:
        """Raises LedgerError `conflict` where the batch is to go on."""
        request = b.Resign(batch=self._batch, runner=self._runner, fence=self._fence)
        return (await self.ask(request)).status

    async def ask(self, request: Request[T]) -> T:
        line = self._lines[-1]
        return await self._by(line, lambda: line.ledger.ask(request))

    async def record(self, events: Sequence[AnyEvent], *, about: int = 0) -> None:
        """Returns once the events are safe; those about one persona, by its place, stay in order.

        A fact stays one when the hold on the batch is lost: it is then recorded without the fence.
        """
        line = self._lines[about % LINES]
        fence = Fence(batch=self._batch, fence=self._fence)
        try:
            await self._by(line, lambda: line.recorder.record(events, fence=fence))
        except LedgerError as error:
            if error.code != "conflict":
                raise
            await self._by(line, lambda: line.recorder.record(events))
            raise HoldLost(error.message) from None

    async def start_call(self, call: c.StartCall, *, about: int) -> None:
        """Returns once the call is granted; waits for as long as nobody can grant it.

        Raises:
            HoldLost: the batch is to start no more calls.
        """
        line = self._lines[about % LINES]
        fenced = c.StartCall(
            call=call.call,
            provider=call.provider,
            model=call.model,
            max_input_tokens=call.max_input_tokens,
            max_output_tokens=call.max_output_tokens,
            batch=call.batch,
            persona=call.persona,
            attempt=call.attempt,
            experiment=call.experiment,
            fence=self._fence,
        )
        while True:
            try:
                reply = await self._by(line, lambda: line.ledger.ask(fenced))
            except LedgerError as error:
                if error.code == "conflict":
                    raise HoldLost(error.message) from None
                if error.code != "unavailable":
                    raise
                logger.warning("no call can be granted now: %s", error)
            else:
                match reply:
                    case c.Granted():
                        return
                    case c.Refused():
                        raise LedgerError("budget-exceeded", f"the {reply.budget} budget is spent")
                    case c.Wait():
                        pass
            await anyio.sleep(RETRY_S)

    async def settle(self) -> None:
        """Waits until nothing of this runner's is in a spool."""
        for line in self._lines:
            while not await self._settled(line):
                await anyio.sleep(RETRY_S)

    async def _settled(self, line: _Line) -> bool:
        try:
            settled = await self._by(line, line.recorder.settle)
        except LedgerError as error:
            if error.code != "unavailable":
                raise
            return False
        return settled

    async def _by(self, line: _Line, call: Callable[[], T]) -> T:
        async with line.turn:
            # Not cancelled half-way: whether the ledger has it would then be unknown.
            with anyio.CancelScope(shield=True):
                done = await anyio.to_thread.run_sync(call)
            return done  # noqa: RET504 - a cancel scope may swallow what is in it

    def close(self) -> None:
        for line in self._lines:
            line.recorder.close()
            line.ledger.close()
