"""A thread for what takes long and is not urgent: it asks the writer for slice after slice."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw

from personad.contract.admin import Retained, Retention
from personad.contract.base import Reply
from personad.contract.errors import Failure, LedgerError
from personad.retention import last_retention, open_beside, retain, unfinished
from personad.tidy import Tidier
from personad.writer import Writer

LOOK_EVERY_S = 1.0
FIRST_RETENTION_S = 60.0
"""After the start: a daemon that somebody has just asked for has other things to do."""
RETENTION_EVERY = timedelta(days=1)
AGAIN_S = 600.0
"""After one that failed."""
PATIENCE_S = 3_600.0
"""So long retention that is due waits for a second in which nothing is recorded."""

logger = logging.getLogger(__name__)

Asked = tuple[Retention, Callable[[Reply], None]]


class Keeper:
    """Tidies up once a second, where anything has happened since; drops old events once a day."""

    def __init__(
        self,
        writer: Writer,
        database: Path,
        *,
        raw_days: int,
        first_retention_s: float = FIRST_RETENTION_S,
    ) -> None:
        self._writer = writer
        self._database = database
        self._raw_days = raw_days
        self._tidier = Tidier(writer.with_book, last_seq=writer.last_seq)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._seen: tuple[int, int] | None = None
        self._asked: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._due_at = time.monotonic() + first_retention_s
        """By the monotonic clock: when to look again whether retention is due."""
        self._quiet_at_seq = -1
        self._tidied_at = 0.0
        self._thread = threading.Thread(target=self._run, name="keeper")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        with self._lock:
            self._closing.set()
            self._asked.put(None)
        self._thread.join()

    def take(self, request: Retention, answer: Callable[[Reply], None]) -> None:
        """Has retention done as soon as nothing else is; it is answered when it is done, or will
        not be.

        Raises:
            LedgerError: the daemon is stopping.
        """
        with self._lock:
            if self._closing.is_set():
                raise LedgerError("unavailable", "the daemon is stopping")
            self._asked.put((request, answer))

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                asked = self._asked.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                self._tidy_once_a_second()
                self._quietly(self._retain_daily)
                continue
            if asked is not None:
                request, answer = asked
                answer(self._answer(request))
        self._refuse_the_rest()

    def _refuse_the_rest(self) -> None:
        while not self._asked.empty():
            asked = self._asked.get()
            if asked is not None:
                asked[1](Failure(code="unavailable", message="the daemon is stopping"))

    def _quietly(self, work: Callable[[], None]) -> None:
        """What can't be done now can be done later."""
        try:
            work()
        except LedgerError as error:
            logger.info("left for later: %s", error)
        except (apsw.Error, ArithmeticError, LookupError, TypeError, ValueError):
            logger.exception("something could not be tidied up")

    def _tidy_once_a_second(self) -> None:
        clock = time.monotonic()
        if clock - self._tidied_at >= LOOK_EVERY_S * 0.9:
            self._tidied_at = clock
            self._quietly(self._tidy)

    def _tidy(self) -> None:
        now = datetime.now(UTC)
        seen = self._writer.last_seq, now.toordinal()
        nothing_new = seen == self._seen and not self._writer.book.touched
        if nothing_new and not self._tidier.is_behind:
            return
        # What was touched lately is left for the next time, so there has to be one.
        self._seen = None if self._writer.book.touched else seen
        self._tidier.tidy(now)

    def _retain_daily(self) -> None:
        clock, seq = time.monotonic(), self._writer.last_seq
        if clock < self._due_at or self._writer.trouble is not None:
            return
        now = datetime.now(UTC)
        last = self._writer.between(last_retention)
        # A clock that was ahead must not put it off for years.
        if last is not None and abs(now - last) < RETENTION_EVERY:
            self._due_at = clock + (RETENTION_EVERY - abs(now - last)).total_seconds()
            return
        is_quiet, self._quiet_at_seq = seq == self._quiet_at_seq, seq
        if is_quiet or clock >= self._due_at + PATIENCE_S:
            self._due_at = clock + AGAIN_S
            self._retain(Retention())

    def _answer(self, request: Retention) -> Reply:
        try:
            return self._retain(request)
        except LedgerError as error:
            return error.failure()
        except apsw.Error as error:
            return self._failed(error)
        except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
            logger.exception("retention was left off")
            return unfinished(error).failure()

    def _failed(self, error: apsw.Error) -> Failure:
        logger.warning("retention was left off: %s", error)
        unwritten = self._writer.health.unwritten(error, self._writer.visit_errno)
        return unwritten or unfinished(error).failure()

    def _retain(self, request: Retention) -> Retained:
        if not request.dry_run and (trouble := self._writer.trouble) is not None:
            raise LedgerError("unavailable", trouble, hint="mend that first")
        with closing(open_beside(str(self._database))) as beside:
            done = retain(
                self._writer.with_book,
                beside,
                datetime.now(UTC),
                self._raw_days,
                dry_run=request.dry_run,
                clock_is_right=request.clock_is_right,
                pause=self._pause,
            )
        if not request.dry_run:
            events = sum(each.events for each in done.kinds)
            logger.info("retention dropped %d events from before %s", events, done.before)
        return done

    def _pause(self, took_s: float) -> bool:
        """Leaves at least half of the time to others; whether to leave off."""
        self._tidy_once_a_second()
        return self._closing.wait(took_s)
