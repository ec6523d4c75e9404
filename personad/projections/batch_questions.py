"""What is asked about batches, answered from their rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import NamedTuple

import apsw

from personad.analytics.eta import YOUNG, Seen, eta
from personad.contract import batch as b
from personad.contract.base import ErrorInfo
from personad.contract.errors import LedgerError
from personad.kinds import microseconds, moment_of
from personad.projections import costs, states
from personad.projections.batch_rows import BatchRow, load
from personad.projections.batches import elapsed_us

_LIST = f"""
SELECT batch, experiment, status, provider, model, total, completed, failed, started_at,
  (SELECT {costs.exact_sum("cost_nanousd")} FROM call WHERE call.batch = batch.batch)
FROM batch
WHERE :statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses))
ORDER BY started_at DESC, batch DESC LIMIT :limit
"""  # noqa: S608 - an expression of ours
_COLUMNS = """"index", persona, name, status, attempts, duration_ms, quality, accepted,
  error_kind, error_message, started_at, retry_at, path"""
_PERSONAS = f'SELECT {_COLUMNS} FROM persona WHERE batch = ? ORDER BY "index"'  # noqa: S608
# All states are named so that the index on (batch, status, seq) finds the few that changed. Those
# in flight are shown by the state of the batch as well.
_CHANGED = f"""
SELECT {_COLUMNS} FROM persona INDEXED BY persona_by_status WHERE batch = :batch AND seq > :after
  AND status IN ('pending', 'generating', 'validating', 'retrying', 'completed', 'failed')
ORDER BY 1
"""  # noqa: S608 - columns are a constant of ours
_IN_FLIGHT = f"""
SELECT {_COLUMNS} FROM persona INDEXED BY persona_by_status WHERE batch = ?
  AND status IN ('generating', 'validating', 'retrying')
"""  # noqa: S608 - columns are a constant of ours
_COUNTS = "SELECT status, count(*) FROM persona WHERE batch = ? GROUP BY status"
_SEEN = """
SELECT count(*), total(duration_ms), total(1.0 * duration_ms * duration_ms)
FROM persona WHERE batch = ? AND status = 'completed'
"""
_DURATIONS = "SELECT duration_ms FROM persona WHERE batch = ? AND status = 'completed'"
_HISTORY = """
SELECT duration_ms FROM persona WHERE duration_ms IS NOT NULL AND batch IN (
  SELECT batch FROM batch WHERE provider = ? AND model = ? AND batch <> ?
  ORDER BY started_at DESC LIMIT 5)
LIMIT 200
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
                cost_nanousd=cost,
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
    personas = list(db.execute(_PERSONAS, (batch,)))
    return _state(db, row, now, told, personas, costs.of_personas(db, batch))


class Told(NamedTuple):
    """What a frame may take over from the one before, since it costs more to find out."""

    at: datetime
    status: str
    sums: costs.OfBatch
    eta: b.Eta | None


def change(
    db: apsw.Connection,
    row: BatchRow,
    now: datetime,
    *,
    after_seq: int,
    told: Told | None,
    is_cost_moved: bool,
) -> tuple[b.BatchState, Told]:
    """The batch as it now is, with the personas that changed after `after_seq`.

    Its estimate is made anew four times a second, its sums when a cost has moved.
    """
    if told is None or told.status != row.status or now - told.at > ESTIMATE_EVERY:
        told = _told(db, row, now)
    elif is_cost_moved:
        told = told._replace(sums=costs.of_batch(db, row.batch))
    personas = list(db.execute(_CHANGED, {"batch": row.batch, "after": after_seq}))
    if row.moved_seq > after_seq:
        # A batch without a runner shows those in flight as paused, so they have changed as well.
        known = {values[0] for values in personas}
        others = db.execute(_IN_FLIGHT, (row.batch,))
        personas = sorted([*personas, *(values for values in others if values[0] not in known)])
    spent_on = costs.of_some(db, row.batch, [str(values[1]) for values in personas])
    return _state(db, row, now, told, personas, spent_on), told


def _told(db: apsw.Connection, row: BatchRow, now: datetime) -> Told:
    return Told(now, row.status, costs.of_batch(db, row.batch), _eta(db, row, now))


