"""What is known of a range's calls when it is asked how they could have cost less.

Sums of days by kind of call, scores of days by model, and the newest calls themselves: a bounded
number of them, so that the log is never read through.
"""

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import apsw

from personad import civil, log
from personad.analytics.optimising import Bill, Cell, Price, Terms, Usage
from personad.contract.cost import CostRecorded
from personad.kinds import CODE_OF, event_of, moment_of
from personad.names import texts_of
from personad.pricing import PriceBook, Tokens, cost_of
from personad.projections import summing
from personad.projections.asked import Asked, Slice
from personad.projections.cost_sums import COST
from personad.projections.percentiles import series_of
from personad.projections.personas import PERSONA
from personad.projections.quality import COMPOSITE, SCORE
from personad.projections.summing import Columns

if TYPE_CHECKING:
    from personad.analytics.score_difference import Scores

Model = tuple[str, str]
"""Provider and name."""
Kind = tuple[str, str, str, str]
"""Provider, model, operation, outcome."""

IsKept = Callable[[CostRecorded], bool]

SAMPLE_CALLS = 400
SAMPLE_EVENTS = 20_000
"""Of the log, so many are looked through for them."""
EXPERIMENTS_MOST = 5
_COST = Columns(
    COST,
    (
        "cost_nanousd",
        "calls",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
    ),
)
_SPENT = Columns(COST, ("cost_nanousd",))
_MADE = Columns(PERSONA, ("completed", "accepted", "failed"))
_SCORES = Columns(SCORE, ("n", "total", "squares"))
_DIMS = "SELECT key, provider, model, operation, outcome FROM dim"
_RECORDED = CODE_OF[CostRecorded]
_NEWEST = f"""
SELECT id, at, body FROM event
WHERE seq >= ? AND seq < ? AND kind = {_RECORDED} AND at >= ? AND at < ?
ORDER BY seq DESC LIMIT ?
"""  # noqa: S608 - a number of ours
_EXPERIMENT = "SELECT experiment FROM experiment WHERE key = ?"
_EVER_ACCEPTED = """
SELECT 1 FROM batch JOIN persona USING (batch) WHERE experiment = ? AND accepted = 1 LIMIT 1
"""
_AHEAD_US = 86_400_000_000


class Wasted(NamedTuple):
    """An experiment of which no persona was ever accepted."""

    key: int
    name: str
    completed: int
    failed: int


@dataclass(frozen=True)
class Facts:
    """Of the asked range and filter, unless it says otherwise."""

    kinds: dict[Kind, list[tuple[int, Usage]]]
    """Of each kind of call that cost something or took tokens: day by day, by their place in the
    range, what they took."""
    bills: list[Bill]
    stretch_of_day: Sequence[int]
    price: Price
    totals: dict[Kind, Usage]
    """Of the range, whatever the filter."""
    scores: "dict[Model, dict[str, Scores]]"
    """Composites of the range by scorer, whatever the filter."""
    newest: list[CostRecorded]
    wasted: list[Wasted]
    cost_nanousd: int
    calls: int


def gathered(
    db: apsw.Connection,
    asked: Asked,
    everything: Asked,
    book: PriceBook,
    *,
    is_kept: IsKept | None,
    least_share: float,
) -> Facts:
    """What is known.

    Args:
        db: a reader's connection.
        asked: the range, with its filter.
        everything: the same without.
        book: the prices that are known now.
        is_kept: whether the filter leaves a call in; None: there is none.
        least_share: of the cost; no experiment of less is told.
    """
    slices = asked.slices("day")
    kinds = {key: (p, m, o, out) for key, p, m, o, out in db.execute(_DIMS)}
    days = summing.by_slice_and_key(db, asked, _COST, slices)
    totals = {
        kinds[key]: Usage(*sums[1:])
        for key, sums in summing.by_key(db, everything, _COST, "key").items()
    }
    stretch_of_day, moments = _stretches(book, {kind[:2] for kind in totals}, slices)
    cost = sum(sums[0] for day in days for sums in day.values())
    calls = sum(sums[1] for day in days for sums in day.values())
    wasted = _wasted(db, asked, max(1.0, cost * least_share))
    apart = [
        (each.name, summing.by_slice_and_key(db, of_one, _COST, slices))
        for each in wasted
        for of_one in [replace(asked, experiments=(each.key,))]
    ]
    of_kinds: dict[Kind, list[tuple[int, Usage]]] = defaultdict(list)
    for place, day in enumerate(days):
        for key, sums in day.items():
            of_kinds[kinds[key]].append((place, Usage(*sums[1:])))
    return Facts(
        kinds=of_kinds,
        bills=_bills(days, apart, stretch_of_day, kinds),
        stretch_of_day=stretch_of_day,
        price=_price(book, moments),
        totals=totals,
        scores=_scores(db, everything, slices),
        newest=newest(db, asked, is_kept, SAMPLE_CALLS),
        wasted=wasted,
        cost_nanousd=cost,
        calls=calls,
    )


def _bills(
    days: Sequence[summing.Sums],
    apart: Sequence[tuple[str, Sequence[summing.Sums]]],
    stretch_of_day: Sequence[int],
    kinds: dict[int, Kind],
) -> list[Bill]:
    """One a stretch and kind, and those of wasted experiments by themselves.

    What a call without an answer cost nobody knows yet: it is in none of them.
    """
    sums: dict[Cell, list[int]] = {}

    def add(place: int, key: int, experiment: str | None, sign: int, values: list[int]) -> None:
        if kinds[key][3] == "unknown":
            return
        cell = Cell(stretch_of_day[place], *kinds[key], experiment)
        known = sums.setdefault(cell, [0] * len(values))
        for index, value in enumerate(values):
            known[index] += sign * value

    for place, day in enumerate(days):
        for key, values in day.items():
            add(place, key, None, 1, values)
    for name, of_days in apart:
        for place, day in enumerate(of_days):
            for key, values in day.items():
                add(place, key, None, -1, values)
                add(place, key, name, 1, values)
    return [
        Bill(cell, Terms(cell.provider, cell.model, Usage(*usage)), cost)
        for cell, (cost, *usage) in sums.items()
        if cost > 0 and usage[0] > 0
    ]


