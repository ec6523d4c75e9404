"""What is asked about batches, answered from their rows."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from random import Random
from typing import NamedTuple

import apsw

from personad.analytics.eta import OWN, POOLED, busy_slots, eta
from personad.contract import batch as b
from personad.contract.base import ErrorInfo
from personad.contract.errors import LedgerError
from personad.kinds import microseconds, moment_of
from personad.projections import batch_costs, persona_costs, states
from personad.projections.batch_rows import BatchRow, PersonaRow, Rows, load, personas_of
from personad.projections.batches import elapsed_us

_LIST = f"""
WITH {batch_costs.LATE}
SELECT batch, experiment, status, provider, model, total, completed, failed, started_at,
  {batch_costs.SPENT}, {batch_costs.UNPRICED}
FROM batch
WHERE :statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses))
ORDER BY started_at DESC, batch DESC LIMIT :limit
"""  # noqa: S608 - an expression of ours
_IN_FLIGHT = """
SELECT persona, started_at, retry_at FROM persona WHERE batch = ?
  AND status IN ('generating', 'validating', 'retrying')
"""
_COUNTS = """
SELECT status, count(*) FROM persona WHERE batch = ?
  AND status IN ('generating', 'validating', 'retrying') GROUP BY status
"""
_DURATIONS = """
SELECT duration_ms FROM persona WHERE batch = ? AND status = 'completed'
ORDER BY "index" DESC LIMIT ?
"""
_HISTORY = """
SELECT duration_ms FROM persona WHERE duration_ms IS NOT NULL AND batch IN (
  SELECT batch FROM batch WHERE provider = ? AND model = ? AND batch <> ?
  ORDER BY started_at DESC LIMIT 5)
LIMIT ?
"""
_BY_PREFIX = "SELECT batch FROM batch WHERE batch >= :from AND batch < :to LIMIT 6"
_NEWEST = "SELECT batch FROM batch ORDER BY started_at DESC, batch DESC LIMIT 1"
_SOME = "SELECT batch FROM batch ORDER BY started_at DESC LIMIT 200"
_OPEN = """
SELECT batch, seq FROM batch WHERE status IN
  ('queued', 'running', 'pausing', 'paused', 'interrupted')
"""
_COUNT_OPEN = """
SELECT count(*) FROM batch WHERE status IN
  ('queued', 'running', 'pausing', 'paused', 'interrupted')
