"""What calls would cost at the prices that are known now for their moment."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import apsw

from personad import civil
from personad.bulk import SUM_MAX
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.base import derived_id
from personad.price_data import UnitPrices
from personad.pricing import PriceBook
from personad.projections import call_begins, call_questions
from personad.projections.asked import resolve
from personad.projections.prices import own_prices

CALLS_TOLD = 10_000


class Change(NamedTuple):
    """A call that would cost something else."""

    event: c.CostRecorded
    figure: UUID
    """The event whose figure counts until then."""
    was: int | None
    would_be: int
    prices: UnitPrices


def repricing(db: apsw.Connection, request: k.Repricing, now: datetime) -> k.RepricingReply:
    """By model, what would change.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    since_us, until_us = (quarter * civil.QUARTER_US for quarter in (asked.first, asked.end))
    rows = call_questions.priced_here_between(
        db, call_begins.first_seq(db, since_us), since_us, until_us, unpriced=request.unpriced
    )
    kept = call_questions.filtered(db, rows, request.filter)
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    calls: list[str] = []
    more = False
    for change in changes(PriceBook(own_prices(db)), kept):
        if request.unpriced and change.was is not None:
            continue
        row = sums[change.event.provider, change.event.model]
        for place, value in enumerate((1, change.was or 0, change.would_be, change.was is None)):
            row[place] += value
        if len(calls) < CALLS_TOLD:
            calls.append(change.event.call)
        else:
            more = True
    return k.RepricingReply(
        range=asked.period,
        rows=[_row(*model, sums[model]) for model in sorted(sums)],
        total=k.RepriceTotal(
            was_nanousd=min(sum(row[1] for row in sums.values()), SUM_MAX),
            would_be_nanousd=min(sum(row[2] for row in sums.values()), SUM_MAX),
        ),
        calls=calls,
        more=more,
    )


def _row(provider: str, model: str, sums: Sequence[int]) -> k.RepriceRow:
    calls, was, would_be, unpriced = (min(each, SUM_MAX) for each in sums)
    return k.RepriceRow(
        provider=provider,
        model=model,
        calls=calls,
        was_nanousd=was,
        would_be_nanousd=would_be,
        unpriced_calls=unpriced,
    )


def changes(book: PriceBook, found: Iterator[Any]) -> Iterator[Change]:
    """Those of the calls that the daemon priced, or couldn't, and that would cost another sum."""
    for each in found:
        event: c.CostRecorded = each.event
        if event.cost_nanousd is not None or event.outcome == "unknown":
            continue
        if each.corrected not in (None, "reprice"):
            continue
        priced = book.price_call(event)
        if priced is not None and priced[0] != each.cost:
            yield Change(event, each.figure, each.cost, priced[0], priced[1].prices)


def correction(change: Change, now: datetime) -> c.CostCorrected:
    """The same change of the same figure is one event, however often it is asked for."""
    event = change.event
    return c.CostCorrected(
        id=derived_id("cost.corrected", "reprice", event.call, change.figure, change.would_be),
        at=now,
        call=event.call,
        cost_nanousd=change.would_be,
        reason="reprice",
    )