def _state(
    db: apsw.Connection,
    row: BatchRow,
    now: datetime,
    told: Told,
    personas: Sequence[Sequence[object]],
    spent_on: dict[str, int],
) -> b.BatchState:
    held = row.status in ("paused", "interrupted")
    return b.BatchState(
        batch=row.batch,
        experiment=row.experiment,
        status=row.status,
        reason=row.reason,
        provider=row.provider,
        model=row.model,
        total=row.total,
        counts=_counts(db, row, held=held),
        started_at=moment_of(row.started_at),
        finished_at=moment_of(row.finished_at) if row.finished_at is not None else None,
        elapsed_ms=elapsed_us(row, now) // 1_000,
        slept_ms=0,
        eta_ms=told.eta,
        cost=_cost(row, told.sums),
        usage=_usage(told.sums),
        quality=row.quality_sum / row.completed / 10_000 if row.completed else None,
        concurrency=row.concurrency,
        output=row.output,
        source=row.source,
        personas=[_persona(values, spent_on, held=held) for values in personas],
        seq=row.seq,
        as_of=now,
    )


def _persona(values: Sequence[object], spent_on: dict[str, int], *, held: bool) -> b.PersonaRow:
    (
        index,
        persona,
        name,
        status,
        attempts,
        duration_ms,
        quality,
        accepted,
        error_kind,
        error_message,
        started_at,
        retry_at,
        path,
    ) = values
    error = ErrorInfo(kind=str(error_kind), message=str(error_message)) if error_kind else None
    return b.PersonaRow(
        index=index,  # type: ignore[arg-type]
        persona=persona,  # type: ignore[arg-type]
        name=name,  # type: ignore[arg-type]
        status="paused" if held and status in states.IN_FLIGHT else status,  # type: ignore[arg-type]
        attempts=attempts,  # type: ignore[arg-type]
        duration_ms=duration_ms,  # type: ignore[arg-type]
        cost_nanousd=spent_on.get(persona, 0),  # type: ignore[call-overload]
        quality=quality / 10_000 if isinstance(quality, int) else None,
        accepted=bool(accepted) if accepted is not None else None,
        error=error,
        started_at=moment_of(started_at) if isinstance(started_at, int) else None,
        retry_at=moment_of(retry_at) if isinstance(retry_at, int) else None,
        path=path,  # type: ignore[arg-type]
    )


def _counts(db: apsw.Connection, row: BatchRow, *, held: bool) -> b.Counts:
    found: dict[str, int] = dict(db.execute(_COUNTS, (row.batch,)))
    # Personas that are planned but not queued yet wait as well.
    found["pending"] = found.get("pending", 0) + max(0, row.total - sum(found.values()))
    if held:
        found["paused"] = sum(found.pop(status, 0) for status in states.IN_FLIGHT)
    return b.Counts(**found)


def _eta(db: apsw.Connection, row: BatchRow, now: datetime) -> b.Eta | None:
    if row.status not in ("queued", "running"):
        return None
    seen = Seen.of_sums(*db.execute(_SEEN, (row.batch,)).fetchone() or (0, 0, 0))
    if seen.n < YOUNG:
        own = db.execute(_DURATIONS, (row.batch,))
        earlier = db.execute(_HISTORY, (row.provider, row.model, row.batch))
        seen = Seen.of([duration_ms for rows in (own, earlier) for (duration_ms,) in rows])
    now_us = microseconds(now)
    begun = [values[10] for values in db.execute(_IN_FLIGHT, (row.batch,))]
    ages = [max(0, now_us - at) // 1_000 for at in begun if at is not None]
    pending = row.total - row.completed - row.failed - len(ages)
    return eta(seen, ages, pending=max(0, pending), slots=row.concurrency)


def _cost(row: BatchRow, sums: costs.OfBatch) -> b.BatchCost:
    spent = sums.spent_nanousd
    if row.completed:
        projected: int | None = min(spent * row.total // row.completed, _NANOUSD_MAX)
    else:
        projected = row.estimate_nanousd
    return b.BatchCost(
        spent_nanousd=spent,
        reserved_nanousd=sums.reserved_nanousd,
        unresolved_nanousd=sums.unresolved_nanousd,
        projected_nanousd=projected if row.status in b.OPEN else spent,
        budget_nanousd=row.budget_nanousd,
    )


def _usage(sums: costs.OfBatch) -> b.BatchUsage:
    return b.BatchUsage(
        calls=sums.calls,
        input_tokens=sums.input_tokens,
        output_tokens=sums.output_tokens,
        cache_read_tokens=sums.cache_read_tokens,
        cache_write_tokens=sums.cache_write_tokens,
    )
