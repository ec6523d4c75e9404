"""The batches rollup: one row a batch, one row a persona, kept when their raw events are gone."""

from collections.abc import Sequence
from datetime import UTC, datetime

import apsw

from personad.contract import batch as b
from personad.contract.cost import CallStarted, CostRecorded
from personad.contract.events import AnyEvent, Recorded
from personad.contract.schema import tag
from personad.kinds import microseconds
from personad.projections import states
from personad.projections.batch_rows import SCHEMA, BatchRow, Fold, PersonaRow

NAME = "batches"
VERSION = 1
MOVES_COSTS = (CallStarted, CostRecorded, b.BatchInterrupted)
_LAST_US = microseconds(datetime(9999, 1, 1, tzinfo=UTC))
"""No time is later and no duration longer, whatever a producer says."""
__all__ = ["NAME", "SCHEMA", "VERSION", "apply", "elapsed_us", "touched", "transition"]


def apply(
    db: apsw.Connection, recorded: Sequence[Recorded], *, since: int
) -> list[tuple[int, str]]:
    """Folds the events in; gives those that don't fit, by seq, with the reason."""
    fold = Fold(db, since)
    anomalies = [
        (each.seq, reason)
        for each in recorded
        if (reason := _one(fold, each.seq, each.event)) is not None
    ]
    fold.save()
    return anomalies


def touched(recorded: Sequence[Recorded]) -> dict[str, bool]:
    """The batches that these events may have changed, and whether their costs are among it."""
    found: dict[str, bool] = {}
    for each in recorded:
        batch: str | None = getattr(each.event, "batch", None)
        if batch is not None:
            found[batch] = isinstance(each.event, MOVES_COSTS) or found.get(batch, False)
    return found


def _one(fold: Fold, seq: int, event: AnyEvent) -> str | None:
    match event:
        case b.BatchStarted():
            return _start(fold, seq, event)
        case b.PersonaQueued():
            return _queue(fold, seq, event)
        case (
            b.BatchPausing()
            | b.BatchPaused()
            | b.BatchResumed()
            | b.BatchInterrupted()
            | b.BatchFinished()
        ):
            return _steer(fold, seq, event)
        case (
            b.PersonaGenerating()
            | b.PersonaValidating()
            | b.PersonaRetrying()
            | b.PersonaCompleted()
            | b.PersonaFailed()
        ):
            return _advance(fold, seq, event)
        case _:
            _notice(fold, seq, event)
            return None


def _notice(fold: Fold, seq: int, event: AnyEvent) -> None:
    """Another table's event changes what the batch shows (its cost), so its seq moves on."""
    name: str | None = getattr(event, "batch", None)
    if name is None or (row := fold.batch(name)) is None:
        return
    row.seq = seq
    fold.changed_batches.add(name)
    if isinstance(event, CostRecorded) and event.persona is not None:
        persona = fold.persona(name, event.persona)
        if persona is not None:
            persona.seq = seq
            fold.changed_personas.add((name, event.persona))


def _start(fold: Fold, seq: int, event: b.BatchStarted) -> str | None:
    if fold.batch(event.batch) is not None:
        return f"{event.batch} was already started"
    fold.batches[event.batch] = BatchRow(
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
        estimate_nanousd=event.estimate_nanousd,
        started_at=microseconds(event.at),
        seq=seq,
        moved_seq=seq,
    )
    fold.changed_batches.add(event.batch)
    return None


def _queue(fold: Fold, seq: int, event: b.PersonaQueued) -> str | None:
    row = fold.batch(event.batch)
    if row is None:
        return f"{event.batch} was never started"
    if fold.persona(event.batch, event.persona) is not None:
        return f"{event.persona} is already in {event.batch}"
    if (owner := fold.index_owner(event.batch, event.index)) is not None:
        return f"place {event.index} of {event.batch} is taken by {owner}"
    if event.index > row.total:
        return f"place {event.index} is past the {row.total} personas of {event.batch}"
    key = (event.batch, event.persona)
    fold.personas[key] = PersonaRow(
        batch=event.batch, index=event.index, persona=event.persona, seq=seq
    )
    fold.indices[event.batch, event.index] = event.persona
    fold.changed_personas.add(key)
    row.queued += 1
    row.seq = seq
    fold.changed_batches.add(event.batch)
    return None


