"""The one writer: takes all that waits, does it in one transaction, answers after the commit.

Group commit arises by itself: the busier, the larger the group. What goes wrong with one request is
that request's error alone: the group is taken back and done again one by one.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import apsw

from personad import alerting, log, news, tidy
from personad.appending import prepared, together
from personad.bell import Bell
from personad.carrying import Carrying
from personad.changes import CHANGES, Answer, Context, expire
from personad.contract.alerts import AlertsShown
from personad.contract.base import Reply
from personad.contract.budget import AlertAcknowledged, AlertRaised
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Append
from personad.jobs import Expiry, Job, Note, Queue, Source, Trial
from personad.leases import Leases
from personad.projections.book import Book
from personad.store import BUSY_MS
from personad.transaction import Ready, Transaction, transaction
from personad.trouble import Health

T = TypeVar("T")

QUEUE_BYTES = 32 << 20
EVENT_BYTES = 300
"""About what an event takes."""
HELD_UP_S = 0.5
"""Nothing takes so long, unless the disk does."""
QUICK_S = 0.002
"""A commit that takes longer had better be another thread's."""
LONG_WAIT_S, WAITS = 0.001, 8
"""Who waits so long between groups, on an average of about so many, has time for something else."""

logger = logging.getLogger(__name__)


class Writer:
    """A thread with a queue that is bounded in bytes: `submit` waits while it is full."""

    def __init__(
        self,
        db: apsw.Connection,
        *,
        zone: ZoneInfo,
        publish: Callable[[Transaction], Callable[[], None]],
        health: Health | None = None,
    ) -> None:
        self.book = Book(db, zone)
        self._publish = publish
        self._queue = Queue()
        self._changed = threading.Condition()
        self._bell = Bell()
        self._is_waiting = False
        """Whether he waits for the bell."""
        self.source: Source | None = None
        """Where he looks for jobs that nobody submits."""
        self._at_work = threading.Lock()
        """Held by whoever uses the connection."""
        self._began: float | None = None
        """When he took it, in monotonic seconds."""
        self._is_quick = True
        self._waits_s = 0.0
        """How long he has waited for a group lately."""
        self._has_group = False
        """Whether his thread has taken a group, which nobody may be done before."""
        self._draining = False
        self._thread = threading.Thread(target=self._run, name="writer")
        self.leases = Leases()
        self.health = health or Health()
        self._visits: deque[tuple[Callable[[apsw.Connection], Any], Future[Any]]] = deque()
        self.visit_errno = 0
        """What the system said when a visit last failed; no other thread may ask the connection."""
        self._ended = False
        self.last_seq = log.last_seq(db)
        self.alerts = news.count(db)
        """How many were raised that nobody has been shown."""
        self.alerted: Callable[[], None] = lambda: None
        """Called after a commit that has raised some."""
        self.commits: deque[tuple[float, int]] = deque(maxlen=4_096)
        """When, by the monotonic clock, how many events were committed."""
        self.leases.tick(time.monotonic())
        self.leases.load(db, self.leases.now(time.monotonic()))
        self._carrying = Carrying(db)

    def start(self) -> None:
        self._carrying.start()
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why the ledger can't be written, until a write succeeds again."""
        return self.health.reason

    def is_held_up(self, clock: float) -> bool:
        """Whether what is said now may be heard much later; at that time, in monotonic seconds."""
        began = self._began
        return began is not None and clock - began > HELD_UP_S

    def between(self, work: Callable[[apsw.Connection], T], timeout_s: float = 60.0) -> T:
        """What `work` gives, done in the writer's thread between two groups, in no transaction.

        For other threads. What takes long is cut into slices of at most some 20 ms, each a call of
        its own: between two of them, all that waits to be written is.

        Raises:
            LedgerError: `unavailable`; the writer has ended, or it took too long to begin.
            Exception: whatever `work` raised.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._ended:
                raise LedgerError("unavailable", "the daemon is stopping")
            self._visits.append((work, future))
            self._wake()
        wait((future,), timeout_s)
        if future.cancel():
            raise LedgerError("unavailable", f"the writer was busy for {timeout_s:g} s")
        return future.result()

    def submit(self, *jobs: Job) -> bool:
        """Queues jobs, waiting for room; False, with none queued, once the writer drains."""
        with self._changed:
            while self._queue.bytes > QUEUE_BYTES and not self._draining:
                self._changed.wait()
            if self._draining:
                return False
            for job in jobs:
                self._queue.put(job)
            self._wake()
            return True

    def do_at_once(self, jobs: list[Job]) -> bool:
        """Does small jobs in the caller's thread, where nobody else is waiting or at work.

        That saves the time until another thread wakes. False, with nothing done, where it might
        take long, so that the caller had better go on with something else.
        """
        if not (self._is_quick and self._thread.is_alive()) or not self._at_work.acquire(
            blocking=False
        ):
            return False
        self._began = time.monotonic()
        try:
            with self._changed:
                if self._queue or self._has_group or self._draining:
                    return False
            self.book.db.set_busy_timeout(0)
            self._answer(self._commit(jobs, patient=False))
            self._carrying.carry()
            return True
        except apsw.BusyError:
            # Somebody else holds the database: that is to wait for, not here.
            return False
        finally:
            self.book.db.set_busy_timeout(BUSY_MS)
            self._began = None
            self._at_work.release()

    def with_book(self, work: Callable[[Book], T]) -> T:
        """The same, for work on the tables that events are folded into."""
        return self.between(lambda _: work(self.book))

    def drain(self) -> None:
        """Does all that was queued, then ends; returns when that is done."""
        with self._changed:
            self._draining = True
            self._wake()
        self._thread.join()
        self._bell.close()
        self._carrying.close()

    def wake(self) -> None:
        """Has him look again what there is to do."""
        with self._changed:
            self._wake()

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._is_waiting:
            self._is_waiting = False
            self._bell.ring()

    def _has_something_to_do(self) -> bool:
        if self.source is not None and self._queue.bytes <= QUEUE_BYTES:
            for job in self.source.take():
                self._queue.put(job)
        return bool(self._queue or self._visits or self._draining)

    def _wait(self) -> None:
        """Until he is woken, or his source has more."""
        source = self.source
        awaited = source.awaited() if source is not None else None
        self._is_waiting = True
        self._changed.release()
        try:
            is_there = self._bell.wait(awaited)
        finally:
            self._changed.acquire()
            self._is_waiting = False
        if source is not None and is_there:
            source.notice()

    def _take(self) -> list[Job]:
        began = time.monotonic()
        with self._changed:
            while not self._has_something_to_do():
                self._wait()
            group = self._queue.take()
            self._waits_s += (time.monotonic() - began - self._waits_s) / WAITS
            self._has_group = bool(group)
            self._changed.notify_all()
            return group

    def _run(self) -> None:
        while self._round() or not self._end():
            pass

    def _end(self) -> bool:
        with self._changed:
            self._ended = self._draining and not self._queue and not self._visits
            return self._ended

    def _visit(self) -> None:
        with self._changed:
            if not self._visits:
                return
            work, future = self._visits.popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work(self.book.db))
        except Exception as error:  # noqa: BLE001 - it goes on in the thread that asked
            self.visit_errno = self.book.db.system_errno
            self.book.forget()
            future.set_exception(error)
        if self.book.db.in_transaction:
            self.book.db.execute("ROLLBACK")

    def _round(self) -> bool:
        """A function of its own, so that nothing of a large group is held while waiting."""
        group = self._take()
        with self._at_work:
            self._began = time.monotonic()
            self._answer(self._commit(group) if group else [])
            self._tidy()
            self._visit()
            self._carrying.carry()
            self._began = None
            self._has_group = False
        return bool(group)

    def _tidy(self) -> None:
        """Where it fails, nothing is lost: it is due again."""
        if self.trouble is not None:
            return
        try:
            tidy.in_passing(self.book, self._has_time)
        except apsw.Error as error:
            self.book.forget()
            logger.warning("what came in can't be tidied up: %s", error)

    def _has_time(self) -> bool:
        """Whether nobody waits for him, nor is likely to in a moment."""
        with self._changed:
            return self._waits_s >= LONG_WAIT_S and not self._has_something_to_do()

    def _answer(self, done: list[tuple[Job, Reply | None]]) -> None:
        for job, reply in done:
            job.answer(reply)

    def _commit(self, group: list[Job], *, patient: bool = True) -> list[tuple[Job, Reply | None]]:
        began = time.monotonic()
        try:
            return self._commit_together(group)
        except apsw.BusyError as error:
            if not patient:
                raise
            return [(job, self._failed(error)) for job in group]
        except (apsw.Error, ArithmeticError, LookupError, TypeError, ValueError) as error:
            if len(group) > 1:
                return [done for job in group for done in self._commit([job])]
            return [(group[0], self._failed(error))]
        finally:
            self._is_quick = time.monotonic() - began < QUICK_S

    def _commit_together(self, group: list[Job]) -> list[tuple[Job, Reply | None]]:
        """Raises whatever went wrong, with nothing of the group done."""
        now = datetime.now(UTC)
        clock = time.monotonic()
        context = Context(self.leases, self.leases.now(clock))
        deadlines = dict(self.leases.deadlines)
        try:
            with transaction(self.book, self.last_seq, now) as txn:
                answers = self._do_all(txn, group, context)
                txn.fold()
                alerting.raise_due(txn)
                replies = [answer() for answer in answers]
                published = self._publish(txn) if txn.count else None
        except BaseException:
            self.leases.deadlines = deadlines
            raise
        self.last_seq = txn.last_seq
        self._count_alerts(group, txn)
        tried = any(isinstance(job.request, Trial) for job in group)
        if txn.count or tried:
            self.health.committed(self.last_seq, tried=tried)
        if published is not None:
            self.commits.append((clock, txn.count))
            published()
        return list(zip(group, replies, strict=True))

    def _count_alerts(self, group: list[Job], txn: Transaction) -> None:
        kinds = txn.kinds & {AlertRaised, AlertAcknowledged}
        if kinds or any(isinstance(job.request, AlertsShown) for job in group):
            self.alerts = news.count(self.book.db)
        if AlertRaised in kinds:
            self.alerted()

    def _do_all(
        self, txn: Transaction, group: list[Job], context: Context
    ) -> list[Callable[[], Reply | None]]:
        """In their order; plain appends that follow one another are one."""
        if len(group) == 1 and type(group[0].request) is not Ready:
            return [self._do(txn, group[0], context)]
        answers: list[Callable[[], Reply | None]] = []
        for kind, some in groupby(group, lambda job: type(job.request)):
            jobs, done = [*some], None
            if kind is Append and len(jobs) > 1 and self.trouble is None:
                done = together(txn, [job.request for job in jobs], context)  # type: ignore[misc]
            elif kind is Ready and self.trouble is None:
                done = prepared(txn, [job.request for job in jobs], context)  # type: ignore[misc]
            answers += [self._do(txn, job, context) for job in jobs] if done is None else done
        return answers

    def _do(self, txn: Transaction, job: Job, context: Context) -> Callable[[], Reply | None]:
        request = job.request.read() if isinstance(job.request, Ready) else job.request
        match request:
            case None:
                return lambda: None
            case request if refused := self.health.refuses(request):
                return lambda: refused
            case Trial():
                txn.write_something()
                return lambda: None
            case Expiry(batch):
                expire(txn, batch, context)
                return lambda: None
            case Note(events):
                txn.add(events)
                return lambda: None
            case request:
                try:
                    answer: Answer = CHANGES[type(request)](txn, request, context)
                except LedgerError as refusal:
                    failure = refusal.failure()
                    return lambda: failure
                return answer

    def _failed(self, error: Exception) -> Failure:
        unwritten = self.health.unwritten(error, self.book.db.system_errno)
        if unwritten is not None:
            return unwritten
        logger.exception("a request could not be done", exc_info=error)
        return Failure(
            code="internal",
            message=f"{type(error).__name__} while the request was done; the log has the details",
            hint="`personad logs`",
        )
