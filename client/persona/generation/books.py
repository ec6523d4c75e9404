"""A runner's way to the ledger, from asynchronous code.

Ledger calls block, so they run in threads. There are a few lines to the daemon, and everything
about one persona goes by the same line: so its events arrive in order, also through the spool. One
more line is kept free for what steers the batch, so that no work ever delays a renewal.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import msgspec

from persona.client import Ledger
from persona.generation import responses
from persona.generation.responses import Responses
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

LINES = 2
"""Each has a thread, and threads that do a little at a time wake each other more than they work."""
ASKING = 8
"""Lines that calls are granted over, which takes no thread."""
TOGETHER = 16
"""How many jobs a line's thread does before it says what became of them."""
ANSWER_S = 30.0
RETRY_S = 1.0
PATIENCE_S = 3_600.0
"""How long a runner waits for a daemon that is away; then it ends, and its batch can be resumed."""

WAIT_MIN_S, WAIT_MAX_S = 0.5, 15.0
"""How long a call that has to wait for money does so before it asks again, though nothing of this
runner's was billed meanwhile: others may have been."""

_BILLS = (c.CostRecorded, c.CallAbandoned)
"""What ends a reservation."""

T = TypeVar("T")
Making = Generator[responses.Record, None, Sequence[AnyEvent]]
"""Makes events; what it yields is on the disk before it goes on."""
Events = Sequence[AnyEvent] | Callable[[], Sequence[AnyEvent] | Making]
"""Events, or what makes them, in a thread."""
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
        self.waiting: deque[_Job] = deque()


class _Job:
    """Something that is to be done by a line's thread: events to be recorded, or another call."""

    def __init__(
        self,
        *,
        events: Events = (),
        fence: Fence | None = None,
        then: Callable[[], None] | None = None,
        call: Callable[[_Line], Any] | None = None,
    ) -> None:
        self.events = events
        self.fence = fence
        self.then = then
        self.call = call
        self.ready: Sequence[AnyEvent] = ()
        """The events, once they are made."""
        self.is_done = False
        self.found: Any = None
        self.error: BaseException | None = None

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.found


