"""How calls came to their cost, to the last nano-dollar."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import merge

import apsw

from personad.bulk import SUM_MAX
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.errors import LedgerError
from personad.kinds import CODE_OF, fields_of
from personad.names import texts_of
from personad.pricing import Receipt, parts_of, per_million
from personad.projections import batch_questions, counted
from personad.projections.call_questions import COLUMNS, FROM, Found, counting, fields, of_calls

_RECORDED, _STARTED = CODE_OF[c.CostRecorded], CODE_OF[c.CallStarted]
_OF_BATCH = f"""
SELECT {COLUMNS} FROM {FROM}
WHERE event.seq >= ? AND kind = {_RECORDED} AND event.batch = ? ORDER BY event.seq
"""  # noqa: S608 - numbers and columns of ours
_GRANTED = f"""
SELECT seq, body FROM event WHERE seq >= ? AND kind = {_STARTED} AND batch = ? ORDER BY seq
"""  # noqa: S608
_PERSONA = "SELECT batch, persona FROM persona WHERE persona >= ? AND persona < ? LIMIT ?"
_BATCH = "SELECT key, first_seq FROM batch_key WHERE batch = ?"
_END = "\U0010ffff"
_FOUND_MOST = 6
"""Whose names begin so: some to choose from."""


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


def _explained(found: Found) -> k.ExplainedCall:
    first = _bill(found.receipt, found.cost if found.corrected is None else found.first_cost)
    if found.corrected is None:
        return k.ExplainedCall(**fields(found), lines=first.lines, price=first.price)
    now = _bill(found.new_receipt, found.cost)
    return k.ExplainedCall(**fields(found), lines=now.lines, price=now.price, before=first)


def _bill(receipt: Receipt | None, cost: int | None) -> k.Bill:
    """Without lines where these are not what the cost is made of."""
    parts = parts_of(receipt) if receipt is not None else []
    if receipt is None or sum(part.cost_nanousd for part in parts) != cost:
        return k.Bill(lines=[], cost_nanousd=cost, price=None)
    lines = [
        k.BillLine(
            kind=part.kind,
            tokens=part.amount,
            price_per_million_nanousd=per_million(part.price_nanousd, part.per_tokens),
            cost_nanousd=part.cost_nanousd,
        )
        for part in parts
    ]
    prices = receipt.prices
    price = k.BillPrice(source=prices.source, effective_from=prices.effective_from)
    return k.Bill(lines=lines, cost_nanousd=cost, price=price)


def _found_of(db: apsw.Connection, name: str) -> Iterator[Found]:
    """The costs that are recorded of a call, a persona or a batch."""
    if name != "last":
        calls_found = list(db.execute(counted.BETWEEN, (name, name + _END, _FOUND_MOST)))
        exact = [each for each in calls_found if each[0] == name] or calls_found
        if len(exact) == 1:
            return of_calls(db, [str(exact[0][0])])
        if exact:
            raise _several("calls", name, [call for call, _ in exact])
        personas = list(db.execute(_PERSONA, (name, name + _END, _FOUND_MOST)))
        if len(personas) > 1 and name not in {persona for _, persona in personas}:
            raise _several("personas", name, [persona for _, persona in personas])
        if personas:
            batch, persona = personas[0]
            return _of_batch(db, str(batch), str(persona))
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


def _of_batch(db: apsw.Connection, batch: str, persona: str | None = None) -> Iterator[Found]:
    """What counts for each call of a batch, or of one of its personas, in the log's order: also for
    one of which nothing is known but that it was granted, and what it is said to have cost."""
    key, first = db.execute(_BATCH, (batch,)).fetchone() or (None, 0)
    recorded = counting(db, iter(db.execute(_OF_BATCH, (first, key))))
    found = merge(recorded, _granted(db, first, key), key=lambda each: each.seq)
    return (each for each in found if persona is None or each.event.persona == persona)


def _granted(db: apsw.Connection, first: int, key: int | None) -> Iterator[Found]:
    text = texts_of(db).text
    for seq, body in db.execute(_GRANTED, (first, key)):
        call = fields_of(_STARTED, body, text)["call"]
        yield from (each for each in of_calls(db, [call]) if each.seq == seq)


def _several(what: str, name: str, ids: Sequence[str]) -> LedgerError:
    listed = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
    return LedgerError("not-found", f"several {what} begin with {name!r}: {listed}", field="$.id")
