"""The publish socket: after each commit, what changed, to whoever watches.

Facts travel by request and reply; what is published here only hints. A frame that is lost leaves a
gap in its numbers, and a watcher that sees one asks. So nothing here ever waits for a watcher: with
nobody listening nothing is built, and what piles up beyond a bound is dropped.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

import apsw

from personad.contract.admin import Tick
from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.batch import BatchFrame
from personad.contract.codec import encode
from personad.contract.events import EventsFrame, Recorded
from personad.contract.nng import Publisher
from personad.projections import batch_questions, batches
from personad.projections.batch_rows import load

QUEUE_EVENTS = 50_000
FRAME_EVENTS = 1_000
FRAME_PERSONAS = 1_000

logger = logging.getLogger(__name__)


class Live:
    """A thread that turns commits into frames."""

    def __init__(self, publisher: Publisher, db: apsw.Connection, last_seq: int) -> None:
        self._publisher = publisher
        self._db = db
        self._commits: deque[Sequence[Recorded]] = deque()
        self._waiting_events = 0
        self._changed = threading.Condition()
        self._closing = False
        self._tick = False
        self._last_seq = last_seq
        self._batch_seqs: dict[str, int] = {}
        """What was published of each batch last."""
        self._thread = threading.Thread(target=self._run, name="live")

    def start(self) -> None:
        self._thread.start()

    @property
    def watchers(self) -> int:
        return self._publisher.subscribers

    def committed(self, recorded: Sequence[Recorded]) -> None:
        """Takes a commit; never waits."""
        with self._changed:
            if self._waiting_events > QUEUE_EVENTS:
                return
            self._commits.append(recorded)
            self._waiting_events += len(recorded)
            self._changed.notify()

    def tick(self) -> None:
        """Publishes the newest seqs of the open batches, behind all that waits."""
        if self.watchers:
            with self._changed:
                self._tick = True
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._commits or self._tick or self._closing):
                    self._changed.wait()
                if not self._commits and self._closing:
                    return
                recorded = self._commits.popleft() if self._commits else None
                self._waiting_events -= len(recorded or ())
                ticking = recorded is None and self._tick
                self._tick = self._tick and not ticking
            try:
                if recorded is not None:
                    self._publish(recorded)
                elif ticking:
                    self._publish_tick()
            except (apsw.Error, ArithmeticError, LookupError, TypeError, ValueError):
                # A hint that can't be given is a gap to those who watch, and they ask.
                logger.exception("a change could not be published")

    def _publish(self, recorded: Sequence[Recorded]) -> None:
        previous_seq, self._last_seq = recorded[0].seq - 1, recorded[-1].seq
        names = batches.touched(recorded)
        if not self.watchers:
            for name in names:
                self._batch_seqs.pop(name, None)
            return
        now = datetime.now(UTC)
        for name in names:
            self._publish_batch(name, now)
        whole = len(recorded) <= FRAME_EVENTS
        frame = EventsFrame(
            seq=self._last_seq,
            previous_seq=previous_seq,
            events=list(recorded) if whole else None,
        )
        body = encode(frame, "json")
        if len(body) > MAX_MESSAGE_BYTES:
            frame = EventsFrame(seq=frame.seq, previous_seq=frame.previous_seq, events=None)
            body = encode(frame, "json")
        self._publisher.publish(b"all/", body)

    def _publish_batch(self, name: str, now: datetime) -> None:
        # One transaction, so that the frame is of one moment.
        with self._db:
            frame = self._frame(name, now)
        if frame is not None:
            self._publisher.publish(b"batch/" + name.encode() + b"/", encode(frame, "json"))

    def _frame(self, name: str, now: datetime) -> BatchFrame | None:
        row = load(self._db, name)
        if row is None:
            return None
        previous = self._batch_seqs.get(name, row.previous_seq)
        if row.seq <= previous:
            return None
        self._batch_seqs[name] = row.seq
        state = batch_questions.show(self._db, name, now, after_seq=previous)
        return BatchFrame(
            seq=state.seq,
            previous_seq=previous,
            state=state if len(state.personas) <= FRAME_PERSONAS else None,
        )

    def _publish_tick(self) -> None:
        tick = Tick(last_seq=self._last_seq, batches=batch_questions.open_batches(self._db))
        if tick.batches:
            self._publisher.publish(b"tick/", encode(tick, "json"))
