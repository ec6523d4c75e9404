"""What is asked about single calls, answered from the log: which there were, and how each came to
its cost."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import apsw
import msgspec

from personad import civil, log
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.asking import Filter
from personad.contract.errors import LedgerError
from personad.kinds import CODE_OF, event_of
from personad.names import texts_of
from personad.pricing import Receipt, from_flat, parts_of, tokens_of
from personad.projections import batch_questions
from personad.projections.asked import resolve
from personad.projections.buckets import SUM_MAX

_RECORDED = CODE_OF[c.CostRecorded]
_COLUMNS = "event.seq, event.id, event.at, event.cost, prices, event.body"
_FROM = "event LEFT JOIN price ON price.key = event.price"
_DEAREST = f"""
SELECT {_COLUMNS} FROM {_FROM}
WHERE event.seq >= ? AND kind = {_RECORDED} AND at >= ? AND at < ?
ORDER BY event.cost DESC, event.seq
"""  # noqa: S608 - numbers and columns of ours
_WITHOUT_COST = f"""
SELECT {_COLUMNS} FROM {_FROM}
WHERE event.seq >= ? AND kind = {_RECORDED} AND at >= ? AND at < ? AND event.cost IS NULL
ORDER BY event.seq DESC
"""  # noqa: S608
_ONE = f"SELECT {_COLUMNS} FROM {_FROM} WHERE event.seq = ?"  # noqa: S608
_OF_BATCH = f"""
SELECT {_COLUMNS} FROM {_FROM}
WHERE event.seq >= ? AND kind = {_RECORDED} AND event.batch = ? ORDER BY event.seq
"""  # noqa: S608
_BODY = "SELECT id, at, kind, body FROM event WHERE seq = ?"
_CALL = "SELECT seq, corrected FROM call WHERE call = ?"
_CALLS = "SELECT call, seq FROM call WHERE call >= ? AND call < ? LIMIT 6"
_HELD = "SELECT reserved_nanousd FROM open_call WHERE call = ?"
_PERSONA = "SELECT batch, persona FROM persona WHERE persona >= ? AND persona < ? LIMIT 6"
_BATCH = "SELECT key, first_seq FROM batch_key WHERE batch = ?"
_END = "\U0010ffff"
PRODUCER = "producer"
_MILLION = 1_000_000


class _Found(NamedTuple):
    """A call whose event counts."""

    seq: int
    event: c.CostRecorded
    cost: int | None
    receipt: Receipt | None
    corrected: str | None


def calls(db: apsw.Connection, request: k.CostCalls, now: datetime) -> k.CostCallsReply:
    """The dearest calls of a range, or those without a price or an answer.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    since_us, until_us = (quarter * civil.QUARTER_US for quarter in (asked.first, asked.end))
    sql = _WITHOUT_COST if request.unpriced or request.unknown else _DEAREST
    rows = db.execute(sql, (log.first_seq(db, since_us), since_us, until_us))
    batches = {batch_questions.find(db, name) for name in request.filter.batches}
    found: list[k.CostCall] = []
    for each in _counting(db, rows):
        if _is_wanted(each.event, request, batches):
            found.append(_call(each))
        if len(found) > request.limit:
            break
    kept = sorted(found[: request.limit], key=lambda call: -(call.cost_nanousd or 0))
    return k.CostCallsReply(range=asked.period, calls=kept, more=len(found) > request.limit)


def explain(db: apsw.Connection, request: k.CostExplain, now: datetime) -> k.CostExplainReply:
    """How calls came to their cost.

    Raises:
        LedgerError: `not-found`, nothing has that id.
    """
    found = []
    for each in _counting(db, _rows_of(db, request.id)):
        found.append(_explained(each))
        if len(found) > request.limit:
            break
    kept = found[: request.limit]
    if not kept:
        raise LedgerError(
            "not-found",
            f"no call of {request.id!r} has a cost in the log",
            field="$.id",
            hint="`persona cost calls` lists calls; what retention has dropped is in sums only",
        )
    total = sum(call.cost_nanousd or 0 for call in kept)
    return k.CostExplainReply(
        calls=kept, cost_nanousd=min(total, SUM_MAX), more=len(found) > request.limit
    )


def recorded_between(
    db: apsw.Connection, first: int, since_us: int, until_us: int
) -> Iterator[Sequence[Any]]:
    """Every cost that happened in that time, as rows."""
    return iter(db.execute(_DEAREST, (first, since_us, until_us)))


def of_calls(db: apsw.Connection, names: Sequence[str]) -> Iterator[_Found]:
    """What counts for these calls; unknown names are left out."""
    for name in names:
        row = db.execute(_CALL, (name,)).fetchone()
        if row is not None:
            yield from _counting(db, iter(list(db.execute(_ONE, (row[0],)))))


def filtered(db: apsw.Connection, rows: Iterator[Sequence[Any]], kept: Filter) -> Iterator[_Found]:
    """Those that count for their calls, and that the filter leaves in."""
    request = k.CostCalls(filter=kept)
    batches = {batch_questions.find(db, name) for name in kept.batches}
    return (each for each in _counting(db, rows) if _is_wanted(each.event, request, batches))


