"""Watching a ledger: a snapshot, then what changes, and never a wrong state.

What the live socket publishes only hints. A frame that is lost leaves a gap in the numbers, or is
told of by the next tick, or by silence; then the ledger itself is asked.
"""

import select
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from personad.contract.admin import Tick
from personad.contract.batch import OPEN, BatchFrame, BatchShow, BatchState
from personad.contract.errors import LedgerError
from personad.contract.events import EventsFrame, Read, Recorded
from personad.contract.progress import ProgressFrame

if TYPE_CHECKING:
    from personad.contract.nng import Subscriber
    from personad.contract.paths import Paths

    from .client import Ledger

SILENCE_S = 3.0
"""While a batch is open a tick comes every second; after this long the ledger is asked."""
IN_FLIGHT_S = 1.0
"""How long a frame that a tick told of may still be on its way."""
RETRY_S = 2.0
"""How long the ledger is left alone after it could not be asked."""
PAGES_A_POLL = 10
ASK_S = 10.0
"""How long an answer may take before it is asked for again."""

_TICK = b"tick/"
_ALL = b"all/"
_index = attrgetter("index")


class Mirror:
    """A batch as its frames tell it; neither sockets nor clocks.

    `state` is always complete. Its list of personas is one and the same for as long as no snapshot
    replaces it, changed in place, so that a frame costs what changed and not what is there.
    """

    def __init__(self, snapshot: BatchState) -> None:
        self.state = snapshot
        self.tokens: Mapping[str, int] = {}
        """About how many tokens of its answer have come, by persona that is being answered."""
        self._doubted_since: float | None = None
        self._behind = False

    @property
    def batch(self) -> str:
        return self.state.batch

    def replace(self, snapshot: BatchState) -> bool:
        """Takes the ledger's own account; whether it tells anything new."""
        changed = snapshot.seq != self.state.seq
        self.state = snapshot
        self._behind = False
        self._doubted_since = None
        return changed

    def take_frame(self, frame: BatchFrame) -> bool:
        """Applies a frame that follows on what is known; whether it did."""
        if frame.seq <= self.state.seq:
            return False
        if frame.state is None or frame.previous_seq != self.state.seq:
            self._behind = True
            return False
        rows = self.state.personas
        for row in frame.state.personas:
            place = bisect_left(rows, row.index, key=_index)
            if place < len(rows) and rows[place].index == row.index:
                rows[place] = row
            else:
                rows.insert(place, row)
        self.state = replace(frame.state, personas=rows)
        self._doubted_since = None
        return True

    def take_progress(self, frame: ProgressFrame) -> bool:
        """Takes what is arriving now in the place of what was; whether it tells anything new."""
        changed = frame.tokens != self.tokens
        self.tokens = frame.tokens
        state = self.state
        if frame.eta_ms is None or state.status != "running" or frame.as_of <= state.as_of:
            return changed
        passed_ms = round((frame.as_of - state.as_of).total_seconds() * 1_000)
        self.state = replace(
            state,
            eta_ms=frame.eta_ms,
            elapsed_ms=state.elapsed_ms + passed_ms,
            as_of=frame.as_of,
        )
        return True

    def lose_frame(self) -> None:
        """There was one, and nobody could read it."""
        self._behind = True

    def take_tick(self, tick: Tick, now_s: float) -> None:
        """Begins or ends a doubt: whether the ledger has more of this batch than is known here."""
        newest = tick.batches.get(self.batch)
        if newest is None:
            # Closed, and the frame that said so was perhaps lost.
            lags = self.state.status in OPEN and tick.last_seq > self.state.seq
        else:
            lags = newest > self.state.seq
        if not lags:
            self._doubted_since = None
        elif self._doubted_since is None:
            self._doubted_since = now_s
        else:
            self._behind = True

    def is_behind(self, now_s: float) -> bool:
        """Whether only a snapshot can tell how things are."""
        doubted = self._doubted_since
        return self._behind or (doubted is not None and now_s - doubted >= IN_FLIGHT_S)


