"""Takes the spools in: what producers put down while no daemon answered.

It looks once a second, and before any call is granted, so that a grant knows of every cost that was
acknowledged to a producer.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from personad.contract.base import Reply
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import AnyEvent, Append
from personad.jobs import Job
from personad.spool import Stubborn, take
from personad.writer import EVENT_BYTES, Writer

LOOK_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class Intake:
    """A thread that empties the spool folder."""

    def __init__(self, writer: Writer, spool_dir: Path, quarantine_dir: Path) -> None:
        self._writer = writer
        self._spool_dir = spool_dir
        self._quarantine_dir = quarantine_dir
        self._stubborn = Stubborn()
        self._lock = threading.Lock()
        self._closed = False
        self._afterwards: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="intake")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Returns once everything that was to be done afterwards is done."""
        with self._lock:
            self._closed = True
            self._afterwards.put(None)
        self._thread.join()

    def first(self, afterwards: Callable[[], None]) -> bool:
        """Empties the spools, then does `afterwards`; False where there is none to empty."""
        try:
            if not os.listdir(self._spool_dir):
                return False
        except FileNotFoundError:
            return False
        with self._lock:
            if not self._closed:
                self._afterwards.put(afterwards)
            return not self._closed

    def _run(self) -> None:
        while True:
            try:
                afterwards = self._afterwards.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                self._take()
                continue
            if afterwards is None:
                return
            self._take()
            afterwards()

    def _take(self) -> None:
        try:
            taken = take(self._spool_dir, self._quarantine_dir, self._append, self._stubborn)
        except LedgerError as error:
            logger.warning("the spools stay for now: %s", error)
        except OSError:
            logger.exception("the spool folder can't be read")
        else:
            if taken.files or taken.failed:
                logger.info("took spools in: %s", taken)

    def _append(self, events: list[AnyEvent]) -> None:
        """Returns once the events are on disk."""
        replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        job = Job(Append(events=events), EVENT_BYTES * len(events), replies.put)
        if not self._writer.submit(job):
            raise LedgerError("unavailable", "the daemon is stopping")
        reply = replies.get()
        if isinstance(reply, Failure):
            raise LedgerError.of(reply)
