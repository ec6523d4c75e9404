"""Every kind of event in one union, and how events are appended and read."""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError

from . import batch, benchmark, budget, cost, quality
from .base import (
    BATCH_PATTERN,
    MAX_APPEND_EVENTS,
    MAX_READ_EVENTS,
    BatchId,
    Count,
    Moment,
    Name,
    NanoUsd,
    Positive,
    Reply,
    Request,
)

AnyEvent = (
    batch.BatchStarted
    | batch.BatchPausing
    | batch.BatchPaused
    | batch.BatchResumed
    | batch.BatchInterrupted
    | batch.BatchHeld
    | batch.BatchSlept
    | batch.BatchFinished
    | batch.PersonaQueued
    | batch.PersonaGenerating
    | batch.PersonaValidating
    | batch.PersonaRetrying
    | batch.PersonaCompleted
    | batch.PersonaFailed
    | cost.CallStarted
    | cost.CallAbandoned
    | cost.CostRecorded
    | cost.CostCorrected
    | quality.QualityScored
    | quality.GoalSet
    | quality.GoalCleared
    | budget.BudgetSet
    | budget.BudgetCleared
    | budget.PriceSet
    | budget.AlertConfigured
    | budget.AlertRaised
    | budget.AlertAcknowledged
    | budget.ForecastRecorded
    | benchmark.BenchmarkFinished
)


Receipt = dict[str, int | str | None]
"""The unit prices that a cost was computed from, and their source."""


class Recorded(Struct, frozen=True, kw_only=True):
    """An event as the ledger holds it."""

    seq: Positive
    recorded_at: Moment
    event: AnyEvent
    anomaly: str | None = None
    """Why it was kept but not folded."""
    cost_nanousd: NanoUsd | None = None
    """What a `cost.recorded` counts, by its own word or priced by the daemon; null: unpriced."""
    receipt: Receipt | None = None
    """Where the daemon priced it; told by `read`, not in a live frame."""


class Fence(Struct, frozen=True, kw_only=True):
    """Proof that a runner still holds its batch."""

    batch: BatchId
    fence: Positive


class Appended(Reply, frozen=True, tag="appended"):
    """On disk. `first_seq` and `last_seq` are those of the new events, null where none was new."""

    first_seq: Count | None
    last_seq: Count | None
    duplicates: Count
    anomalies: Count
    quarantined: Count


class Append(Request[Appended], frozen=True, tag="append"):
    """All or nothing; answered only after the commit has reached the disk."""

    events: Annotated[list[AnyEvent], Meta(max_length=MAX_APPEND_EVENTS)]
    fence: Fence | None = None


class Exported(Struct, frozen=True, kw_only=True):
    """A line of `events export`."""

    event: AnyEvent
    receipt: Receipt | UnsetType | None = UNSET
    """Null where the event says its own cost, or had no price; absent: still to be priced."""
    derived: bool = False
    """Whether the daemon wrote it."""


class Import(Request[Appended], frozen=True, tag="import"):
    """Takes an export back, the daemon's own events included; raises no alert."""

    items: Annotated[list[Exported], Meta(max_length=MAX_APPEND_EVENTS)]


def check_request(request: Any) -> None:
    """Raises msgspec.ValidationError for what the types of its events leave open."""
    if type(request) is Append:
        _check(request.events, "$.events[{}]")
    elif type(request) is Import:
        _check([item.event for item in request.items], "$.items[{}].event")


def check_event(event: AnyEvent, where: str = "$") -> None:
    """The same of one event by itself."""
    _check((event,), where)


def wrong_batches(names: Iterable[str | None]) -> set[str]:
    """Those that no batch can have."""
    return {each for each in names if each is not None and not re.search(BATCH_PATTERN, each)}


def _check(events: Sequence[AnyEvent], where: str) -> None:
    # Each name once: thousands of events are mostly of a few batches.
    wrong = wrong_batches({e.batch for e in events if type(e) is cost.CostRecorded})
    if wrong:
        place = next(n for n, event in enumerate(events) if getattr(event, "batch", None) in wrong)
        raise ValidationError(
            f"Expected `str` matching regex {BATCH_PATTERN!r} - at `{where.format(place)}.batch`"
        )


class ReadReply(Reply, frozen=True, tag="events"):
    events: list[Recorded]
    last_seq: Count
    """Of the whole ledger."""
    next_seq: Count
    """Read on with this as `after_seq`."""
    more: bool


class Read(Request[ReadReply], frozen=True, tag="read"):
    after_seq: Count = 0
    types: list[Name] = []
    batch: BatchId | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_READ_EVENTS)] = 1_000
    since: Moment | None = None
    """Skips what was recorded over a day before; all that happened from then on comes after it."""


class EventsFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="events-recorded"):
    """Topic `all/`: one commit."""

    seq: Count
    previous_seq: Count
    events: list[Recorded] | None
    """Absent where they are too large for a frame: catch up with `read`."""