class Books:
    """One batch's bookkeeping; `fence` goes with everything that is recorded."""

    def __init__(self, paths: Paths, batch: str, runner: str, *, autostart: bool = True) -> None:
        self._batch = batch
        self._runner = runner
        self._fence = 0
        self.responses = Responses(paths.runs_dir / batch / responses.FOLDER)
        self._lines = [_Line(paths, autostart=autostart) for _ in range(LINES)]
        self._asking = [_Line(paths, autostart=autostart) for _ in range(ASKING)]
        self._steering = _Line(paths, autostart=autostart)
        # Threads of their own: behind work that fills all others, a renewal would come too late.
        self._threads = anyio.CapacityLimiter(LINES + ASKING + 1)
        self._bills = 0
        self._billed: anyio.Event | None = None
        """While somebody waits for money."""

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
        events: Events,
        *,
        about: int = 0,
        held: bool = True,
        then: Callable[[], None] | None = None,
    ) -> bool:
        """Returns once the events are safe; those about one persona, by its place, stay in order.

        True where the ledger has them, False where they wait in the spool. A fact stays one when
        the hold on the batch is lost: it is then recorded without the fence, and so it is where
        the hold doesn't matter (`held=False`). What makes the events, and what is done once the
        ledger has them, is done in the same thread: each change of threads costs as much again.

        Raises:
            HoldLost: the events are recorded, and nothing more is to be started.
            LedgerError: neither ledger nor spool takes them.
            Exception: whatever making the events raises; nothing is recorded then.
        """
        line = self._lines[about % LINES]
        fence = Fence(batch=self._batch, fence=self._fence) if held else None
        job = _Job(events=events, fence=fence, then=then)
        try:
            has_it: bool = await self._done(line, job)
        except LedgerError as error:
            if error.code != "conflict" or not held:
                raise
            await self._done(line, _Job(events=job.ready))
            raise HoldLost(error.message) from None
        if has_it and any(isinstance(each, _BILLS) for each in job.ready):
            self._bills += 1
            if self._billed is not None:
                self._billed.set()
                self._billed = None
        return has_it

    async def start_call(
        self,
        call: c.StartCall,
        *,
        about: int,
        waits: Callable[[bool], Awaitable[None]] = _nobody_hears,
    ) -> None:
        """Returns once the call is granted; waits while nobody can grant it.

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
            bills = self._bills
            try:
                reply = await self._asked(self._asking[about % ASKING], fenced)
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
            if bills == self._bills:
                self._billed = self._billed or anyio.Event()
                with anyio.move_on_after(wait_s):
                    await self._billed.wait()
            until, wait_s = anyio.current_time() + PATIENCE_S, min(2 * wait_s, WAIT_MAX_S)

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

    async def _asked(self, line: _Line, request: Request[T]) -> T:
        """The ledger's answer, without a thread where there is a connection already.

        Raises LedgerError.
        """
        # Not cancelled half-way: the answer would then stand in the next one's way.
        with anyio.CancelScope(shield=True):
            async with line.turn:
                if (asked := line.ledger.begin(request)) is not None:
                    with anyio.move_on_after(ANSWER_S):
                        while True:
                            await anyio.wait_readable(asked.connection.fileno())
                            if (reply := asked.answer()) is not None:
                                return reply
                    line.ledger.close()
        return await self._by(line, lambda line: line.ledger.ask(request))

    async def _by(self, line: _Line, call: Callable[[_Line], T]) -> T:
        found: T = await self._done(line, _Job(call=call))
        return found

    async def _done(self, line: _Line, job: _Job) -> Any:
        """What the job came to. Whoever gets the line does what waits for it, not only his own."""
        line.waiting.append(job)
        # Not cancelled half-way: whether the ledger has it would then be unknown.
        with anyio.CancelScope(shield=True):
            async with line.turn:
                while not job.is_done:
                    jobs = [line.waiting.popleft() for _ in range(min(TOGETHER, len(line.waiting)))]
                    do = partial(_do, line, self.responses, jobs)
                    await anyio.to_thread.run_sync(do, limiter=self._threads)
        return job.outcome()

    def close(self) -> None:
        self.responses.close()
        for line in (*self._lines, *self._asking, self._steering):
            line.recorder.close()
            line.ledger.close()


def _do(line: _Line, kept: Responses, jobs: Sequence[_Job]) -> None:
    """Does all of them, in their order; what is to be recorded goes into one request."""
    together: list[_Job] = []
    for job in jobs:
        if job.call is not None:
            _attempt(job, partial(job.call, line))
            continue
        events = job.events
        _attempt(job, events if callable(events) else partial(tuple, events))
        together.append(job)
    _make_together(kept, [job for job in together if isinstance(job.found, Generator)])
    made = [job for job in together if job.error is None]
    for job in made:
        job.ready = job.found
    for fence in dict.fromkeys(_key(job.fence) for job in made):
        _record_together(line, [job for job in made if _key(job.fence) == fence])
    for job in jobs:
        job.is_done = True


def _make_together(kept: Responses, jobs: list[_Job]) -> None:
    """Has each make its events, as far as what it has to keep first; that is kept for all at once,
    because each sync waits for the disk."""
    making: dict[_Job, Making] = {job: job.found for job in jobs}
    trouble: OSError | None = None
    while making:
        yielded = [
            each
            for job, made in list(making.items())
            if (each := _next(job, made, trouble, making)) is not None
        ]
        trouble = None
        try:
            if yielded:
                kept.keep(yielded)
        except OSError as error:
            trouble = error


def _next(
    job: _Job, made: Making, trouble: OSError | None, making: dict[_Job, Making]
) -> responses.Record | None:
    """What the job has to keep before it goes on; None, and it is taken out, where it is done."""
    try:
        return next(made) if trouble is None else made.throw(trouble)
    except StopIteration as done:
        job.found = done.value
    except BaseException as error:  # noqa: BLE001  # raised where the job is waited for
        job.error = error
    del making[job]
    return None


def _key(fence: Fence | None) -> int | None:
    """All fences of one runner are its batch's."""
    return None if fence is None else fence.fence


def _record_together(line: _Line, jobs: Sequence[_Job]) -> None:
    events = [event for job in jobs for event in job.ready]
    if len(jobs) > 1:
        try:
            has_it = _recorded(line, events, jobs[0].fence)
        except Exception:  # noqa: BLE001
            # One of them is to blame, or all are: each learns of its own.
            logger.debug("%s jobs are recorded one by one", len(jobs))
        else:
            for job in jobs:
                _attempt(job, partial(_settled, job, has_it))
            return
    for job in jobs:
        _attempt(job, lambda job=job: _settled(job, _recorded(line, job.ready, job.fence)))  # type: ignore[misc]


def _settled(job: _Job, has_it: bool) -> bool:
    if has_it and job.then is not None:
        job.then()
    return has_it


def _attempt(job: _Job, do: Callable[[], Any]) -> None:
    """What it raises is for the one who waits for the job, not for the thread."""
    try:
        job.found = do()
    except BaseException as error:  # noqa: BLE001  # raised where the job is waited for
        job.error = error


def _recorded(line: _Line, events: Sequence[AnyEvent], fence: Fence | None) -> bool:
    return not isinstance(line.recorder.record(events, fence=fence), Spooled)