"""

_NANOUSD_MAX = 2**63 - 1
ESTIMATE_EVERY = timedelta(milliseconds=250)


def open_batches(db: apsw.Connection) -> dict[str, int]:
    """Each batch that may still change, with its newest seq."""
    return dict(db.execute(_OPEN))


def count_open(db: apsw.Connection) -> int:
    return int(db.execute(_COUNT_OPEN).get)


def list_batches(db: apsw.Connection, request: b.BatchList) -> b.BatchListReply:
    statuses = ",".join(f'"{status}"' for status in request.statuses)
    found = db.execute(
        _LIST, {"statuses": f"[{statuses}]" if statuses else None, "limit": request.limit}
    )
    return b.BatchListReply(
        batches=[
            b.BatchSummary(
                batch=batch,
                experiment=experiment,
                status=status,
                provider=provider,
                model=model,
                total=total,
                completed=completed,
                failed=failed,
                started_at=moment_of(started_at),
                cost_nanousd=cost if cost or not unpriced else None,
            )
            for (
                batch,
                experiment,
                status,
                provider,
                model,
                total,
                completed,
                failed,
                started_at,
                cost,
                unpriced,
            ) in found
        ]
    )


def find(db: apsw.Connection, name: str) -> str:
    """The id that `name` means: itself, the only one that begins with it, or `last`.

    Raises:
        LedgerError: `not-found`, with the nearest ids.
    """
    if name == "last":
        newest = db.execute(_NEWEST).fetchone()
        if newest is None:
            raise LedgerError(
                "not-found", "there is no batch yet", hint="make one with `persona generate`"
            )
        return str(newest[0])
    if load(db, name) is not None:
        return name
    matches = [row[0] for row in db.execute(_BY_PREFIX, {"from": name, "to": name + "\U0010ffff"})]
    if len(matches) == 1:
        return str(matches[0])
    if matches:
        listed = ", ".join(matches[:5]) + (", …" if len(matches) > 5 else "")
        raise LedgerError("not-found", f"several batches begin with {name!r}: {listed}")
    near = get_close_matches(name, [row[0] for row in db.execute(_SOME)], n=3)
    raise LedgerError(
        "not-found",
        f"there is no batch {name!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else "`persona batch list` shows them",
    )


def show(db: apsw.Connection, batch: str, now: datetime) -> b.BatchState:
    """The batch as it now is, with all its personas."""
    row = load(db, batch)
    if row is None:
        raise LedgerError("not-found", f"there is no batch {batch!r}")
    told = _told(db, row, now)
    return _state(db, row, now, told, personas_of(db, batch), persona_costs.of_personas(db, batch))


class Told(NamedTuple):
    """What a frame may take over from the one before, since it costs more to find out."""

    at: datetime
    status: str
    sums: batch_costs.OfBatch
    eta: b.Eta | None


def change(
    rows: Rows, row: BatchRow, now: datetime, *, told: Told | None, is_cost_moved: bool
) -> tuple[b.BatchState, Told]:
    """The batch as it now is, with the personas that this transaction has changed.

    Its estimate is made anew four times a second, its sums when a cost has moved.
    """
    db, changed = rows.db, rows.changed.get(row.batch, set())
    if told is None or told.status != row.status or now - told.at > ESTIMATE_EVERY:
        told = _told(db, row, now)
    elif is_cost_moved:
        told = told._replace(sums=batch_costs.of_batch(db, row.batch))
    if row.moved_seq > row.previous_seq:
        # A batch without a runner shows those in flight as paused, so they have changed as well.
        changed = changed | {persona for persona, *_ in db.execute(_IN_FLIGHT, (row.batch,))}
    found = (rows.persona(row.batch, persona) for persona in changed)
    personas = sorted((each for each in found if each is not None), key=lambda each: each.index)
    spent_on = persona_costs.of_some(db, row.batch, changed)
    return _state(db, row, now, told, personas, spent_on), told


def _told(db: apsw.Connection, row: BatchRow, now: datetime) -> Told:
    return Told(now, row.status, batch_costs.of_batch(db, row.batch), _eta(db, row, now))


def _state(
    db: apsw.Connection,
    row: BatchRow,
    now: datetime,
    told: Told,
    personas: Sequence[PersonaRow],
    spent_on: Mapping[str, int],
) -> b.BatchState:
    held = states.standing_as(row.status)
    counts = _counts(db, row, held)
    return b.BatchState(
        batch=row.batch,
        experiment=row.experiment,
        status=row.status,
        reason=row.reason,
        provider=row.provider,
        model=row.model,
        total=row.total,
        counts=counts,
        started_at=moment_of(row.started_at),
        finished_at=moment_of(row.finished_at) if row.finished_at is not None else None,
        elapsed_ms=elapsed_us(row, now) // 1_000,
        slept_ms=row.slept_us // 1_000,
        held_until=moment_of(row.held_until) if row.held_until is not None else None,
        eta_ms=told.eta,
        cost=_cost(row, told.sums, counts),
        usage=_usage(told.sums),
        quality=row.quality_sum / row.completed / 10_000 if row.completed else None,
        concurrency=row.concurrency,
        output=row.output,
        source=row.source,
        personas=[_persona(each, _spent(each, spent_on, told.sums), held) for each in personas],
        seq=row.seq,
        as_of=now,
    )


def _spent(row: PersonaRow, spent_on: Mapping[str, int], sums: batch_costs.OfBatch) -> int | None:
    """On a persona; None where its calls have no price. A batch's calls are all of one model."""
    spent = spent_on.get(row.persona, 0)
    has_called = row.attempts > (row.status == "generating")
    return None if not spent and has_called and sums.unpriced_calls else spent