class Watch:
    """A batch, live. One thread at a time may use it.

    Where the ledger can't be asked for a while, `problem` says why, `state` stays what it was, and
    the watch goes on as soon as it can.

    Args:
        batch: An id, a unique beginning of one, or `last`.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        ledger: "Ledger",
        paths: "Paths",
        batch: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises LedgerError where there is no such batch, or no daemon."""
        self._ledger = ledger
        self._clock = clock
        self.problem: LedgerError | None = None
        name = ledger.ask(BatchShow(batch=batch)).batch
        self._frames = msgspec.json.Decoder(BatchFrame)
        self._ticks = msgspec.json.Decoder(Tick)
        self._progress = msgspec.json.Decoder(ProgressFrame)
        self._topic = b"batch/" + name.encode() + b"/"
        self._progress_topic = b"progress/" + name.encode() + b"/"
        self._subscriber = _subscribe(paths, self._topic, self._progress_topic, _TICK)
        try:
            # Only now: what happened before the subscription is in here, what comes after follows.
            self._mirror = Mirror(ledger.ask(BatchShow(batch=name)))
        except BaseException:
            self._subscriber.close()
            raise
        self._heard_at = self._asked_at = clock()

    @property
    def state(self) -> BatchState:
        """The whole batch, as far as it is known; its rows change in place as frames come in."""
        return self._mirror.state

    @property
    def tokens(self) -> Mapping[str, int]:
        """About how many tokens of its answer have come, by persona that is being answered."""
        return self._mirror.tokens

    def fileno(self) -> int:
        """Readable when `poll` has something to take; it needs to be called once a second, too."""
        return self._subscriber.fileno()

    def poll(self) -> bool:
        """Takes all that has arrived; whether the state, or `problem`, changed.

        It waits for nothing but the ledger's answer where frames were lost.

        Raises:
            LedgerError: the batch is not there any more, or a bug.
        """
        changed = self._receive()
        now_s = self._clock()
        is_open = self.state.status in OPEN
        silent = is_open and now_s - max(self._heard_at, self._asked_at) >= SILENCE_S
        resting = self.problem is not None and now_s - self._asked_at < RETRY_S
        if (silent or self._mirror.is_behind(now_s)) and not resting:
            changed = self._ask() or changed
        return changed

    def states(self, *, timeout_s: float | None = None) -> Iterator[BatchState]:
        """The state now and after each change, until the batch is closed or the time is over."""
        until = None if timeout_s is None else self._clock() + timeout_s
        yield self.state
        while self.state.status in OPEN:
            left_s = IN_FLIGHT_S if until is None else min(IN_FLIGHT_S, until - self._clock())
            if left_s <= 0:
                return
            select.select([self.fileno()], [], [], left_s)
            if self.poll():
                yield self.state

    def close(self) -> None:
        self._subscriber.close()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> bool:
        changed = False
        while (message := self._subscriber.receive()) is not None:
            self._heard_at = self._clock()
            try:
                changed = self._take(message, self._heard_at) or changed
            except msgspec.DecodeError:
                self._mirror.lose_frame()
        return changed

    def _take(self, message: bytes, now_s: float) -> bool:
        if message.startswith(_TICK):
            self._mirror.take_tick(self._ticks.decode(message[len(_TICK) :]), now_s)
            return False
        if message.startswith(self._progress_topic):
            return self._mirror.take_progress(
                self._progress.decode(message[len(self._progress_topic) :])
            )
        return self._mirror.take_frame(self._frames.decode(message[len(self._topic) :]))

    def _ask(self) -> bool:
        before = self.problem
        try:
            snapshot = self._ledger.ask(BatchShow(batch=self._mirror.batch), timeout_s=ASK_S)
        except LedgerError as error:
            if error.code != "unavailable":
                raise
            self.problem = error
            return before is None
        finally:
            self._asked_at = self._clock()
        self.problem = None
        return self._mirror.replace(snapshot) or before is not None


class EventWatch:
    """Every event after a position, as it is recorded, each once and in order.

    Args:
        types: Only these kinds; none means all.
        batch: Only this batch's; its whole id.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        ledger: "Ledger",
        paths: "Paths",
        after_seq: int,
        types: Sequence[str] = (),
        batch: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._seq = after_seq
        self._types = tuple(types)
        self._batch = batch
        self._clock = clock
        self._frames = msgspec.json.Decoder(EventsFrame)
        self._subscriber = _subscribe(paths, _ALL)
        self._heard_at = self._asked_at = clock()
        self._is_behind = True
        self.problem: LedgerError | None = None

    def fileno(self) -> int:
        """Readable when `poll` has something to take; it needs to be called once a second, too."""
        return self._subscriber.fileno()

    def poll(self) -> list[Recorded]:
        """What has been recorded since the last time; at most a few thousand events at once.

        Where the ledger can't be asked for a while, `problem` says why, and nothing is skipped.

        Raises:
            LedgerError: the ledger refuses, or a bug.
        """
        found: list[Recorded] = []
        while (message := self._subscriber.receive()) is not None:
            self._heard_at = self._clock()
            # What is behind will be read anyway, and what was published can be read.
            if not self._is_behind:
                found += self._take(message)
        now_s = self._clock()
        silent = now_s - max(self._heard_at, self._asked_at) >= SILENCE_S
        resting = self.problem is not None and now_s - self._asked_at < RETRY_S
        if (self._is_behind or silent) and not resting:
            found += self._read()
        return found

    def __iter__(self) -> Iterator[Recorded]:
        """Without end."""
        while True:
            yield from self.poll()
            if not self._is_behind or self.problem is not None:
                select.select([self.fileno()], [], [], IN_FLIGHT_S)

    def close(self) -> None:
        self._subscriber.close()

    def __enter__(self) -> "EventWatch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, message: bytes) -> list[Recorded]:
        """What is new in a frame that follows on what is known."""
        try:
            frame = self._frames.decode(message[len(_ALL) :])
        except msgspec.DecodeError:
            self._is_behind = True
            return []
        if frame.seq <= self._seq:
            return []
        if frame.events is None or frame.previous_seq > self._seq:
            self._is_behind = True
            return []
        known, self._seq = self._seq, frame.seq
        return [found for found in frame.events if found.seq > known and self._is_wanted(found)]

    def _is_wanted(self, found: Recorded) -> bool:
        event = found.event
        return (not self._types or event.__struct_config__.tag in self._types) and (
            self._batch is None or getattr(event, "batch", None) == self._batch
        )

    def _read(self) -> list[Recorded]:
        found: list[Recorded] = []
        try:
            for _ in range(PAGES_A_POLL):
                found += self._read_page()
                if not self._is_behind:
                    break
            self.problem = None
        except LedgerError as error:
            if error.code != "unavailable":
                raise
            self.problem = error
        finally:
            self._asked_at = self._clock()
        return found

    def _read_page(self) -> list[Recorded]:
        question = Read(after_seq=self._seq, types=list(self._types), batch=self._batch)
        reply = self._ledger.ask(question, timeout_s=ASK_S)
        self._seq, self._is_behind = reply.next_seq, reply.more
        return reply.events


def _subscribe(paths: "Paths", *topics: bytes) -> "Subscriber":
    from personad.contract.nng import Subscriber
    from personad.contract.paths import check_socket_path

    check_socket_path(paths.live_socket)
    return Subscriber(str(paths.live_socket), topics)
