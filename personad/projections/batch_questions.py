"""What is asked about batches, answered from their rows."""

from collections.abc import Sequence
from datetime import datetime
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
SELECT {_COLUMNS} FROM persona WHERE batch = :batch AND seq > :after
  AND status IN ('pending', 'generating', 'validating', 'retrying', 'completed', 'failed')
UNION
SELECT {_COLUMNS} FROM persona WHERE :moved AND batch = :batch
  AND status IN ('generating', 'validating', 'retrying')
ORDER BY 1
"""  # noqa: S608 - columns are a constant of ours
_STANDING = """
SELECT status, count(*), total(duration_ms), total(1.0 * duration_ms * duration_ms),
  group_concat(iif(status IN ('generating', 'validating', 'retrying'), started_at, NULL))
FROM persona WHERE batch = ? GROUP BY status
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


def show(
    db: apsw.Connection,
    batch: str,
    now: datetime,
    *,
    after_seq: int | None = None,
) -> b.BatchState:
    """The batch as it now is; with `after_seq`, only the personas changed by later events."""
    row = load(db, batch)
    if row is None:
        raise LedgerError("not-found", f"there is no batch {batch!r}")
    sums = costs.of_batch(db, batch)
    standing = _standing(db, batch)
    held = row.status in ("paused", "interrupted")
    if after_seq is None:
        found = list(db.execute(_PERSONAS, (batch,)))
        spent_on = costs.of_personas(db, batch)
    else:
        moved = row.moved_seq > after_seq
        found = list(db.execute(_CHANGED, {"batch": batch, "after": after_seq, "moved": moved}))
        spent_on = costs.of_some(db, batch, [str(values[1]) for values in found])
    return b.BatchState(
        batch=row.batch,
        experiment=row.experiment,
        status=row.status,
        reason=row.reason,
        provider=row.provider,
        model=row.model,
        total=row.total,
        counts=_counts(row, standing, held=held),
        started_at=moment_of(row.started_at),
        finished_at=moment_of(row.finished_at) if row.finished_at is not None else None,
        elapsed_ms=elapsed_us(row, now) // 1_000,
        slept_ms=0,
        eta_ms=_eta(db, row, standing, now),
        cost=_cost(row, sums),
        usage=_usage(sums),
        quality=row.quality_sum / row.completed / 10_000 if row.completed else None,
        concurrency=row.concurrency,
        output=row.output,
        source=row.source,
        personas=[_persona(values, spent_on, held=held) for values in found],
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


class _Standing(NamedTuple):
    """How the personas of a batch stand, told in one look at their rows."""

    counts: dict[str, int]
    seen: Seen
    begun_us: list[int]
    """When each persona in flight began."""


def _standing(db: apsw.Connection, batch: str) -> _Standing:
    counts: dict[str, int] = {}
    seen = Seen(0, 0, 0)
    begun: list[int] = []
    for status, count, total_ms, square_total, moments in db.execute(_STANDING, (batch,)):
        counts[status] = count
        if status == "completed":
            seen = Seen.of_sums(count, total_ms, square_total)
        begun += map(int, moments.split(",")) if moments else ()
    return _Standing(counts, seen, begun)


def _counts(row: BatchRow, standing: _Standing, *, held: bool) -> b.Counts:
    found = dict(standing.counts)
    # Personas that are planned but not queued yet wait as well.
    found["pending"] = found.get("pending", 0) + max(0, row.total - sum(found.values()))
    if held:
        found["paused"] = sum(found.pop(status, 0) for status in states.IN_FLIGHT)
    return b.Counts(**found)


def _eta(db: apsw.Connection, row: BatchRow, standing: _Standing, now: datetime) -> b.Eta | None:
    if row.status not in ("queued", "running"):
        return None
    seen = standing.seen
    if seen.n < YOUNG:
        own = db.execute(_DURATIONS, (row.batch,))
        earlier = db.execute(_HISTORY, (row.provider, row.model, row.batch))
        seen = Seen.of([duration_ms for rows in (own, earlier) for (duration_ms,) in rows])
    now_us = microseconds(now)
    ages = [max(0, now_us - begun) // 1_000 for begun in standing.begun_us]
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