def _persona(
    row: PersonaRow, cost_nanousd: int | None, held: b.PersonaStatus | None
) -> b.PersonaRow:
    error = None
    if row.error_kind:
        error = ErrorInfo(kind=row.error_kind, message=row.error_message or "")
    return b.PersonaRow(
        index=row.index,
        persona=row.persona,
        name=row.name,
        status=held if held and row.status in states.IN_FLIGHT else row.status,
        attempts=row.attempts,
        duration_ms=row.duration_ms,
        cost_nanousd=cost_nanousd,
        quality=row.quality / 10_000 if row.quality is not None else None,
        accepted=bool(row.accepted) if row.accepted is not None else None,
        error=error,
        started_at=moment_of(row.started_at) if row.started_at is not None else None,
        retry_at=moment_of(row.retry_at) if row.retry_at is not None and not held else None,
        path=row.path,
    )


def _counts(db: apsw.Connection, row: BatchRow, held: b.PersonaStatus | None) -> b.Counts:
    found: dict[str, int] = dict(db.execute(_COUNTS, (row.batch,)))
    found |= {"completed": row.completed, "failed": row.failed}
    # Personas that are planned but not queued yet wait as well.
    found["pending"] = max(0, row.total - sum(found.values()))
    if held:
        found[held] = found.get(held, 0) + sum(found.pop(each, 0) for each in states.IN_FLIGHT)
    return b.Counts(**found)


def eta_of(db: apsw.Connection, batch: str, now: datetime) -> b.Eta | None:
    """How long the rest of a batch will take, judged now."""
    row = load(db, batch)
    return None if row is None else _eta(db, row, now)


def _eta(db: apsw.Connection, row: BatchRow, now: datetime) -> b.Eta | None:
    if row.status not in ("queued", "running"):
        return None
    # Personas begin in their order, so the last ones in it are the newest.
    done = [duration_ms for (duration_ms,) in db.execute(_DURATIONS, (row.batch, OWN))][::-1]
    earlier: list[int] = []
    if len(done) < POOLED:
        asked = (row.provider, row.model, row.batch, POOLED)
        earlier = [duration_ms for (duration_ms,) in db.execute(_HISTORY, asked)]
    now_us = microseconds(now)
    held_until = max(now_us, row.held_until or 0)
    ages = _ages_ms(db, row.batch, now_us, held_until)
    ended = row.completed + row.failed
    active_ms = elapsed_us(row, now) // 1_000
    return eta(
        done,
        earlier,
        ages,
        pending=max(0, row.total - ended - len(ages)),
        slots=busy_slots(done, ages, ended=ended, slots=row.concurrency, active_ms=active_ms),
        rng=Random(row.total),
        held_ms=(held_until - now_us) // 1_000,
    )


def _ages_ms(db: apsw.Connection, batch: str, now_us: int, held_until: int) -> list[int]:
    """How long each in flight has been running; negative: how long until it is tried again."""
    begun = (
        max(retry_at, held_until) if retry_at and held_until > now_us else retry_at or started_at
        for _, started_at, retry_at in db.execute(_IN_FLIGHT, (batch,))
    )
    return [(now_us - at) // 1_000 for at in begun if at is not None]


def _cost(row: BatchRow, sums: batch_costs.OfBatch, counts: b.Counts) -> b.BatchCost:
    return b.BatchCost(
        spent_nanousd=sums.spent_nanousd,
        reserved_nanousd=sums.reserved_nanousd,
        unresolved_nanousd=sums.unresolved_nanousd,
        projected_nanousd=_projected(row, sums, counts),
        budget_nanousd=row.budget_nanousd,
    )


def _projected(row: BatchRow, sums: batch_costs.OfBatch, counts: b.Counts) -> int | None:
    """What the whole will cost, if the rest costs as much apiece as those that are paid for."""
    spent = sums.spent_nanousd
    if sums.unpriced_calls:
        return None
    if row.status not in b.OPEN:
        return spent
    if not row.completed:
        return row.estimate_nanousd
    paid = row.completed + row.failed + counts.validating
    return min(spent * max(paid, row.total) // paid, _NANOUSD_MAX)


def _usage(sums: batch_costs.OfBatch) -> b.BatchUsage:
    return b.BatchUsage(
        calls=sums.calls,
        input_tokens=sums.input_tokens,
        output_tokens=sums.output_tokens,
        cache_read_tokens=sums.cache_read_tokens,
        cache_write_tokens=sums.cache_write_tokens,
        unpriced_calls=sums.unpriced_calls,
    )
