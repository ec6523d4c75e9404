"""What a batch will cost, from the tokens of its prompts and from earlier batches of its model."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

import apsw

from personad.contract import cost as c
from personad.pricing import PriceBook, Tokens
from personad.projections.batch_costs import exact_sum
from personad.projections.budget_questions import accounts_at
from personad.projections.budget_sums import Committed
from personad.projections.holding import Limit, limits, scopes_of, standing
from personad.projections.prices import own_prices

BATCHES = 20
"""So many of the newest batches of a model tell how much it writes."""
ENOUGH = 3
"""From so many on, their least and greatest say how far batches differ."""

_SUMS = "dim, calls, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens"
_HISTORY = f"""
WITH newest AS MATERIALIZED (
  SELECT key, completed + failed AS personas FROM (
    SELECT batch, completed, failed FROM batch
    WHERE provider = :provider AND model = :model AND completed > 0
    ORDER BY started_at DESC LIMIT {BATCHES})
  JOIN batch_key USING (batch)
)
SELECT personas, {exact_sum("calls")}, {exact_sum("output_tokens")},
       {exact_sum("input_tokens + cache_read_tokens + cache_write_tokens")},
       {exact_sum("cache_read_tokens")}
FROM (
  SELECT newest.key, personas, {_SUMS}
  FROM newest CROSS JOIN cost_batch_quarter AS sums ON sums.batch = newest.key
  UNION ALL SELECT newest.key, personas, {_SUMS}
  FROM cost_fresh AS sums JOIN newest ON sums.batch = newest.key
) AS sums JOIN dim ON dim.key = sums.dim
WHERE dim.provider = :provider AND dim.model = :model AND dim.outcome <> 'unknown'
GROUP BY sums.key
"""  # noqa: S608 - expressions of ours

_UNSEEN = (Fraction(700), Fraction(1_500), Fraction(4_000))
"""Tokens that a persona takes to write, where nothing is known of the model."""
_WIDER = ((Fraction(7, 10), Fraction(14, 10)), (Fraction(9, 10), Fraction(11, 10)))
"""How far the next batch may lie outside what was seen: of few batches, of enough."""
_PROMPT_OFF = (Fraction(8, 10), Fraction(1), Fraction(5, 4))
"""Tokens of prompts are themselves an estimate."""


class _Past(NamedTuple):
    """What one earlier batch took."""

    personas: int
    calls: int
    output_tokens: int
    prompt_tokens: int
    cache_read_tokens: int


class _Case(NamedTuple):
    """What is assumed: of a persona's calls, and of each of these."""

    calls: Fraction
    """A persona."""
    output_tokens: Fraction
    """A call."""
    prompt: Fraction
    """Times what was estimated."""
    cached: Fraction
    """The share of a prompt that is read from a cache."""


def estimate(db: apsw.Connection, request: c.Estimate, now: datetime) -> c.Estimated:
    """Low, expected and high; without a known price, only in tokens."""
    names = {"provider": request.provider, "model": request.model}
    past = [_Past(*row) for row in db.execute(_HISTORY, names)]
    cases = _cases(past, request.max_output_tokens)
    book = PriceBook(own_prices(db))
    costs = [_cost(book, request, case, now) for case in cases]
    prices = book.resolve(request.provider, request.model, now)
    n, prompts = len(request.input_tokens), sum(request.input_tokens)
    return c.Estimated(
        provider=request.provider,
        model=request.model,
        calls=_guess([n * case.calls for case in cases]),
        input_tokens=_guess([prompts * case.prompt * case.calls for case in cases]),
        output_tokens=_guess([n * case.output_tokens * case.calls for case in cases]),
        low_nanousd=costs[0],
        expected_nanousd=costs[1],
        high_nanousd=costs[2],
        price_source=prices.source if prices is not None else None,
        history_batches=len(past),
        history_personas=sum(each.personas for each in past),
        refused=_refused(db, book, request, now),
    )


def _refused(
    db: apsw.Connection, book: PriceBook, request: c.Estimate, now: datetime
) -> c.Refused | None:
    """Why not even a first call could be made."""
    stops = standing(db, scopes_of(request.experiment, None))
    most = book.ceiling(
        request.provider,
        request.model,
        Tokens(input=request.largest_call_bytes, output=request.max_output_tokens),
        now,
    )
    found = [*limits(accounts_at(db, now), stops)] if stops else []
    if request.stop_nanousd is not None:
        found.append(Limit("batch:", request.stop_nanousd, Committed(0, 0, 0)))
    refusals = (limit.refusal(most) for limit in found)
    return next((each for each in refusals if each is not None), None)


def _cases(past: Sequence[_Past], most: int) -> list[_Case]:
    """Low, expected and high; no call writes more than `most`."""
    if not past:
        outputs = [min(each, Fraction(most)) for each in _UNSEEN]
        calls = (Fraction(1), Fraction(1), Fraction(11, 10))
        cached = (Fraction(0),) * 3
    else:
        personas, all_calls = sum(each.personas for each in past), sum(each.calls for each in past)
        writing = [Fraction(each.output_tokens, each.calls) for each in past]
        low, high = _WIDER[len(past) >= ENOUGH]
        mean = Fraction(sum(each.output_tokens for each in past), all_calls)
        bounds = (min(writing) * low, mean, max(writing) * high)
        outputs = [min(each, Fraction(most)) for each in bounds]
        asking = [Fraction(each.calls, each.personas) for each in past]
        mean_calls = Fraction(all_calls, personas)
        calls = (min(asking), mean_calls, max(asking) * high)
        read = sum(each.cache_read_tokens for each in past)
        share = Fraction(read, max(1, sum(each.prompt_tokens for each in past)))
        cached = (share, share, Fraction(0))
    return [
        _Case(max(Fraction(1), each), *rest)
        for each, *rest in zip(calls, outputs, _PROMPT_OFF, cached, strict=True)
    ]


def _cost(book: PriceBook, request: c.Estimate, case: _Case, now: datetime) -> int | None:
    """In nano-dollars, rounded up; None where the model has no price."""
    total = 0
    output = -(-case.output_tokens // 1)
    for prompt in request.input_tokens:
        whole = -(-prompt * case.prompt // 1)
        cached = whole * case.cached // 1
        tokens = Tokens(input=whole - cached, cache_read=cached, output=output)
        found = book.price(request.provider, request.model, tokens, now)
        if found is None:
            return None
        total += found[0]
    return min(-(-total * case.calls // 1), c.COST_MAX)


def _guess(amounts: Sequence[Fraction]) -> c.Guess:
    low, expected, high = (min(-(-each // 1), c.COST_MAX) for each in amounts)
    return c.Guess(low=low, expected=expected, high=high)
