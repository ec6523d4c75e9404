"""The batches rollup: one row a batch, one row a persona, kept when their raw events are gone."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from personad.contract import batch as b
from personad.contract.base import Event
from personad.contract.cost import CallStarted, CostRecorded
from personad.contract.events import AnyEvent
from personad.contract.quality import QualityScored
from personad.contract.schema import tag
from personad.kinds import microseconds
from personad.log import Entry
from personad.projections import states
from personad.projections.batch_rows import SCHEMA, BatchRow, PersonaRow, Rows
from personad.projections.book import Book

NAME = "batches"
VERSION = 1
TABLES: tuple[str, ...] = ("batch", "persona")
_LAST_US = microseconds(datetime(9999, 1, 1, tzinfo=UTC))
"""No time is later and no duration longer, whatever a producer says."""
__all__ = [
    "NAME",
    "NOTICED",
    "SCHEMA",
    "TABLES",
    "VERSION",
    "WANTS",
    "apply",
    "elapsed_us",
    "notice",
    "notice_newest",
    "transition",
]


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; gives those that don't fit, by seq, with the reason."""
    rows = book.rows
    anomalies = []
    for seq, at, event, _ in entries:
        reason = _STEPS[type(event)](rows, seq, at, event)
        if reason is not None:
            anomalies.append((seq, reason))
    rows.save()
    return anomalies


def notice(book: Book, entries: Sequence[Entry]) -> None:
    """What other tables' events, which all fitted there, change of what a batch shows: its cost,
    say. Its seq moves on."""
    newest: dict[str, int] = {}
    personas: dict[str, set[str | None]] = defaultdict(set)
    for seq, _, event, _ in entries:
        batch: str | None = event.batch  # type: ignore[union-attr]
        if batch is not None:
            newest[batch] = seq
            personas[batch].add(event.persona)  # type: ignore[union-attr]
    notice_newest(book, newest, personas.__getitem__)


def notice_newest(
    book: Book, newest: Mapping[str, int], personas: Callable[[str], Iterable[str | None]]
) -> None:
    """The same by the newest of each batch's events; `personas` are those that they are about."""
    rows = book.rows
    for name, seq in newest.items():
        row = rows.batch(name)
        if row is not None and row.seq < seq:
            rows.touch(row, seq)
            rows.notice(name, personas(name))
    rows.save()


def _start(rows: Rows, seq: int, at: int, event: b.BatchStarted) -> str | None:
    if rows.batch(event.batch) is not None:
        return f"{event.batch} was already started"
    row = BatchRow(
        batch=event.batch,
        experiment=event.experiment,
        status="queued",
        provider=event.provider,
        model=event.model,
        concurrency=event.concurrency,
        total=event.total,
        output=event.output,
        source=event.source.path,
        budget_nanousd=event.budget_nanousd,
        stop_on_budget=int(event.stop_on_budget),
        estimate_nanousd=event.estimate_nanousd,
        started_at=at,
        seq=seq,
        moved_seq=seq,
        digest=event.source.digest,
    )
    rows.add(row)
    return None


def _queue(rows: Rows, seq: int, at: int, event: b.PersonaQueued) -> str | None:
    row = rows.batch(event.batch)
    if row is None:
        return f"{event.batch} was never started"
    if rows.persona(event.batch, event.persona) is not None:
        return f"{event.persona} is already in {event.batch}"
    if (owner := rows.index_owner(event.batch, event.index)) is not None:
        return f"place {event.index} of {event.batch} is taken by {owner}"
    if event.index > row.total:
        return f"place {event.index} is past the {row.total} personas of {event.batch}"
    rows.add_persona(PersonaRow(batch=event.batch, index=event.index, persona=event.persona))
    row.queued += 1
    rows.touch(row, seq)
    return None


def transition(event: AnyEvent) -> str:
    """The event's line in the batch table."""
    name = tag(type(event))
    return f"{name} {event.status}" if isinstance(event, b.BatchFinished) else name


def _move(row: BatchRow, seq: int, at: int, status: b.BatchStatus) -> None:
    """Takes the batch to `status` at the event's time, and keeps its running time."""
    if row.status in states.RUNNING and status not in states.RUNNING:
        since = row.running_since if row.running_since is not None else at
        row.active_us = min(row.active_us + max(0, at - since), _LAST_US)
        row.running_since = None
    elif row.status not in states.RUNNING and status in states.RUNNING:
        row.running_since = at
    row.finished_at = at if status not in b.OPEN else None
    row.held_until = None
    row.status = status
    row.moved_seq = seq


def _steer(
    rows: Rows,
    seq: int,
    at: int,
    event: b.BatchPausing | b.BatchPaused | b.BatchResumed | b.BatchInterrupted | b.BatchFinished,
) -> str | None:
    row = rows.batch(event.batch)
    if row is None:
        return f"{event.batch} was never started"
    line = transition(event)
    status = states.BATCH[line].get(row.status)
    if status is None:
        return f"{line} doesn't fit: {event.batch} is {row.status}"
    if row.status in ("partial", "failed") and status == "running":
        _queue_failed(rows, row)
    _move(row, seq, at, status)
    # Why it goes on is no reason for anything that it does, and would look as if it was held.
    row.reason = None if isinstance(event, b.BatchResumed) else event.reason
    if isinstance(event, b.BatchResumed) and event.changes is not None:
        _take_over(row, event.changes)
    rows.touch(row, seq)
    return None


