"""The publish socket: after each commit, what changed, to whoever watches.

Facts travel by request and reply; what is published here only hints. A frame that is lost leaves a
gap in its numbers, and a watcher that sees one asks. So nothing here ever waits for a watcher: with
nobody listening nothing is built, and what piles up beyond a bound is dropped.

What a frame tells is read inside the transaction that it tells of, where the pages are at hand and
the moment is one; it is encoded and sent after the commit.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import apsw

from personad.contract.admin import Tick
from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.batch import BatchFrame, BatchInterrupted
from personad.contract.codec import encode
from personad.contract.cost import CallStarted, CostRecorded
from personad.contract.events import EventsFrame, Recorded
from personad.contract.nng import Publisher
from personad.contract.progress import Progress, ProgressFrame
from personad.projections import batch_questions
from personad.transaction import Transaction

QUEUE_EVENTS = 50_000
FRAME_EVENTS = 1_000
FRAME_PERSONAS = 1_000
COMMIT_FRAMES = 32
"""A commit that touches more batches says of the others only that they changed."""
AT_ONCE_EVENTS = 64
"""A commit of so few is published by the one who committed it: sooner than another thread wakes."""

MOVES_COSTS = (CallStarted, CostRecorded, BatchInterrupted)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Commit:
    """What a transaction did, as far as it is told."""

    first_seq: int
    last_seq: int
    events: Sequence[Recorded] | None
    """None: too many for a frame."""
    frames: Sequence[BatchFrame]

    @property
    def size(self) -> int:
        return self.last_seq - self.first_seq + 1


class Live:
    """A thread that publishes commits, where the writer doesn't do it by itself."""

    def __init__(self, publisher: Publisher, db: apsw.Connection, last_seq: int) -> None:
        self._publisher = publisher
        self._db = db
        self._commits: deque[Commit] = deque()
        self._waiting_events = 0
        self._changed = threading.Condition()
        self._is_busy = False
        self._closing = False
        self._tick = False
        self._last_seq = last_seq
        self._told: dict[str, batch_questions.Told] = {}
        """What was told of each batch; for the writer's thread alone."""
        self._thread = threading.Thread(target=self._run, name="live")

    def start(self) -> None:
        self._thread.start()

    @property
    def watchers(self) -> int:
        return self._publisher.subscribers

    def prepare(self, txn: Transaction) -> Callable[[], None]:
        """Looks at what changed, before the commit; what comes back is called after it."""
        if not self.watchers:
            self._told.clear()
            return partial(self._unwatched, txn.last_seq)
        frames: list[BatchFrame] = []
        try:
            frames = self._frames(txn)
        except (apsw.Error, ArithmeticError, LookupError, TypeError, ValueError):
            # A hint that can't be given is a gap to those who watch, and they ask.
            logger.exception("a change could not be looked at")
        events = None
        if txn.count <= FRAME_EVENTS:
            events = [
                Recorded(
                    seq=seq,
                    recorded_at=txn.now,
                    event=event,
                    anomaly=txn.anomalies.get(seq),
                    cost_nanousd=cost,
                )
                for seq, _, event, cost in txn.entries
            ]
        commit = Commit(txn.first_seq, txn.last_seq, events, frames)
        return partial(self._committed, commit)

    def _frames(self, txn: Transaction) -> list[BatchFrame]:
        moved = {batch for _, batch in txn.billed}
        moved |= {e[2].batch for e in txn.unprepared if isinstance(e[2], MOVES_COSTS)}
        rows = txn.book.rows
        frames: list[BatchFrame] = []
        if len(self._told) > COMMIT_FRAMES * 8:
            self._told.clear()
        for name, personas in rows.changed.items():
            row = rows.batch(name)
            if row is None:
                continue
            state = None
            if len(frames) < COMMIT_FRAMES and len(personas) <= FRAME_PERSONAS:
                state, self._told[name] = batch_questions.change(
                    rows, row, txn.now, told=self._told.get(name), is_cost_moved=name in moved
                )
                if len(state.personas) > FRAME_PERSONAS:
                    state = None
            frames.append(
                BatchFrame(batch=name, seq=row.seq, previous_seq=row.previous_seq, state=state)
            )
        return frames

    def _unwatched(self, last_seq: int) -> None:
        self._last_seq = last_seq

    def _committed(self, commit: Commit) -> None:
        """Takes a commit; never waits."""
        with self._changed:
            if self._waiting_events > QUEUE_EVENTS:
                return
            if self._commits or self._is_busy or commit.size > AT_ONCE_EVENTS:
                self._commits.append(commit)
                self._waiting_events += commit.size
                self._changed.notify()
                return
        self._try(partial(self._publish, commit))

    def progress(self, db: apsw.Connection, request: Progress, now: datetime) -> None:
        """Publishes what is arriving at a runner, for whoever watches its batch."""
        if self.watchers:
            rest = batch_questions.eta_of(db, request.batch, now)
            frame = ProgressFrame(
                batch=request.batch, tokens=request.tokens, as_of=now, eta_ms=rest
            )
            topic = b"progress/" + request.batch.encode() + b"/"
            self._publisher.publish(topic, encode(frame, "json"))

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
                self._is_busy = False
                while not (self._commits or self._tick or self._closing):
                    self._changed.wait()
                if not self._commits and self._closing:
                    return
                self._is_busy = True
                commit = self._commits.popleft() if self._commits else None
                self._waiting_events -= commit.size if commit else 0
                ticking = commit is None and self._tick
                self._tick = self._tick and not ticking
            self._try(partial(self._publish, commit) if commit else self._publish_tick)

    def _try(self, publish: Callable[[], None]) -> None:
        try:
            publish()
        except (apsw.Error, ArithmeticError, LookupError, TypeError, ValueError):
            # A hint that can't be given is a gap to those who watch, and they ask.
            logger.exception("a change could not be published")

    def _publish(self, commit: Commit) -> None:
        previous_seq, self._last_seq = commit.first_seq - 1, commit.last_seq
        if not self.watchers:
            return
        for each in commit.frames:
            topic = b"batch/" + each.batch.encode() + b"/"
            self._publisher.publish(topic, encode(each, "json"))
        events = list(commit.events) if commit.events is not None else None
        frame = EventsFrame(seq=commit.last_seq, previous_seq=previous_seq, events=events)
        body = encode(frame, "json")
        if len(body) > MAX_MESSAGE_BYTES:
            frame = EventsFrame(seq=frame.seq, previous_seq=frame.previous_seq, events=None)
            body = encode(frame, "json")
        self._publisher.publish(b"all/", body)

    def _publish_tick(self) -> None:
        tick = Tick(last_seq=self._last_seq, batches=batch_questions.open_batches(self._db))
        if tick.batches:
            self._publisher.publish(b"tick/", encode(tick, "json"))
