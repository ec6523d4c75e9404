"""Cost events as rows, a page at a time: what is exported.

First come the costs that were recorded, in the log's order; then calls that were only granted, of
which nothing came but a correction.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from operator import attrgetter
from typing import Any

import apsw
import msgspec
from msgspec.structs import replace

from personad import civil, log
from personad.contract import cost as c
from personad.contract.asking import Filter
from personad.contract.cost_rows import CostRow, CostRows, CostRowsReply
from personad.contract.errors import LedgerError
from personad.kinds import CODE_OF, moment_of, part_of
from personad.names import price_of, texts_of
from personad.projections import batch_questions, call_begins, call_questions
from personad.projections.asked import quarters, resolve
from personad.projections.call_questions import PRODUCER
from personad.projections.counted import OF_EVENTS

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
_NONE = (None, None)
_FIELDS = (
    "call",
    "batch",
    "persona",
    "experiment",
    "provider",
    "model",
    "operation",
    "outcome",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "estimated",
    "request_id",
    "duration_ms",
    "ttft_ms",
    "cost_nanousd",
)
_HELD = tuple(name for name in _FIELDS if name != "cost_nanousd")
"""What a correction may have changed, but for the cost."""
_told = part_of(c.CostRecorded, *_FIELDS)
_fields_of = attrgetter(*_FIELDS)
_EVENTS, _CALLS = "e", "c"
"""What a cursor is about."""


def rows(db: apsw.Connection, request: CostRows, now: datetime) -> CostRowsReply:
    """A page.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    if not request.cursor:
        # Names that nobody has used are refused before the first page, and need not be before each.
        resolve(db, request.range, request.filter, now)
    first, end = quarters(db, request.range, now)
    span = (first * civil.QUARTER_US, end * civil.QUARTER_US)
    batches = {batch_questions.find(db, name) for name in request.filter.batches}
    is_kept = None
    if request.filter != Filter():
        is_kept = partial(call_questions.is_kept, kept=request.filter, batches=batches)
    kind, place = request.cursor[:1], request.cursor[1:]
    if kind == _CALLS:
        return _granted(db, place, span, is_kept, request.limit)
    if kind not in ("", _EVENTS) or (kind and not (place.isdecimal() and len(place) < 19)):
        raise LedgerError("invalid", "this is no cursor of a page", field="$.cursor")
    after = int(place) if kind else call_begins.first_seq(db, span[0]) - 1
    return _recorded(db, after, span, is_kept, request.limit)


IsKept = Callable[[CostRow], bool]


def _recorded(
    db: apsw.Connection, after: int, span: tuple[int, int], is_kept: IsKept | None, limit: int
) -> CostRowsReply:
    source = cache(partial(_source, db))
    word = _Words(texts_of(db).text)
    until = after + EVENTS_AT_ONCE
    page: list[Any] = db.execute(_PAGE, (after, until, *span, limit)).fetchall()
    told = [_fields_of(_told(body)) for _, _, _, _, body in page]
    names = msgspec.json.encode([fields[0] for fields in told]).decode()
    seqs = msgspec.json.encode([row[0] for row in page]).decode()
    rows: list[Any] = db.execute(OF_EVENTS, (names, seqs)).fetchall()
    calls = {call: (seq, corrected) for call, seq, corrected in rows}
    found = []
    for (seq, at, cost, price, _), fields in zip(page, told, strict=True):
        counting, correction = calls.get(fields[0], _NONE)
        row = _row(seq, at, cost, source(price), fields, word, counting == seq)
        if row.counts and (correction is not None or (cost is None and row.outcome == "unknown")):
            row = _as_held(db, row)
        found.append(row)
    if len(found) == limit:
        cursor = f"{_EVENTS}{found[-1].seq}"
    else:
        cursor = _CALLS if until >= log.last_seq(db) else f"{_EVENTS}{until}"
    return CostRowsReply(rows=_kept(found, is_kept), cursor=cursor)


def _kept(found: list[CostRow], is_kept: IsKept | None) -> list[CostRow]:
    return found if is_kept is None else [row for row in found if is_kept(row)]


class _Words(dict[int | None, Any]):
    """The texts of numbers, None of None."""

    def __init__(self, text: Callable[[int], str]) -> None:
        super().__init__({None: None})
        self._text = text

    def __missing__(self, key: int) -> str:
        text = self[key] = self._text(key)
        return text


def _row(
    seq: int,
    at: int,
    cost: int | None,
    source: str | None,
    fields: tuple[Any, ...],
    word: _Words,
    counts: bool,
) -> CostRow:
    """As it was told, with no regard to a correction; `fields` are those of `_FIELDS`."""
    (
        call,
        batch,
        persona,
        experiment,
        provider,
        model,
        operation,
        outcome,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        estimated,
        request_id,
        duration_ms,
        ttft_ms,
        cost_nanousd,
    ) = fields
    return CostRow(
        moment_of(at),
        seq,
        call,
        word[batch],
        persona,
        word[experiment],
        word[provider],
        word[model],
        word[operation],
        word[outcome],
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        estimated,
        cost if counts else 0,
        source if cost_nanousd is None else PRODUCER,
        request_id,
        duration_ms,
        ttft_ms,
        counts,
        cost,
        None,
    )


def _as_held(db: apsw.Connection, row: CostRow) -> CostRow:
    """With the figures that hold."""
    (held,) = call_questions.of_calls(db, [row.call])
    figures = {name: getattr(held.event, name) for name in _HELD}
    return replace(row, cost_nanousd=held.cost, corrected=held.corrected, **figures)


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
