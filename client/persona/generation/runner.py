"""The runner: a process that makes the personas of one batch, from the ledger and the source.

    python -m persona.generation.runner BATCH [FD] [--tied]

Starting and resuming are one path: it claims the batch, plans again from the same bytes, looks what
the ledger and the run folder have already, and makes the rest. It is steered through the ledger
alone; a signal or its starter's death only asks for a pause. It says into FD that it has the batch.
"""

import functools
import gc
import logging
import os
import random
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from persona.failures import without_secrets
from persona.generation import checkpoint, facts, kept_plan, kept_responses, steering
from persona.generation.books import Books, BudgetRefused
from persona.generation.cleaning import clean_line
from persona.generation.course import finish_of, left_of, reason_of, trouble_of
from persona.generation.gate import Gate
from persona.generation.keeping import Keeper
from persona.generation.launch import BEGUN, LOG
from persona.generation.making import make
from persona.generation.output import OutputError, prepare_folder
from persona.generation.pace import Pace
from persona.generation.plan import Plan, make_plan, queue_of, source_change, wanted_by
from persona.generation.providers import provider
from persona.generation.providers.keys import file_keys
from persona.generation.quality.crowd import Crowd
from persona.generation.retry import StoppedByProvider
from persona.generation.scoring import crowd_of, load_soon, settings_of
from persona.generation.shop import Piece, Shop
from persona.generation.standing import HoldLost, Standing
from persona.generation.summing_up import sum_up
from persona.generation.telling import Arriving, tell
from persona.generation.terms import EVENTS, in_force
from persona.generation.working import at_once_of, one_by_one
from personad.contract import batch as b
from personad.contract.errors import LedgerError
from personad.contract.events import Read
from personad.contract.paths import Paths, resolve_paths
from personad.contract.settings import ConfigurationError, Settings, load

PAUSE_S = 10.0  # How long a pause is asked for while the ledger is away.
_NO, THREADS = frozenset({"0", "false", "no", "off"}), 4
GC_AFTER = 20_000

logger = logging.getLogger("persona.runner")


