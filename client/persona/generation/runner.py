"""The runner: a process that makes the personas of one batch, from the ledger and the source.

    python -m persona.generation.runner BATCH [--tied]

Starting and resuming are one path: it claims the batch, plans again from the same bytes, looks what
the ledger and the run folder have already, and makes the rest. It is steered through the ledger
alone; a signal or its starter's death only asks the ledger for a pause.
"""

import logging
import os
import random
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import anyio.abc

from persona.failures import without_secrets
from persona.generation import responses
from persona.generation.books import Books, HoldLost
from persona.generation.launch import DETACHED
from persona.generation.making import Piece, Shop, make
from persona.generation.plan import Plan, make_plan, queue_of, wanted_by
from persona.generation.providers import provider
from persona.generation.summing_up import sum_up
from persona.identity import now
from personad.contract import batch as b
from personad.contract.base import derived_id
from personad.contract.codec import codec
from personad.contract.errors import LedgerError
from personad.contract.events import Read
from personad.contract.nng import Subscriber
from personad.contract.paths import Paths, resolve_paths
from personad.contract.settings import Settings, load

RENEW_S = 4.0
STOPPED_BY = {signal.SIGTERM: "shutdown", signal.SIGINT: "user"}

logger = logging.getLogger("persona.runner")
_frame = codec(b.BatchFrame)


class Runner:
    """One run of one batch. `going_on` says whether new personas may be begun."""

    def __init__(self, paths: Paths, settings: Settings, batch: str, *, tied: bool) -> None:
        self.paths = paths
        self.settings = settings
        self.batch = batch
        self.tied = tied
        self.books = Books(paths, batch, f"{os.uname().nodename}:{os.getpid()}")
        self.run_dir = paths.runs_dir / batch
        self.status: b.BatchStatus = "queued"
        self.hold_lost = False
        self._changed = anyio.Event()

    @property
    def going_on(self) -> bool:
        return self.status in ("queued", "running") and not self.hold_lost

    def _now_is(self, status: b.BatchStatus) -> None:
        if status != self.status:
            self.status = status
            self._changed.set()
            self._changed = anyio.Event()

    async def run(self) -> None:
        """Claims, works until all is made or a stop is asked for, and lets go."""
        self._now_is(await self.books.claim())
        started = await self._started()
        try:
            async with anyio.create_task_group() as watching:
                watching.start_soon(self._renew)
                watching.start_soon(self._listen)
                watching.start_soon(self._hear_signals)
                if self.tied:
                    watching.start_soon(self._mind_the_starter)
                if started.timeout_ms is not None:
                    watching.start_soon(self._mind_the_time, started.timeout_ms)
                await self._work(started)
                watching.cancel_scope.cancel()
        finally:
            self.books.close()

    async def _started(self) -> b.BatchStarted:
        reply = await self.books.ask(Read(types=["batch.started"], batch=self.batch, limit=1))
        (recorded,) = reply.events
        assert isinstance(recorded.event, b.BatchStarted)
        return recorded.event

    async def _work(self, started: b.BatchStarted) -> None:
        plan = await anyio.to_thread.run_sync(make_plan, wanted_by(started))
        if plan.reading.digest != started.source.digest or plan.total != started.total:
            logger.error("the source changed: it was %s", started.source.digest)
            await self._pause("source changed")
            await self._let_go()
            return
        shop = self._shop(started, plan)
        while True:
            await self._make_all(shop, plan)
            if self.hold_lost or await self._let_go(shop):
                return

    def _shop(self, started: b.BatchStarted, plan: Plan) -> Shop:
        quality = self.settings.quality
        weights = {
            name: getattr(quality.weights, name) for name in quality.weights.__struct_fields__
        }
        return Shop(
            started=started,
            source_digest=plan.reading.digest,
            language=plan.reading.language,
            segments=plan.segments,
            provider=provider(started.provider, model=started.model, base_url=started.base_url),
            books=self.books,
            calls_dir=self.run_dir / "calls",
            weights=weights,
            required_fields=quality.required_fields,
            accept=quality.accept,
            rng=random.random,
            without_secrets=partial(without_secrets, environ=os.environ),
        )

    async def _make_all(self, shop: Shop, plan: Plan) -> None:
        """Makes what is not made yet, so many at a time, for as long as it may go on."""
        state = await self.books.ask(b.BatchShow(batch=self.batch))
        if sum(1 for _ in state.personas) < plan.total:
            await self.books.record(queue_of(shop.started, plan.segments))
            state = await self.books.ask(b.BatchShow(batch=self.batch))
        pieces = _left(state, self.run_dir / "calls")
        stop = anyio.CancelScope()
        async with anyio.create_task_group() as working:
            working.start_soon(self._cancel_on_stop, stop)
            with stop:
                async with anyio.create_task_group() as workers:
                    for _ in range(min(shop.started.concurrency, state.total)):
                        workers.start_soon(self._worker, shop, pieces)
            working.cancel_scope.cancel()

    async def _worker(self, shop: Shop, pieces: Iterator[Piece]) -> None:
        for piece in pieces:
            if not self.going_on:
                return
            try:
                await make(shop, piece)
            except HoldLost as error:
                # A pause refuses new calls in the same way; only the status tells them apart.
                logger.info("%s was not made: %s", piece.persona, error)
                self._now_is(await self._status())
                return

    async def _cancel_on_stop(self, stop: anyio.CancelScope) -> None:
        """A cancelled batch, or one that is another's, stops at once; a pause lets calls finish."""
        while not (self.hold_lost or self.status not in ("queued", "running", "pausing", "paused")):
            await self._changed.wait()
        stop.cancel()

    async def _let_go(self, shop: Shop | None = None) -> bool:
        """Finishes or pauses the batch and resigns; False where it is to go on after all."""
        await self.books.settle()
        state = await self.books.ask(b.BatchShow(batch=self.batch))
        if shop is not None and state.status in b.OPEN:
            ended = state.counts.completed + state.counts.failed == state.total
            if ended:
                await self.books.record([_finish(state)])
                state = await self.books.ask(b.BatchShow(batch=self.batch))
            elif state.status in ("queued", "running"):
                self._now_is(state.status)
                return False
            await anyio.to_thread.run_sync(sum_up, shop, state)
        if state.status in ("completed", "cancelled"):
            for saved in responses.load(self.run_dir / "calls"):
                responses.forget(self.run_dir / "calls", saved.call)
        try:
            self._now_is(await self.books.resign())
        except LedgerError as error:
            if error.code != "conflict":
                raise
            # Either the batch ended and with it our hold, or a pause was taken back meanwhile.
            self._now_is(await self._status())
            return not self.going_on
        if shop is not None:
            state = await self.books.ask(b.BatchShow(batch=self.batch))
            await anyio.to_thread.run_sync(sum_up, shop, state)
        return True

    async def _status(self) -> b.BatchStatus:
        return (await self.books.ask(b.BatchShow(batch=self.batch))).status

    async def _pause(self, reason: str) -> None:
        logger.info("pausing: %s", reason)
        try:
            self._now_is((await self.books.ask(b.Pause(batch=self.batch, reason=reason))).status)
        except LedgerError as error:
            logger.info("no pause: %s", error)

    async def _renew(self) -> None:
        """Keeps the hold on the batch; a lost one ends the work."""
        while True:
            await anyio.sleep(RENEW_S)
            try:
                self._now_is(await self.books.renew())
            except LedgerError as error:
                if error.code == "conflict":
                    status = await self._status()
                    self.hold_lost = status in ("queued", "running", "pausing")
                    self._now_is("interrupted" if self.hold_lost else status)
                    return
                logger.warning("the hold could not be renewed: %s", error)

    async def _listen(self) -> None:
        """Hears at once what others do to the batch; `renew` says the same a little later."""
        topic = b"batch/" + self.batch.encode() + b"/"
        with Subscriber(str(self.paths.live_socket), (topic,)) as subscriber:
            while True:
                await anyio.wait_readable(subscriber)
                while (message := subscriber.receive()) is not None:
                    frame: b.BatchFrame = _frame.decode(message[len(topic) :])
                    if frame.state is not None:
                        self._now_is(frame.state.status)

    async def _hear_signals(self) -> None:
        with anyio.open_signal_receiver(*STOPPED_BY) as signals:
            async for number in signals:
                await self._pause(STOPPED_BY[number])

    async def _mind_the_starter(self) -> None:
        """Pauses when the process that started us ends, unless it said that it leaves."""
        heard = b""
        while True:
            await anyio.wait_readable(sys.stdin.fileno())
            part = os.read(sys.stdin.fileno(), 64)
            heard += part
            if DETACHED in heard:
                return
            if not part:
                await self._pause("terminal")
                return

    async def _mind_the_time(self, timeout_ms: int) -> None:
        await anyio.sleep(timeout_ms / 1_000)
        await self._pause("time")


