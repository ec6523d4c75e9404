"""Which calls there were, answered from the log: each with the figures that hold."""

import json
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime
from heapq import merge
from itertools import chain, islice
from typing import Any, NamedTuple
from uuid import UUID

import apsw
import msgspec

from personad import civil
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.asking import Filter
from personad.contract.cost_rows import CostRow
from personad.kinds import CODE_OF, event_of, microseconds, part_of
from personad.names import texts_of
from personad.pricing import Receipt, from_flat, tokens_of
from personad.projections import batch_questions, call_begins, call_order, call_places, costs
from personad.projections.asked import resolve
from personad.projections.counted import CALL, OF_EVENTS

_RECORDED = CODE_OF[c.CostRecorded]
COLUMNS = "event.seq, event.id, event.at, event.cost, prices, event.body"
FROM = "event LEFT JOIN price ON price.key = event.price"
_PRICED_HERE = f"""
SELECT {COLUMNS} FROM {FROM}
WHERE event.seq >= ? AND kind = {_RECORDED} AND at >= ? AND at < ?
  AND (event.cost IS NULL OR (event.price IS NOT NULL AND ?))
ORDER BY event.cost DESC, event.seq
"""  # noqa: S608 - numbers and columns of ours
# As one row, as in `call_order`.
_ROWS = f"""
SELECT json_group_array(json_array(
  event.seq, hex(event.id), event.at, event.cost, prices, hex(event.body)
)) FROM json_each(?) AS wanted CROSS JOIN {FROM} WHERE event.seq = wanted.value
"""  # noqa: S608
_ONE = f"SELECT {COLUMNS}, kind FROM {FROM} WHERE event.seq = ?"  # noqa: S608
# Of these, and of those that were corrected, none is among the fresh ones.
_UNANSWERED = """
SELECT open_call.call FROM open_call CROSS JOIN call USING (call) WHERE state = 'unresolved'
"""
_BODIES = "SELECT body FROM json_each(?) AS wanted CROSS JOIN event ON event.seq = wanted.value"
_SCOPES = """
SELECT call.call, event.kind, event.body FROM json_each(?) AS wanted
CROSS JOIN call ON call.call = wanted.value CROSS JOIN event ON event.seq = call.seq
WHERE event.at >= ? AND event.at < ?
"""
_COUNTS = f"SELECT json_group_array(json_array(call, seq, corrected)) FROM ({OF_EVENTS})"  # noqa: S608
_HELD = "SELECT reserved_nanousd FROM open_call WHERE call = ?"
_MOST = 2**63 - 1
PRODUCER = "producer"
_AT_ONCE = 64
_NAMES_AT_ONCE = 1_000
_call_of = part_of(c.CostCorrected, "call")
_scope_of = part_of(c.CostRecorded, "provider", "model", "experiment")
_rows_in = msgspec.json.Decoder(list[tuple[int, str, int, int | None, str | None, str]]).decode
_counts_in = msgspec.json.Decoder(list[tuple[str, int, int | None]]).decode
_SPARE = 4
"""So many more calls are expected to be looked at than are wanted: some don't count."""


class Found(NamedTuple):
    """A call whose event counts."""

    seq: int
    event: c.CostRecorded
    cost: int | None
    receipt: Receipt | None
    """Of its event."""
    figure: UUID
    """The event whose figure counts."""
    corrected: str | None = None
    first_cost: int | None = None
    """Of one that was corrected, what it cost before."""
    new_receipt: Receipt | None = None
    """Likewise, of the correction."""