class Runner:
    """One run of one batch."""

    def __init__(self, paths: Paths, settings: Settings, batch: str, *, tied: bool) -> None:
        self.paths = paths
        self.settings = settings
        self.batch = batch
        self.tied = tied
        autostart = os.environ.get("PERSONA_AUTOSTART", "").lower() not in _NO
        name = f"{os.uname().nodename}:{os.getpid()}"[:200]
        self.books = Books(paths, batch, name, autostart=autostart)
        self.run_dir = paths.runs_dir / batch
        self.standing = Standing()
        self.keeper = self._keeper()
        self.gate: Gate | None = None
        self.arriving = Arriving(batch)
        self.stopped_by: str | None = None
        """Why this run can't go on, where it is its own trouble."""

    def _keeper(self) -> Keeper | None:
        path = checkpoint.place(self.run_dir)
        return Keeper(self.books, self.standing, self.batch, path) if path is not None else None

    async def run(self, begun: Callable[[], None] = lambda: None) -> bool:
        """Claims, works until all is made or a stop is asked for, and lets go; False on trouble.

        Raises:
            LedgerError: `conflict` where the batch is not to be run, or by another.
        """
        # They mostly wait for the disk; many more would only keep the loop waiting for its turn.
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        try:
            self.standing.now_is(await self.books.claim())
            begun()
            await self._watched()
            if self.keeper is not None:
                await self.keeper.write()
        finally:
            self.books.close()
        return self.stopped_by is None

    async def _watched(self) -> None:
        try:
            async with anyio.create_task_group() as watching:
                watching.start_soon(steering.keep_hold, self.books, self.standing)
                watching.start_soon(steering.listen, self.paths, self.batch, self.standing)
                watching.start_soon(steering.hear_signals, self.standing, self._pause)
                watching.start_soon(steering.mind_sleep, self._slept)
                if self.keeper is not None:
                    watching.start_soon(self.keeper.keep)
                watching.start_soon(tell, self.books, self.arriving)
                if self.tied:
                    watching.start_soon(steering.mind_the_starter, sys.stdin.fileno(), self._pause)
                await self._work(watching)
                watching.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001  # logged, and told by the pause's reason
            await self._give_up(error)

    async def _work(self, watching: anyio.abc.TaskGroup) -> None:
        started = await self._started()
        if started.timeout_ms is not None:
            timeout_s = started.timeout_ms / 1_000
            watching.start_soon(steering.mind_the_time, timeout_s, self._pause)
        plan = await anyio.to_thread.run_sync(self._plan, started)
        change = source_change(started.source, plan.reading)
        if change is not None or plan.total != started.total:
            await self._stop("source changed", change or f"it makes {plan.total} segments now")
            await self._resigned()
            return
        await anyio.to_thread.run_sync(prepare_folder, Path(started.output), self.batch)
        await kept_responses.put_back(self.books, started)
        shop = self._shop(started, plan, await anyio.to_thread.run_sync(crowd_of, started))
        watching.start_soon(load_soon)
        # The plan stays as long as the run: looking through it again and again finds nothing.
        gc.freeze()
        gc.set_threshold(GC_AFTER, 20, 50)
        try:
            while True:
                await self._make_all(shop, plan)
                if await self._let_go(shop):
                    return
        finally:
            with anyio.CancelScope(shield=True):
                await shop.provider.aclose()

    def _plan(self, started: b.BatchStarted) -> Plan:
        """Of the bytes as they now are; raises SourceError where nothing can be read of them."""
        found = kept_plan.kept(self.run_dir, Path(started.source.path))
        return found if found is not None else make_plan(wanted_by(started))

    async def _give_up(self, error: Exception) -> None:
        """Logs what should not have happened, and leaves a batch that stands still, not hangs."""
        logger.error("the run ends", exc_info=error)
        reason, said = trouble_of(error)
        told = clean_line(without_secrets(clean_line(said), _secrets()), 500)
        self.stopped_by = reason
        if self.standing.hold_lost:
            return
        try:
            await self._pause(reason, f"{told}; `persona batch logs {self.batch}` has all of it")
            await self._resigned()
        except LedgerError as away:
            # The lease runs out: the daemon calls it interrupted.
            logger.error("the batch could not be paused: %s", away)

    async def _started(self) -> b.BatchStarted:
        reply = await self.books.ask(Read(types=EVENTS, batch=self.batch))
        return in_force(recorded.event for recorded in reply.events)

    def _shop(self, started: b.BatchStarted, plan: Plan, crowd: Crowd) -> Shop:
        pace = Pace(started.concurrency, started.retry.breaker_failures)
        self.gate = Gate(pace, self.standing, tell=self._held)
        return Shop(
            started=started,
            source_digest=plan.reading.digest,
            language=plan.reading.language,
            segments=plan.segments,
            provider=provider(
                started.provider,
                model=started.model,
                base_url=started.base_url,
                for_calls=True,
            ),
            books=self.books,
            scoring=settings_of(self.settings.quality),
            crowd=crowd,
            left_out=[],
            accept=self.settings.quality.accept,
            rng=random.random,
            gate=self.gate,
            rest=self.standing.rest,
            without_secrets=partial(without_secrets, environ=_secrets()),
            on_tokens=self.arriving.hear,
        )

    async def _make_all(self, shop: Shop, plan: Plan) -> None:
        """Makes what is not made yet, so many at a time, for as long as it may go on."""
        state = await self.books.show()
        if len(state.personas) < plan.total:
            await self.books.record(queue_of(shop.started, plan.segments))
            await self.books.settle()
            state = await self.books.show()
        found = await anyio.to_thread.run_sync(self.books.responses.found)
        pieces = left_of(state, found.saved)
        async with anyio.create_task_group() as working:
            working.start_soon(self._until_at_once, working.cancel_scope)
            async with anyio.create_task_group() as workers:
                at_once = at_once_of(shop.started)
                work = partial(one_by_one, overlapping=at_once > 1)
                for _ in range(min(at_once, state.total)):
                    workers.start_soon(work, self._going_on(pieces), partial(self._made, shop))
            working.cancel_scope.cancel()

    def _going_on(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The pieces, as long as there may be new calls."""
        while self.standing.going_on and (piece := next(pieces, None)) is not None:
            yield piece

    async def _until_at_once(self, working: anyio.CancelScope) -> None:
        """A cancelled batch, or one that is another's, stops at once; a pause lets calls finish."""
        await self.standing.until_at_once()
        working.cancel()

    async def _made(self, shop: Shop, piece: Piece, received: Callable[[], None]) -> bool:
        """Whether another may be made after it."""
        try:
            await make(shop, piece, received)
        except HoldLost as error:
            # A pause refuses new calls just as a lost hold does; only asking tells them apart.
            logger.info("%s was not made: %s", piece.persona, error)
            await steering.look(self.books, self.standing)
        except OSError as error:
            await self._stop(reason_of(error), f"{piece.persona} was not made: {error}")
        except BudgetRefused as error:
            await self._stop("budget", str(error))
        except StoppedByProvider as error:
            await self._stop(error.reason, str(error))
        else:
            return True
        return False

    async def _let_go(self, shop: Shop) -> bool:
        """Ends or pauses the batch and resigns; False where it is to go on after all."""
        if self.standing.hold_lost:
            return True
        await self.books.settle()
        state = await self.books.show()
        ended = state.counts.completed + state.counts.failed == state.total
        if state.status in ("queued", "running") and not ended:
            self.standing.now_is(state.status)
            # Somebody wants it to be tried again.
            self.stopped_by = None
            return False
        finish = None
        if state.status in ("queued", "running", "pausing"):
            finish = finish_of(state) if ended else None
            status = finish.status if finish else "paused"
            at = finish.at if finish else None
            state = msgspec.structs.replace(state, status=status, finished_at=at)
        is_summed_up = await self._summed_up(shop, state)
        await kept_responses.let_go(self.books, shop.started, state, is_synced=is_summed_up)
        if finish is not None and is_summed_up:
            # Last, so that whoever sees the batch ended finds everything in its folder.
            await self.books.record([finish])
            await self.books.settle()
        if state.status not in b.OPEN:
            kept_plan.forget(self.run_dir)
        return await self._resigned()

    async def _summed_up(self, shop: Shop, state: b.BatchState) -> bool:
        """Whether the index could be written; where not, the batch is paused, to be resumed."""
        try:
            await anyio.to_thread.run_sync(sum_up, shop, state)
        except (OSError, OutputError) as error:
            await self._stop(reason_of(error), f"no index could be written: {error}")
            return False
        return True

    async def _resigned(self) -> bool:
        """Whether the batch was let go of; not, where a pause was taken back meanwhile."""
        try:
            self.standing.now_is(await self.books.resign())
        except LedgerError as error:
            if error.code != "conflict":
                raise
            # Either the batch has ended, and with it our hold, or it is to go on.
            await steering.look(self.books, self.standing)
            return not self.standing.going_on
        return True

    async def _held(self, reason: str | None, until: datetime | None) -> None:
        await self.books.record([facts.held(self.batch, reason, until)], held=False)

    async def _slept(self, slept_ms: int) -> None:
        """The machine has slept: its lease is renewed before anybody misses it."""
        logger.info("the machine slept for %.1f s", slept_ms / 1_000)
        if self.gate is not None:
            self.gate.woke()
        await steering.look(self.books, self.standing)
        if self.standing.going_on:
            await self.books.record([facts.slept(self.batch, slept_ms)], held=False)

    async def _stop(self, reason: str, why: str) -> None:
        """Pauses because of a trouble of this run's own."""
        logger.error("%s: %s", reason, why)
        if self.stopped_by is None and not self.standing.hold_lost:
            self.stopped_by = reason
            await self._pause(reason, why)

    async def _pause(self, reason: str, message: str | None = None) -> None:
        logger.info("pausing: %s", reason)
        request = b.Pause(batch=self.batch, reason=reason, message=message)
        try:
            state = await self.books.ask(request, patience_s=PAUSE_S)
        except LedgerError as error:
            if error.code == "unavailable":
                # Nobody to pause it with: what is in flight is dropped, and the lease runs out.
                self.standing.lose_hold()
            logger.warning("no pause: %s", error)
        else:
            self.standing.now_is(state.status)


class _Harmless(logging.Formatter):
    """Lines and tracebacks without the values of keys."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record), _secrets())


@functools.cache
def _secrets() -> dict[str, str]:
    """Variables and what they hold, keys from files included: as they were at the start."""
    return {**os.environ, **file_keys(os.environ)}


def main(arguments: list[str]) -> int:
    """Runs one batch; its log is the standard error."""
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(_Harmless("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[log])
    pipes = [int(each) for each in arguments[1:] if each.isdigit()]
    batch = arguments[0] if arguments[0] != "--orders" else _ordered(pipes.pop(0))
    if not batch:
        return 0
    try:
        settings = load(environ=os.environ, cwd=_folder(), home=os.path.expanduser("~")).settings
    except ConfigurationError as error:
        logger.error("%s: %s", error.where, error)
        return 78
    paths = resolve_paths(settings, ledger=None, environ=os.environ)
    if arguments[0] == "--orders":
        _write_to(paths.runs_dir / batch / LOG)
    logger.info("runs %s", batch)

    def begun() -> None:
        while pipes:
            descriptor = pipes.pop()
            try:
                os.write(descriptor, BEGUN)
            except BrokenPipeError:
                logger.info("whoever started this has gone")
            os.close(descriptor)

    try:
        done = anyio.run(Runner(paths, settings, batch, tied="--tied" in arguments).run, begun)
    except LedgerError as error:
        logger.error("%s", error)
        if error.code == "conflict":
            begun()
        return 1
    logger.info("done" if done else "stopped")
    return 0 if done else 1


def _ordered(descriptor: int) -> str:
    """The batch that the one who started this wants run; empty where he has changed his mind."""
    with open(descriptor, encoding="utf-8") as orders:
        return orders.readline().strip()


def _write_to(log: Path) -> None:
    """From now on this process writes into the batch's own log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _folder() -> str | None:
    """The working folder; None where it was removed meanwhile."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
