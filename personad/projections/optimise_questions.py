"""How the calls of a range could have cost less."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

import apsw
from msgspec.structs import replace

from personad.analytics.optimising import Saving, chosen
from personad.bulk import SUM_MAX
from personad.contract import optimise as o
from personad.contract.asking import Filter
from personad.contract.calls import CostCall
from personad.contract.cost import CostHistory, CostRecorded
from personad.pricing import PriceBook
from personad.projections import (
    batch_questions,
    call_questions,
    cost_questions,
    optimise_models,
    optimise_ways,
)
from personad.projections.asked import resolve
from personad.projections.optimise_facts import SAMPLE_EVENTS, Facts, gathered, newest
from personad.projections.optimise_ways import Candidate
from personad.projections.prices import own_prices

LEAST_SHARE = 0.005
"""Of the range's cost: what saves less is not worth a line."""
_MONTH_16THS = 487
"""A month has 30.4375 days on average: 487 ÷ 16."""


def optimise(db: apsw.Connection, request: o.CostOptimise, now: datetime) -> o.CostOptimiseReply:
    """The ways to spend less, without overlap.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    is_all = request.filter == Filter()
    everything = asked if is_all else resolve(db, request.range, Filter(), now)
    batches = {batch_questions.find(db, name) for name in request.filter.batches}
    is_kept = None
    if not is_all:
        is_kept = partial(call_questions.is_kept, kept=request.filter, batches=batches)
    book = PriceBook(own_prices(db))
    facts = gathered(db, asked, everything, book, is_kept=is_kept, least_share=LEAST_SHARE)
    notes = _unpriced(db, request, now)
    candidates = {each.way.id: each for each in _candidates(facts, request, notes)}
    savings = chosen(
        facts.bills, [each.way for each in candidates.values()], facts.price, _least(facts)
    )
    days = asked.days_begun
    told = [_recommendation(candidates[each.way.id], each, days) for each in savings]
    if request.calls:
        seen = newest(db, asked, is_kept, SAMPLE_EVENTS)
        told = [
            replace(each, calls=_behind(db, candidates[each.id], seen, request.calls))
            for each in told
        ]
    return o.CostOptimiseReply(
        basis=o.Basis(
            range=asked.period, days=days, calls=facts.calls, cost_nanousd=facts.cost_nanousd
        ),
        recommendations=told,
        total_monthly_saving_nanousd=min(
            sum(each.monthly_saving_nanousd for each in told), SUM_MAX
        ),
        notes=notes,
    )


def _unpriced(db: apsw.Connection, request: o.CostOptimise, now: datetime) -> list[str]:
    """What nobody knows the price of may be where the money goes."""
    asked = CostHistory(range=request.range, filter=request.filter, interval="month")
    count = cost_questions.history(db, asked, now).coverage.unpriced_calls
    calls = "1 call has" if count == 1 else f"{count:,} calls have"
    return [f"{calls} no price: what it would save to do without is not known"] if count else []


def _least(facts: Facts) -> int:
    """What a way has to save to be told of."""
    return max(1, round(facts.cost_nanousd * LEAST_SHARE))


def _candidates(facts: Facts, request: o.CostOptimise, notes: list[str]) -> Iterator[Candidate]:
    looks: tuple[tuple[bool, str, Callable[[], Iterator[Candidate]]], ...] = (
        (request.models, "models", lambda: optimise_models.models(facts, notes, _least(facts))),
        (request.batch, "batch", lambda: optimise_ways.batches(facts)),
        (request.caching, "caching", lambda: optimise_ways.caching(facts)),
        (request.retries, "retries", lambda: optimise_ways.failures(facts)),
        (True, "", lambda: optimise_ways.growth(facts)),
        (True, "", lambda: optimise_ways.experiments(facts)),
    )
    for is_wanted, switch, look in looks:
        if is_wanted:
            yield from look()
        else:
            notes.append(f"cost.optimise.{switch} is false: that is not looked at")


def _recommendation(candidate: Candidate, saving: Saving, days: int) -> o.Recommendation:
    monthly = saving.saving_nanousd * _MONTH_16THS // (16 * max(1, days))
    return o.Recommendation(
        id=candidate.way.id,
        title=candidate.title,
        evidence=candidate.evidence(saving),
        saving_nanousd=saving.saving_nanousd,
        monthly_saving_nanousd=min(monthly, SUM_MAX),
        confidence=candidate.confidence,
        apply=candidate.apply,
    )


def _behind(
    db: apsw.Connection, candidate: Candidate, seen: Sequence[CostRecorded], limit: int
) -> list[CostCall]:
    """The newest calls that a way is about, with what counts for each now."""
    # What a call without an answer cost nobody knows yet: no saving rests on it.
    answered = (call for call in seen if call.outcome != "unknown")
    names = dict.fromkeys(call.call for call in answered if candidate.behind(call))
    found = call_questions.of_calls(db, list(names)[:limit])
    return [call_questions.as_told(each) for each in found]