def _left(state: b.BatchState, calls_dir: Path) -> Iterator[Piece]:
    """What is still to be made, in order, each with what was already received for it."""
    found: dict[str, list[responses.Saved]] = {}
    for saved in responses.load(calls_dir):
        found.setdefault(saved.persona, []).append(saved)
    for row in state.personas:
        if row.status not in ("completed", "failed"):
            yield Piece(
                index=row.index,
                persona=row.persona,
                attempts=row.attempts,
                saved=tuple(found.get(row.persona, ())),
            )


def _finish(state: b.BatchState) -> b.BatchFinished:
    completed, failed = state.counts.completed, state.counts.failed
    status: b.Ended = "completed" if not failed else "partial" if completed else "failed"
    return b.BatchFinished(
        id=derived_id("batch.finished", state.batch, state.seq),
        at=now(),
        batch=state.batch,
        status=status,
    )


def main(arguments: list[str]) -> int:
    """Runs one batch; its log is the standard error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr
    )
    batch, tied = arguments[0], "--tied" in arguments[1:]
    settings = load(environ=os.environ, cwd=Path.cwd(), home=Path.home()).settings
    paths = resolve_paths(settings, ledger=None, environ=os.environ)
    logger.info("runs %s", batch)

    async def run() -> None:
        await Runner(paths, settings, batch, tied=tied).run()

    try:
        anyio.run(run)
    except LedgerError as error:
        logger.error("%s", error)
        return 1
    logger.info("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