def transition(event: AnyEvent) -> str:
    """The event's line in the batch table."""
    name = tag(type(event))
    return f"{name} {event.status}" if isinstance(event, b.BatchFinished) else name


def _move(row: BatchRow, seq: int, event: AnyEvent, status: b.BatchStatus) -> None:
    """Takes the batch to `status` at the event's time, and keeps its running time."""
    at = microseconds(event.at)
    if row.status in states.RUNNING and status not in states.RUNNING:
        since = row.running_since if row.running_since is not None else at
        row.active_us = min(row.active_us + max(0, at - since), _LAST_US)
        row.running_since = None
    elif row.status not in states.RUNNING and status in states.RUNNING:
        row.running_since = at
    row.finished_at = at if status not in b.OPEN else None
    row.status = status
    row.seq = row.moved_seq = seq


def _steer(
    fold: Fold,
    seq: int,
    event: b.BatchPausing | b.BatchPaused | b.BatchResumed | b.BatchInterrupted | b.BatchFinished,
) -> str | None:
    row = fold.batch(event.batch)
    if row is None:
        return f"{event.batch} was never started"
    line = transition(event)
    status = states.BATCH[line].get(row.status)
    if status is None:
        return f"{line} doesn't fit: {event.batch} is {row.status}"
    _move(row, seq, event, status)
    row.reason = event.reason
    fold.changed_batches.add(event.batch)
    return None


def _advance(
    fold: Fold,
    seq: int,
    event: b.PersonaGenerating
    | b.PersonaValidating
    | b.PersonaRetrying
    | b.PersonaCompleted
    | b.PersonaFailed,
) -> str | None:
    row = fold.batch(event.batch)
    if row is None:
        return f"{event.batch} was never started"
    persona = fold.persona(event.batch, event.persona)
    if persona is None:
        return f"{event.persona} was never queued in {event.batch}"
    line = tag(type(event))
    status = states.PERSONA[line].get(persona.status)
    if status is None:
        return f"{line} doesn't fit: {event.persona} is {persona.status}"
    if persona.status == "failed":
        row.failed -= 1
    persona.status = status
    persona.seq = seq
    _fill(row, persona, event)
    moved = states.BATCH.get(line, {}).get(row.status)
    if moved is not None and not _is_lost(row):
        _move(row, seq, event, moved)
    row.seq = seq
    fold.changed_batches.add(event.batch)
    fold.changed_personas.add((event.batch, event.persona))
    return None


def _is_lost(row: BatchRow) -> bool:
    """Whether a runner lost the batch: what it still says of its personas doesn't run it again."""
    return row.status == "interrupted" and row.reason != states.NEVER_CLAIMED


def _fill(row: BatchRow, persona: PersonaRow, event: AnyEvent) -> None:
    """What the event says about the persona, beyond its state."""
    persona.retry_at = None
    match event:
        case b.PersonaGenerating():
            persona.attempts = max(persona.attempts, event.attempt)
            persona.started_at = microseconds(event.at)
        case b.PersonaRetrying():
            persona.error_kind, persona.error_message = event.error.kind, event.error.message
            persona.retry_at = min(microseconds(event.at) + event.delay_ms * 1_000, _LAST_US)
        case b.PersonaCompleted():
            quality = round(event.composite * 10_000)
            persona.name, persona.path = event.name, event.path
            persona.attempts = max(persona.attempts, event.attempt)
            persona.duration_ms, persona.quality = event.duration_ms, quality
            persona.accepted = int(event.accepted)
            persona.error_kind = persona.error_message = None
            row.completed += 1
            row.quality_sum += quality
        case b.PersonaFailed():
            persona.attempts = max(persona.attempts, event.attempts)
            persona.error_kind, persona.error_message = event.error.kind, event.error.message
            row.failed += 1
        case _:
            pass


def elapsed_us(row: BatchRow, now: datetime) -> int:
    """How long the batch has been running, pauses left out, in microseconds."""
    since = row.running_since
    return row.active_us + (max(0, microseconds(now) - since) if since is not None else 0)
