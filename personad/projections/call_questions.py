"""What is asked about single calls, answered from the log: which there were, and how each came to
its cost."""

from collections.abc import Container, Iterator, Sequence
from datetime import datetime
from heapq import merge
from typing import Any, NamedTuple

import apsw
import msgspec

from personad import civil, log
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.asking import Filter
from personad.contract.cost_rows import CostRow
from personad.contract.errors import LedgerError
from personad.kinds import CODE_OF, event_of, microseconds
from personad.names import texts_of
from personad.pricing import Receipt, from_flat, parts_of, tokens_of
from personad.projections import batch_questions, costs
from personad.projections.asked import resolve
from personad.projections.buckets import SUM_MAX

_RECORDED = CODE_OF[c.CostRecorded]
_CORRECTED = CODE_OF[c.CostCorrected]
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
_ONE = f"SELECT {_COLUMNS}, kind FROM {_FROM} WHERE event.seq = ?"  # noqa: S608
_CORRECTIONS = f"SELECT id, at, body FROM event WHERE seq >= ? AND kind = {_CORRECTED}"  # noqa: S608
_UNANSWERED = """
SELECT open_call.call FROM open_call CROSS JOIN call USING (call) WHERE state = 'unresolved'
"""
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
    first = log.first_seq(db, since_us)
    apart = [
        each
        for each in of_calls(db, sorted({*_unanswered(db), *_corrected_since(db, first)}))
        if since_us <= microseconds(each.event.at) < until_us
    ]
    usual: Iterator[_Found] = iter(())
    if not request.unknown:
        sql = _WITHOUT_COST if request.unpriced else _DEAREST
        known = {each.seq for each in apart}
        rows = (each for each in db.execute(sql, (first, since_us, until_us)))
        usual = _counting(db, (row for row in rows if row[0] not in known))
    batches = {batch_questions.find(db, name) for name in request.filter.batches}
    found: list[k.CostCall] = []
    for each in merge(usual, sorted(apart, key=_dearest_first), key=_dearest_first):
        if _is_wanted(each, request, batches):
            found.append(as_told(each))
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
    for each in _found_of(db, request.id):
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


def _dearest_first(found: _Found) -> int:
    return -(found.cost or 0)


def _unanswered(db: apsw.Connection) -> Iterator[str]:
    return (str(call) for (call,) in db.execute(_UNANSWERED))


def _corrected_since(db: apsw.Connection, first: int) -> Iterator[str]:
    """Calls with another cost than their event's: no order of the log has them in place."""
    text = texts_of(db).text
    for event_id, at, body in db.execute(_CORRECTIONS, (first,)):
        event = event_of(_CORRECTED, event_id, at, body, text)
        assert isinstance(event, c.CostCorrected)
        yield event.call


def of_calls(db: apsw.Connection, names: Sequence[str]) -> Iterator[_Found]:
    """What counts for these calls; unknown names are left out."""
    for name in names:
        row = db.execute(_CALL, (name,)).fetchone()
        found = _of_event(db, *row) if row is not None else None
        if found is not None:
            yield found


def _of_event(db: apsw.Connection, seq: int, corrected: int | None) -> _Found | None:
    row = db.execute(_ONE, (seq,)).fetchone()
    if row is None:
        return None
    _, event_id, at, cost, prices, body, code = row
    event = event_of(int(code), event_id, at, body, texts_of(db).text)
    if isinstance(event, c.CallStarted):
        event = costs.never_answered(event)
    assert isinstance(event, c.CostRecorded)
    return _counted(db, seq, event, cost, prices, corrected)


def filtered(db: apsw.Connection, rows: Iterator[Sequence[Any]], kept: Filter) -> Iterator[_Found]:
    """Those that count for their calls, and that the filter leaves in."""
    request = k.CostCalls(filter=kept)
    batches = {batch_questions.find(db, name) for name in kept.batches}
    return (each for each in _counting(db, rows) if _is_wanted(each, request, batches))


def _counting(db: apsw.Connection, rows: Iterator[Sequence[Any]]) -> Iterator[_Found]:
    """Those of the events that count for their calls, with what counts."""
    text = texts_of(db).text
    for seq, event_id, at, cost, prices, body in rows:
        event = event_of(_RECORDED, event_id, at, body, text)
        assert isinstance(event, c.CostRecorded)
        row = db.execute(_CALL, (event.call,)).fetchone()
        if row is None or row[0] != seq:
            continue
        yield _counted(db, seq, event, cost, prices, row[1])


def _counted(
    db: apsw.Connection,
    seq: int,
    event: c.CostRecorded,
    cost: int | None,
    prices: str | None,
    corrected: int | None,
) -> _Found:
    """The call with the figures that hold."""
    receipt = None
    if prices is not None:
        stored = msgspec.json.decode(prices, type=dict[str, object])
        receipt = Receipt(from_flat(stored).prices, tokens_of(event))
    newer = _corrected(db, corrected) if corrected is not None else None
    if newer is not None and costs.stands_over(event, newer):
        held = costs.as_corrected(event, newer)
        return _Found(seq, held, newer.cost_nanousd, receipt, newer.reason)
    if event.outcome == "unknown" and cost is None:
        cost = db.execute(_HELD, (event.call,)).get
    return _Found(seq, event, cost, receipt, None)


def _corrected(db: apsw.Connection, seq: int) -> c.CostCorrected:
    event_id, at, code, body = db.execute(_BODY, (seq,)).fetchone() or (b"", 0, 0, b"")
    event = event_of(code, event_id, at, body, texts_of(db).text)
    assert isinstance(event, c.CostCorrected)
    return event


def _is_wanted(found: _Found, request: k.CostCalls, batches: set[str]) -> bool:
    event = found.event
    is_unknown = event.outcome == "unknown"
    if request.unknown and not is_unknown:
        return False
    if request.unpriced and (is_unknown or found.cost is not None):
        return False
    return is_kept(event, request.filter, batches)


def is_kept(event: c.CostRecorded | CostRow, kept: Filter, batches: Container[str]) -> bool:
    """Whether a filter leaves it in; `batches` are those that it names, whole ids."""
    return (
        _in(event.provider, kept.providers)
        and _in(event.model, kept.models)
        and _in(event.experiment, kept.experiments)
        and (not kept.batches or event.batch in batches)
    )


def _in(name: str | None, wanted: Sequence[str]) -> bool:
    return not wanted or name in wanted


def as_told(found: _Found) -> k.CostCall:
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


def _found_of(db: apsw.Connection, name: str) -> Iterator[_Found]:
    """The costs that are recorded of a call, a persona or a batch."""
    if name != "last":
        calls_found = list(db.execute(_CALLS, (name, name + _END)))
        exact = [each for each in calls_found if each[0] == name] or calls_found
        if len(exact) == 1:
            return of_calls(db, [str(exact[0][0])])
        if exact:
            raise _several("calls", name, [call for call, _ in exact])
        personas = list(db.execute(_PERSONA, (name, name + _END)))
        if len(personas) > 1 and name not in {persona for _, persona in personas}:
            raise _several("personas", name, [persona for _, persona in personas])
        if personas:
            batch, persona = personas[0]
            return _counting(db, _of_persona(db, str(batch), str(persona)))
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
    return _counting(db, _of_batch(db, batch))


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
