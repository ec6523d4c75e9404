"""The publish socket: after each commit, what changed, to whoever watches.

Facts travel by request and reply; what is published here only hints. A frame that is lost leaves a
gap in its numbers, and a watcher that sees one asks. So nothing here ever waits for a watcher: with
nobody listening nothing is built, and what piles up beyond a bound is dropped.

What a frame tells is read inside the transaction that it tells of, where the pages are at hand and
the moment is one; it is encoded and sent by a thread of its own, after the commit.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

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
COMMIT_FRAMES = 32
"""A commit that touches more batches says of the others only that they changed."""

logger = logging.getLogger(__name__)


class Live:
    """A thread that publishes commits."""

    def __init__(self, publisher: Publisher, db: apsw.Connection, last_seq: int) -> None:
        self._publisher = publisher
        self._db = db
        self._commits: deque[tuple[Sequence[Recorded], Sequence[BatchFrame]]] = deque()
        self._waiting_events = 0
        self._changed = threading.Condition()
        self._closing = False
        self._tick = False
        self._last_seq = last_seq
        self._batches: dict[str, tuple[int, batch_questions.Told | None]] = {}
        """Up to which seq each batch was told of, and what; for the writer's thread alone."""
        self._told: dict[str, batch_questions.Told | None] = {}
        """The same, while it is not known yet whether the transaction will be committed."""
        self._thread = threading.Thread(target=self._run, name="live")

    def start(self) -> None:
        self._thread.start()

    @property
    def watchers(self) -> int:
        return self._publisher.subscribers

    def prepare(
        self, db: apsw.Connection, recorded: Sequence[Recorded], now: datetime
    ) -> Callable[[], None]:
        """Looks at what changed, before the commit; what comes back is called after it."""
        frames: list[BatchFrame] = []
        self._told = {}
        if self.watchers:
            try:
                for name, is_cost_moved in batches.touched(recorded).items():
                    whole = len(frames) < COMMIT_FRAMES
                    frame = self._frame(db, name, now, whole=whole, is_cost_moved=is_cost_moved)
                    frames += [frame] if frame is not None else []
            except (apsw.Error, ArithmeticError, LookupError, TypeError, ValueError):
                # A hint that can't be given is a gap to those who watch, and they ask.
                logger.exception("a change could not be looked at")
        return partial(self._committed, recorded, frames)

    def _frame(
        self, db: apsw.Connection, name: str, now: datetime, *, whole: bool, is_cost_moved: bool
    ) -> BatchFrame | None:
        row = load(db, name)
        if row is None:
            return None
        previous, told = self._batches.get(name, (row.previous_seq, None))
        if row.seq <= previous:
            return None
        state = None
        if whole:
            state, told = batch_questions.change(
                db, row, now, after_seq=previous, told=told, is_cost_moved=is_cost_moved
            )
        self._told[name] = told
        if state is not None and len(state.personas) > FRAME_PERSONAS:
            state = None
        return BatchFrame(batch=name, seq=row.seq, previous_seq=previous, state=state)

    def _committed(self, recorded: Sequence[Recorded], frames: Sequence[BatchFrame]) -> None:
        """Takes a commit; never waits."""
        if not self.watchers:
            self._batches.clear()
            self._last_seq = recorded[-1].seq
            return
        self._batches.update((each.batch, (each.seq, self._told[each.batch])) for each in frames)
        with self._changed:
            if self._waiting_events > QUEUE_EVENTS:
                return
            self._commits.append((recorded, frames))
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
                commit = self._commits.popleft() if self._commits else None
                self._waiting_events -= len(commit[0]) if commit else 0
                ticking = commit is None and self._tick
                self._tick = self._tick and not ticking
            try:
                if commit is not None:
                    self._publish(*commit)
                elif ticking:
                    self._publish_tick()
            except (apsw.Error, ArithmeticError, LookupError, TypeError, ValueError):
                # A hint that can't be given is a gap to those who watch, and they ask.
                logger.exception("a change could not be published")

    def _publish(self, recorded: Sequence[Recorded], frames: Sequence[BatchFrame]) -> None:
        previous_seq, self._last_seq = recorded[0].seq - 1, recorded[-1].seq
        if not self.watchers:
            return
        for each in frames:
            topic = b"batch/" + each.batch.encode() + b"/"
            self._publisher.publish(topic, encode(each, "json"))
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

    def _publish_tick(self) -> None:
        tick = Tick(last_seq=self._last_seq, batches=batch_questions.open_batches(self._db))
        if tick.batches:
            self._publisher.publish(b"tick/", encode(tick, "json"))