def _counting(db: apsw.Connection, rows: Iterator[Sequence[Any]]) -> Iterator[_Found]:
    """Those of the events that count for their calls, with what counts."""
    text = texts_of(db).text
    for seq, event_id, at, cost, prices, body in rows:
        event = event_of(_RECORDED, event_id, at, body, text)
        assert isinstance(event, c.CostRecorded)
        row = db.execute(_CALL, (event.call,)).fetchone()
        if row is None or row[0] != seq:
            continue
        corrected = None
        receipt = None
        if prices is not None:
            stored = msgspec.json.decode(prices, type=dict[str, object])
            receipt = Receipt(from_flat(stored).prices, tokens_of(event))
        counted = cost
        if row[1] is not None:
            newer = _corrected(db, int(row[1]))
            counted, corrected = newer.cost_nanousd, newer.reason
        elif event.outcome == "unknown":
            counted = db.execute(_HELD, (event.call,)).get
        yield _Found(seq, event, counted, receipt, corrected)


def _corrected(db: apsw.Connection, seq: int) -> c.CostCorrected:
    event_id, at, code, body = db.execute(_BODY, (seq,)).fetchone() or (b"", 0, 0, b"")
    event = event_of(code, event_id, at, body, texts_of(db).text)
    assert isinstance(event, c.CostCorrected)
    return event


def _is_wanted(event: c.CostRecorded, request: k.CostCalls, batches: set[str]) -> bool:
    if request.unknown != (event.outcome == "unknown") and (request.unknown or request.unpriced):
        return False
    kept: Filter = request.filter
    return (
        _in(event.provider, kept.providers)
        and _in(event.model, kept.models)
        and _in(event.experiment, kept.experiments)
        and (not batches or event.batch in batches)
    )


def _in(name: str | None, wanted: Sequence[str]) -> bool:
    return not wanted or name in wanted


def _call(found: _Found) -> k.CostCall:
    return k.CostCall(**_fields(found))


def _fields(found: _Found) -> dict[str, Any]:
    event = found.event
    source = found.receipt.prices.source if found.receipt is not None else None
    return {
        "call": event.call,
        "at": event.at,
        "seq": found.seq,
        "provider": event.provider,
        "model": event.model,
        "operation": event.operation,
        "outcome": event.outcome,
        "batch": event.batch,
        "persona": event.persona,
        "experiment": event.experiment,
        "request_id": event.request_id,
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "cache_read_tokens": event.cache_read_tokens,
        "cache_write_tokens": event.cache_write_tokens,
        "estimated": event.estimated,
        "cost_nanousd": found.cost,
        "price_source": PRODUCER if event.cost_nanousd is not None else source,
        "corrected": found.corrected,
    }


def _explained(found: _Found) -> k.ExplainedCall:
    receipt = found.receipt
    lines, price = [], None
    if receipt is not None:
        lines = [
            k.BillLine(
                kind=part.kind,
                tokens=part.amount,
                price_per_million_nanousd=round(part.price_nanousd * _MILLION / part.per_tokens),
                cost_nanousd=part.cost_nanousd,
            )
            for part in parts_of(receipt)
        ]
        prices = receipt.prices
        price = k.BillPrice(source=prices.source, effective_from=prices.effective_from)
    return k.ExplainedCall(**_fields(found), lines=lines, price=price)


def _rows_of(db: apsw.Connection, name: str) -> Iterator[Sequence[Any]]:
    """The costs that are recorded of a call, a persona or a batch."""
    if name != "last":
        calls_found = list(db.execute(_CALLS, (name, name + _END)))
        exact = [each for each in calls_found if each[0] == name] or calls_found
        if len(exact) == 1:
            return iter(list(db.execute(_ONE, (exact[0][1],))))
        if exact:
            raise _several("calls", name, [call for call, _ in exact])
        personas = list(db.execute(_PERSONA, (name, name + _END)))
        if len(personas) > 1 and name not in {persona for _, persona in personas}:
            raise _several("personas", name, [persona for _, persona in personas])
        if personas:
            batch, persona = personas[0]
            return _of_persona(db, str(batch), str(persona))
    try:
        batch = batch_questions.find(db, name)
    except LedgerError as error:
        if name == "last" or "several" in error.message:
            raise
        raise LedgerError(
            "not-found",
            f"there is no call, persona or batch {name!r}",
            field="$.id",
            hint="`persona cost calls` lists calls, `persona batch list` batches",
        ) from None
    return _of_batch(db, batch)


def _of_batch(db: apsw.Connection, batch: str) -> Iterator[Sequence[Any]]:
    row = db.execute(_BATCH, (batch,)).fetchone()
    return iter(db.execute(_OF_BATCH, (row[1], row[0]))) if row is not None else iter(())


def _of_persona(db: apsw.Connection, batch: str, persona: str) -> Iterator[Sequence[Any]]:
    text = texts_of(db).text
    for row in _of_batch(db, batch):
        _, event_id, at, _, _, body = row
        event = event_of(_RECORDED, event_id, at, body, text)
        if getattr(event, "persona", None) == persona:
            yield row


def _several(what: str, name: str, ids: Sequence[str]) -> LedgerError:
    listed = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
    return LedgerError("not-found", f"several {what} begin with {name!r}: {listed}", field="$.id")