def _stretches(
    book: PriceBook, models: set[tuple[str, ...]], slices: Sequence[Slice]
) -> tuple[list[int], list[datetime]]:
    """Of each day, in which stretch it is; and when each of these begins."""
    begins = [moment_of(part.first * civil.QUARTER_US) for part in slices]
    edges = {0}
    for provider, model in models:
        for tier in (None, "batch"):
            place = 0
            while place < len(begins):
                until = book.epoch(provider, model, begins[place], tier).until
                place = max(place + 1, bisect_left(begins, until))
                edges.add(place)
    firsts = sorted(edges - {len(begins)})
    stretch_of_day, stretch = [], -1
    for place in range(len(begins)):
        stretch += place in edges
        stretch_of_day.append(stretch)
    return stretch_of_day, [begins[place] for place in firsts]


def _price(book: PriceBook, moments: Sequence[datetime]) -> Price:
    """By the prices of each stretch; those that depend on a prompt's size, by the average one."""

    def price(terms: Terms, stretch: int) -> int | None:
        usage = terms.usage
        tier = "batch" if terms.is_batch else None
        epoch = book.epoch(terms.provider, terms.model, moments[stretch], tier)
        row = epoch.for_prompt(usage.prompt_tokens // usage.calls)
        if row is None:
            return None
        tokens = Tokens(
            input=usage.input_tokens,
            output=usage.output_tokens,
            cache_read=usage.cache_read_tokens,
            cache_write=usage.cache_write_tokens,
        )
        cost = cost_of(tokens, row)
        if cost is None:
            return None
        return cost + (usage.calls - 1) * row.request_nanousd // row.per_tokens

    return price


def _scores(
    db: apsw.Connection, everything: Asked, slices: Sequence[Slice]
) -> "dict[Model, dict[str, Scores]]":
    """Of composites only: the other metrics' sums needn't be read."""
    from personad.analytics.score_difference import Scores  # numpy: a daemon starts without it

    series = {
        key: (provider, model, scorer)
        for key, (measure, provider, model, scorer) in series_of(db, everything, "score").items()
        if measure == COMPOSITE
    }
    some = replace(everything, kinds={"series": json.dumps(list(series))})
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for day in summing.by_slice_and_key(db, some, _SCORES, slices):
        for key, (n, total, squares) in day.items():
            found[key].append((n, total, squares))
    scores: dict[Model, dict[str, Scores]] = defaultdict(dict)
    for key, days in found.items():
        provider, model, scorer = series[key]
        counts, totals, squares_ = zip(*days, strict=True)
        scores[provider, model][scorer] = Scores(counts, totals, sum(squares_))
    return scores


def newest(
    db: apsw.Connection, asked: Asked, is_kept: IsKept | None, limit: int
) -> list[CostRecorded]:
    """The range's newest costs as they were recorded, the newest first; not all of them.

    Looked for in what was recorded last of all, as imported history was, and before the range was
    over.
    """
    since_us, until_us = (quarter * civil.QUARTER_US for quarter in (asked.first, asked.end))
    first, over = log.first_seq(db, since_us), log.first_seq(db, until_us + _AHEAD_US) + 1
    end = log.last_seq(db) + 1
    text = texts_of(db).text
    found: list[CostRecorded] = []
    for begin, until in ((max(end - SAMPLE_EVENTS, over), end), (over - SAMPLE_EVENTS, over)):
        places = (max(first, begin), until, since_us, until_us, limit - len(found))
        for event_id, at, body in db.execute(_NEWEST, places):
            event = event_of(_RECORDED, event_id, at, body, text)
            assert isinstance(event, CostRecorded)
            if is_kept is None or is_kept(event):
                found.append(event)
    return found


def _wasted(db: apsw.Connection, asked: Asked, least_nanousd: float) -> list[Wasted]:
    """Experiments that have cost so much in the range, and came to nothing in it or before."""
    if asked.batches is not None:
        return []
    from personad.projections import wide  # numpy, by way of it: a daemon starts without

    # There may be ten thousand of them: nearly all have cost too little to be looked at any closer.
    spent = wide.by_key(db, asked, _SPENT, "experiment")
    of_dear = spent.some((spent.sums[0] >= least_nanousd).nonzero()[0])
    dear = dict(zip(of_dear.keys.tolist(), of_dear.sums[0].tolist(), strict=True))
    if not dear:
        return []
    made = summing.by_key(db, replace(asked, experiments=tuple(dear)), _MADE, "experiment")
    found: list[Wasted] = []
    for key in sorted(dear, key=lambda each: -dear[each]):
        completed, accepted, failed = made.get(key, (0, 0, 0))
        # One of which nothing has ended yet may still come to something.
        if accepted or not (completed or failed):
            continue
        name = str(db.execute(_EXPERIMENT, (key,)).get)
        if db.execute(_EVER_ACCEPTED, (name,)).fetchone() is None:
            found.append(Wasted(key, name, completed, failed))
        if len(found) == EXPERIMENTS_MOST:
            break
    return found