def calls(db: apsw.Connection, request: k.CostCalls, now: datetime) -> k.CostCallsReply:
    """The dearest calls of a range, or those without a price or an answer.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    since_us, until_us = (quarter * civil.QUARTER_US for quarter in (asked.first, asked.end))
    ahead = call_places.ahead_of(db)
    first = call_begins.begins(db, ahead, since_us)
    batches = {batch_questions.find(db, name) for name in request.filter.batches}
    unanswered = list(of_calls(db, sorted(_unanswered(db))))
    usual: list[Found] = []
    if not request.unknown:
        known = {each.seq for each in unanswered}
        enough = request.limit + 1
        seqs = call_order.in_order(
            *(db, asked, request.filter, batches, ahead, first, enough + _SPARE),
            unpriced=request.unpriced,
        )
        at_once = min(enough, _AT_ONCE)
        rows = _rows(db, (seq for seq in seqs if seq not in known), at_once)
        counted = counting(db, rows, but_corrected_since=first, at_once=at_once)
        wanted = (each for each in counted if _is_wanted(each, request, batches))
        usual = list(islice(wanted, enough))
    least = 0
    if request.unpriced or request.unknown:
        least = _MOST
    elif len(usual) > request.limit:
        # Whatever cost less by its correction comes after all of these.
        least = min(each.cost or 0 for each in usual)
    listed = {each.seq for each in usual}

    def apart_from_those(found: Iterator[Found]) -> list[Found]:
        return [
            each
            for each in found
            if since_us <= microseconds(each.event.at) < until_us
            and each.seq not in listed
            and _is_wanted(each, request, batches)
        ]

    apart = apart_from_those(iter(unanswered))
    seen = {each.event.call for each in unanswered}
    within = since_us, until_us
    corrections = call_places.corrections(db, ahead, first, least)
    for most, names in _corrected(db, corrections, within, request):
        # Whatever is corrected to less comes after all of those that were found.
        if most is not None and _dearer(most, chain(usual, apart)) > request.limit:
            break
        apart += apart_from_those(of_calls(db, sorted(names - seen)))
        seen |= names
    apart.sort(key=lambda each: (_dearest_first(each), each.event.call))
    some = islice(merge(usual, apart, key=_dearest_first), request.limit + 1)
    found = [as_told(each) for each in some]
    kept = sorted(found[: request.limit], key=lambda call: -(call.cost_nanousd or 0))
    return k.CostCallsReply(range=asked.period, calls=kept, more=len(found) > request.limit)


def priced_here_between(
    db: apsw.Connection, first: int, since_us: int, until_us: int, *, unpriced: bool
) -> Iterator[Sequence[Any]]:
    """Every cost that happened in that time and doesn't say itself what it was, as rows, the
    dearest first: where producers say it, these are few. `unpriced` leaves out what could be priced
    when it came."""
    return iter(db.execute(_PRICED_HERE, (first, since_us, until_us, not unpriced)))


def _dearest_first(found: Found) -> int:
    return -(found.cost or 0)


def _unanswered(db: apsw.Connection) -> Iterator[str]:
    return (str(call) for (call,) in db.execute(_UNANSWERED))


def _dearer(than: int, found: Iterable[Found]) -> int:
    """How many of them cost more."""
    return sum((each.cost or 0) > than for each in found)


def _corrected(
    db: apsw.Connection,
    told: Sequence[tuple[int | None, int]],
    within: tuple[int, int],
    request: k.CostCalls,
) -> Iterator[tuple[int | None, set[str]]]:
    """Calls of that time with another cost than their event's, by these corrections: no order of
    the log has them in place. A part at a time, the dearest first, with the most that one of it
    or of those after it can cost (None: nobody knows). Some of them the filter may not leave in."""
    corrections = iter(told)
    text, kept = texts_of(db).text, request.filter
    at_once = max(_AT_ONCE, min(request.limit, _NAMES_AT_ONCE))
    while part := list(islice(corrections, at_once)):
        # Few of the first were of that time: more of them are looked at together.
        at_once = max(at_once, min(2 * at_once, _NAMES_AT_ONCE))
        seqs = json.dumps([seq for _, seq in part])
        names = {_call_of(body).call for (body,) in db.execute(_BODIES, (seqs,))}
        rows = db.execute(_SCOPES, (msgspec.json.encode(list(names)).decode(), *within))
        found: set[str] = set()
        for call, kind, body in rows:
            if kind == _RECORDED:
                scope = _scope_of(body)
                experiment = None if scope.experiment is None else text(scope.experiment)
                if not (
                    _in(text(scope.provider), kept.providers)
                    and _in(text(scope.model), kept.models)
                    and _in(experiment, kept.experiments)
                ):
                    continue
            found.add(call)
        yield part[0][0], found


def of_calls(db: apsw.Connection, names: Sequence[str]) -> Iterator[Found]:
    """What counts for these calls; unknown names are left out."""
    for name in names:
        row = db.execute(CALL, (name,)).fetchone()
        found = _of_event(db, *row) if row is not None else None
        if found is not None:
            yield found


def _of_event(db: apsw.Connection, seq: int, corrected: int | None) -> Found | None:
    row = db.execute(_ONE, (seq,)).fetchone()
    if row is None:
        return None
    _, event_id, at, cost, prices, body, code = row
    event = event_of(int(code), event_id, at, body, texts_of(db).text)
    if isinstance(event, c.CallStarted):
        event = costs.never_answered(event)
    assert isinstance(event, c.CostRecorded)
    return _counted(db, seq, event, cost, prices, corrected)


def filtered(db: apsw.Connection, rows: Iterator[Sequence[Any]], kept: Filter) -> Iterator[Found]:
    """Those that count for their calls, and that the filter leaves in."""
    request = k.CostCalls(filter=kept)
    batches = {batch_questions.find(db, name) for name in kept.batches}
    return (each for each in counting(db, rows) if _is_wanted(each, request, batches))


def counting(
    db: apsw.Connection,
    rows: Iterator[Sequence[Any]],
    but_corrected_since: int | None = None,
    at_once: int = _AT_ONCE,
) -> Iterator[Found]:
    """Those of the events that count for their calls, with what counts; on demand without calls
    whose correction is that event or a later one. So many rows are taken at once."""
    text = texts_of(db).text
    while part := list(islice(rows, at_once)):
        events: list[Any] = [
            event_of(_RECORDED, event_id, at, body, text) for _, event_id, at, _, _, body in part
        ]
        names = msgspec.json.encode([event.call for event in events]).decode()
        seqs = json.dumps([row[0] for row in part])
        found = _counts_in(db.execute(_COUNTS, (names, seqs)).get)
        counts = {call: (seq, corrected) for call, seq, corrected in found}
        for (seq, _, _, cost, prices, _), event in zip(part, events, strict=True):
            counted, corrected = counts.get(event.call, (None, None))
            if counted != seq:
                continue
            if but_corrected_since is not None and (corrected or 0) >= but_corrected_since:
                continue
            yield _counted(db, seq, event, cost, prices, corrected)


def _rows(db: apsw.Connection, seqs: Iterator[int], at_once: int) -> Iterator[Sequence[Any]]:
    """The rows of events in that order; so many are looked up at once."""
    while part := list(islice(seqs, at_once)):
        found = {row[0]: row for row in _rows_in(db.execute(_ROWS, (json.dumps(part),)).get)}
        for seq in part:
            if (row := found.get(seq)) is not None:
                _, event_id, at, cost, prices, body = row
                yield seq, bytes.fromhex(event_id), at, cost, prices, bytes.fromhex(body)


def _counted(
    db: apsw.Connection,
    seq: int,
    event: c.CostRecorded,
    cost: int | None,
    prices: str | None,
    corrected: int | None,
) -> Found:
    """The call with the figures that hold."""
    receipt = _receipt(prices, event)
    first = cost
    if event.outcome == "unknown" and cost is None:
        cost = db.execute(_HELD, (event.call,)).get
    if corrected is not None:
        newer, newer_prices = _correction(db, corrected)
        if costs.stands_over(event, newer):
            held = costs.as_corrected(event, newer)
            return Found(
                seq,
                held,
                newer.cost_nanousd,
                receipt,
                figure=newer.id,
                corrected=newer.reason,
                first_cost=first,
                new_receipt=_receipt(newer_prices, held),
            )
    return Found(seq, event, cost, receipt, figure=event.id)


def _receipt(prices: str | None, event: c.CostRecorded) -> Receipt | None:
    if prices is None:
        return None
    stored = msgspec.json.decode(prices, type=dict[str, object])
    return Receipt(from_flat(stored).prices, tokens_of(event))


def _correction(db: apsw.Connection, seq: int) -> tuple[c.CostCorrected, str | None]:
    """The correction, and the unit prices that it is by."""
    _, event_id, at, _, prices, body, code = db.execute(_ONE, (seq,)).fetchone()  # type: ignore[misc]
    event = event_of(code, event_id, at, body, texts_of(db).text)
    assert isinstance(event, c.CostCorrected)
    return event, prices


def _is_wanted(found: Found, request: k.CostCalls, batches: set[str]) -> bool:
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


def as_told(found: Found) -> k.CostCall:
    return k.CostCall(**fields(found))


def fields(found: Found) -> dict[str, Any]:
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
