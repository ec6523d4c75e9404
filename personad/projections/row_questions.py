"""Cost events as rows, a page at a time: what is exported.

First come the costs that were recorded, in the log's order; then calls that were only granted, of
which nothing came but a correction.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, partial
from typing import Any

import apsw
import msgspec

from personad import civil, log
from personad.contract import cost as c
from personad.contract.asking import Filter
from personad.contract.cost_rows import CostRow, CostRows, CostRowsReply
from personad.contract.errors import LedgerError
from personad.kinds import CODE_OF, fields_of, moment_of
from personad.names import price_of, texts_of
from personad.projections import batch_questions, call_questions
from personad.projections.asked import resolve
from personad.projections.call_questions import PRODUCER

EVENTS_AT_ONCE = 20_000
"""Of the log: a reader that takes long keeps what was written from being tidied up."""
_RECORDED, _STARTED = CODE_OF[c.CostRecorded], CODE_OF[c.CallStarted]
_PAGE = f"""
SELECT seq, at, cost, price, body FROM event
WHERE seq > ? AND seq <= ? AND kind = {_RECORDED} AND at >= ? AND at < ? ORDER BY seq LIMIT ?
"""  # noqa: S608 - a number of ours
_GRANTED = f"""
SELECT call FROM call JOIN event USING (seq)
WHERE call > ? AND corrected IS NOT NULL AND kind = {_STARTED} AND at >= ? AND at < ?
ORDER BY call LIMIT ?
"""  # noqa: S608
_CALL = "SELECT seq, corrected FROM call WHERE call = ?"
_EVENTS, _CALLS = "e", "c"
"""What a cursor is about."""


def rows(db: apsw.Connection, request: CostRows, now: datetime) -> CostRowsReply:
    """A page.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    span = (asked.first * civil.QUARTER_US, asked.end * civil.QUARTER_US)
    batches = {batch_questions.find(db, name) for name in request.filter.batches}
    is_kept = None
    if request.filter != Filter():
        is_kept = partial(call_questions.is_kept, kept=request.filter, batches=batches)
    kind, place = request.cursor[:1], request.cursor[1:]
    if kind == _CALLS:
        return _granted(db, place, span, is_kept, request.limit)
    if kind not in ("", _EVENTS) or (kind and not (place.isdecimal() and len(place) < 19)):
        raise LedgerError("invalid", "this is no cursor of a page", field="$.cursor")
    after = int(place) if kind else log.first_seq(db, span[0]) - 1
    return _recorded(db, after, span, is_kept, request.limit)


IsKept = Callable[[CostRow], bool]


def _recorded(
    db: apsw.Connection, after: int, span: tuple[int, int], is_kept: IsKept | None, limit: int
) -> CostRowsReply:
    text = texts_of(db).text
    source = cache(partial(_source, db))
    until = after + EVENTS_AT_ONCE
    found: list[CostRow] = []
    for seq, at, cost, price, body in db.execute(_PAGE, (after, until, *span, limit)):
        told = fields_of(_RECORDED, body, text)
        said = PRODUCER if told["cost_nanousd"] is not None else source(price)
        found.append(_row(db, seq, at, told, cost, said))
    if len(found) == limit:
        cursor = f"{_EVENTS}{found[-1].seq}"
    else:
        cursor = _CALLS if until >= log.last_seq(db) else f"{_EVENTS}{until}"
    return CostRowsReply(rows=_kept(found, is_kept), cursor=cursor)


def _kept(found: list[CostRow], is_kept: IsKept | None) -> list[CostRow]:
    return found if is_kept is None else [row for row in found if is_kept(row)]


def _row(
    db: apsw.Connection,
    seq: int,
    at: int,
    told: Mapping[str, Any],
    cost: int | None,
    source: str | None,
) -> CostRow:
    call, recorded, corrected = told["call"], cost, None
    counting, correction = db.execute(_CALL, (call,)).fetchone() or (None, None)
    counts = counting == seq
    if not counts:
        cost = 0
    elif correction is not None or (cost is None and told["outcome"] == "unknown"):
        (held,) = call_questions.of_calls(db, [call])
        told = {name: getattr(held.event, name) for name in told}
        cost, corrected = held.cost, held.corrected
    return CostRow(
        moment_of(at),
        seq,
        call,
        told["batch"],
        told["persona"],
        told["experiment"],
        told["provider"],
        told["model"],
        told["operation"],
        told["outcome"],
        told["input_tokens"],
        told["output_tokens"],
        told["cache_read_tokens"],
        told["cache_write_tokens"],
        told["estimated"],
        cost,
        source,
        told["request_id"],
        told["duration_ms"],
        told["ttft_ms"],
        counts,
        recorded,
        corrected,
    )


def _granted(
    db: apsw.Connection, after: str, span: tuple[int, int], is_kept: IsKept | None, limit: int
) -> CostRowsReply:
    names = [str(call) for (call,) in db.execute(_GRANTED, (after, *span, limit))]
    found = []
    for each in call_questions.of_calls(db, names):
        values: dict[str, Any] = {
            name: getattr(each.event, name, None) for name in CostRow.__struct_fields__
        }
        values |= {"seq": each.seq, "cost_nanousd": each.cost, "corrected": each.corrected}
        values |= {"counts": True, "price_source": None, "recorded_nanousd": None}
        found.append(CostRow(**values))
    cursor = _CALLS + names[-1] if len(names) == limit else None
    return CostRowsReply(rows=_kept(found, is_kept), cursor=cursor)


def _source(db: apsw.Connection, price: int | None) -> str | None:
    if price is None:
        return None
    return str(msgspec.json.decode(price_of(db, price))["source"])