def _hold(rows: Rows, seq: int, at: int, event: b.BatchHeld) -> str | None:
    row = rows.batch(event.batch)
    if row is None:
        return f"{event.batch} was never started"
    # Said too late: the batch stands still for another reason.
    if row.status in ("queued", "running"):
        row.reason = event.reason
        row.held_until = microseconds(event.until) if event.until is not None else None
        rows.touch(row, seq)
    return None


def _sleep(rows: Rows, seq: int, at: int, event: b.BatchSlept) -> str | None:
    row = rows.batch(event.batch)
    if row is None:
        return f"{event.batch} was never started"
    row.slept_us = min(row.slept_us + event.slept_ms * 1_000, _LAST_US)
    rows.touch(row, seq)
    return None


def _queue_failed(rows: Rows, row: BatchRow) -> None:
    """A retry: the failed personas wait again."""
    for persona in rows.failed(row.batch):
        persona.status = "pending"
        persona.error_kind = persona.error_message = persona.retry_at = None
        rows.touch_persona(persona)
    row.failed = 0


def _take_over(row: BatchRow, changes: b.Changes) -> None:
    """What of a resume's changes is shown."""
    if changes.budget_nanousd is not None:
        row.budget_nanousd = changes.budget_nanousd
    if changes.stop_on_budget is not None:
        row.stop_on_budget = int(changes.stop_on_budget)
    if changes.concurrency is not None:
        row.concurrency = changes.concurrency
    if changes.source is not None:
        row.source = changes.source.path


def _advance(
    rows: Rows,
    seq: int,
    at: int,
    event: b.PersonaGenerating
    | b.PersonaValidating
    | b.PersonaRetrying
    | b.PersonaCompleted
    | b.PersonaFailed,
) -> str | None:
    row = rows.batch(event.batch)
    if row is None:
        return f"{event.batch} was never started"
    persona = rows.persona(event.batch, event.persona)
    if persona is None:
        return f"{event.persona} was never queued in {event.batch}"
    line, steps, moves, fill = _LINES[type(event)]
    status = steps.get(persona.status)
    if status is None:
        return f"{line} doesn't fit: {event.persona} is {persona.status}"
    if persona.status == "failed":
        row.failed -= 1
    persona.status = status
    persona.retry_at = None
    if fill is not None:
        fill(row, persona, at, event)
    moved = moves.get(row.status)
    if moved is not None and not _is_lost(row):
        _move(row, seq, at, moved)
    rows.touch(row, seq)
    rows.touch_persona(persona)
    return None


def _is_lost(row: BatchRow) -> bool:
    """Whether a runner lost the batch: what it still says of its personas doesn't run it again."""
    return row.status == "interrupted" and row.reason != states.NEVER_CLAIMED


def _generating(_: BatchRow, persona: PersonaRow, at: int, event: b.PersonaGenerating) -> None:
    persona.attempts = max(persona.attempts, event.attempt)
    persona.started_at = at


def _retrying(_: BatchRow, persona: PersonaRow, at: int, event: b.PersonaRetrying) -> None:
    persona.error_kind, persona.error_message = event.error.kind, event.error.message
    persona.retry_at = min(at + event.delay_ms * 1_000, _LAST_US)


def _completed(row: BatchRow, persona: PersonaRow, _: int, event: b.PersonaCompleted) -> None:
    quality = round(event.composite * 10_000)
    persona.name, persona.path = event.name, event.path
    persona.attempts = max(persona.attempts, event.attempt)
    persona.duration_ms, persona.quality = event.duration_ms, quality
    persona.accepted = int(event.accepted)
    persona.error_kind = persona.error_message = None
    row.completed += 1
    row.quality_sum += quality


def _failed(row: BatchRow, persona: PersonaRow, _: int, event: b.PersonaFailed) -> None:
    persona.attempts = max(persona.attempts, event.attempts)
    persona.error_kind, persona.error_message = event.error.kind, event.error.message
    row.failed += 1


Fill = Callable[[BatchRow, PersonaRow, int, Any], None]
_FILLS: dict[type[Event], Fill | None] = {
    b.PersonaGenerating: _generating,
    b.PersonaValidating: None,
    b.PersonaRetrying: _retrying,
    b.PersonaCompleted: _completed,
    b.PersonaFailed: _failed,
}
"""What an event says about its persona, beyond its state."""


class _Line(NamedTuple):
    """What an event does to its persona, looked up once, as half of a log are these."""

    name: str
    steps: Mapping[b.PersonaStatus, b.PersonaStatus]
    moves: Mapping[b.BatchStatus, b.BatchStatus]
    fill: Fill | None


_LINES: dict[type[Event], _Line] = {
    kind: _Line(tag(kind), states.PERSONA[tag(kind)], states.BATCH.get(tag(kind), {}), fill)
    for kind, fill in _FILLS.items()
}


def elapsed_us(row: BatchRow, now: datetime) -> int:
    """How long the batch has been running, pauses and sleep left out, in microseconds."""
    since = row.running_since
    active_us = row.active_us + (max(0, microseconds(now) - since) if since is not None else 0)
    return max(0, active_us - row.slept_us)


_STEPS: dict[type[Event], Callable[[Rows, int, int, Any], str | None]] = {
    b.BatchStarted: _start,
    b.PersonaQueued: _queue,
    b.BatchHeld: _hold,
    b.BatchSlept: _sleep,
    **dict.fromkeys(
        (b.BatchPausing, b.BatchPaused, b.BatchResumed, b.BatchInterrupted, b.BatchFinished), _steer
    ),
    **dict.fromkeys(_LINES, _advance),
}
NOTICED: frozenset[type[Event]] = frozenset((CostRecorded, CallStarted, QualityScored))
WANTS: tuple[type[Event], ...] = tuple(_STEPS)
