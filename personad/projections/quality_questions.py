"""What personas were worth, answered from sums and sketches of their scores."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from operator import add
from typing import TYPE_CHECKING, NamedTuple

import apsw

from personad import civil
from personad.contract import quality as q
from personad.projections import summing
from personad.projections.asked import Asked, Slice, no_such, resolve
from personad.projections.percentiles import Wanted, leaders_of, of_slices, series_of
from personad.projections.quality import SCORE
from personad.projections.summing import Columns
from personad.sketch import SCORES

if TYPE_CHECKING:
    from personad.analytics.trend import Trend

_SCORES = Columns(SCORE, ("n", "total", "squares"))
_MEASURES = "SELECT DISTINCT measure FROM series WHERE kind = 'score'"
_QUANTILES = (0.1, 0.5, 0.9)
_UNIT = 10_000
_WINDOWS = (7, 30, 90)

Metric = tuple[str, str]
"""Its name, and the scorer."""
Quantiles = Sequence[float | None]


class Sums(NamedTuple):
    """Of scores × 10⁴."""

    n: int = 0
    total: int = 0
    squares: int = 0

    @property
    def mean(self) -> float | None:
        return self.total / (self.n * _UNIT) if self.n else None

    @property
    def std(self) -> float | None:
        """Of a sample."""
        if self.n < 2:
            return None
        spread = self.n * self.squares - self.total * self.total
        return math.sqrt(spread / (self.n * (self.n - 1))) / _UNIT


class Day(NamedTuple):
    """The scores of one metric in some time."""

    n: int
    mean: float | None
    quantiles: Quantiles
    """None where they are not kept."""


_NOTHING = Sums()
_UNTOLD = (None, None, None)
_NO_DAY = Day(0, None, _UNTOLD)


def trends(db: apsw.Connection, request: q.QualityTrends, now: datetime) -> q.QualityTrendsReply:
    """What personas were worth over time.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    known = {name for (name,) in db.execute(_MEASURES)}
    for place, name in enumerate(request.metrics):
        if name not in known:
            raise no_such("metric", name, known, f"$.metrics[{place}]")
    return q.QualityTrendsReply(
        range=asked.period, metrics=of_metrics(db, asked, request.metrics or known)
    )


def of_metrics(db: apsw.Connection, asked: Asked, wanted: Container[str]) -> list[q.QualityTrend]:
    """What the scores of these metrics were, each by each scorer."""
    groups = {
        key: (measure, scorer)
        for key, (measure, _, _, scorer) in series_of(db, asked, "score").items()
        if measure in wanted
    }
    slices = asked.slices("day")
    has_sketches = asked.experiments is None and asked.batches is None
    days, overall = (_sketched if has_sketches else _summed)(db, asked, slices, groups)
    whole, windows = _all_sums(db, asked, groups)
    return [
        _trend(
            metric,
            whole[metric],
            overall.get(metric, _UNTOLD),
            [
                (part.label, each.get(metric, _NO_DAY))
                for part, each in zip(slices, days, strict=True)
            ],
            [each.get(metric, _NOTHING).mean for each in windows],
        )
        for metric in sorted(whole)
    ]


def _sketched(
    db: apsw.Connection, asked: Asked, slices: Sequence[Slice], groups: Mapping[int, Metric]
) -> tuple[list[dict[Metric, Day]], dict[Metric, Quantiles]]:
    leaders = leaders_of(db, "score", groups)
    wanted = Wanted(SCORES, groups, _QUANTILES, lambda metric: metric, leaders)
    parts, total = of_slices(db, asked, slices, wanted)
    days = [
        {
            metric: Day(told.n, told.total / (told.n * _UNIT), _scores(told.quantiles))
            for metric, told in found.items()
        }
        for found in parts
    ]
    return days, {metric: _scores(told.quantiles) for metric, told in total.items()}


def _summed(
    db: apsw.Connection, asked: Asked, slices: Sequence[Slice], groups: Mapping[int, Metric]
) -> tuple[list[dict[Metric, Day]], dict[Metric, Quantiles]]:
    """Without percentiles."""
    days = [
        {
            metric: Day(sums.n, sums.mean, _UNTOLD)
            for metric, sums in _grouped(found, groups).items()
        }
        for found in summing.by_slice_and_key(db, asked, _SCORES, slices)
    ]
    return days, {}


def _all_sums(
    db: apsw.Connection, asked: Asked, groups: Mapping[int, Metric]
) -> tuple[dict[Metric, Sums], list[dict[Metric, Sums]]]:
    """Of the whole range, and of each window. All windows end together: of a longer one only what
    lies before the next shorter one is added up, and a range that is one of them is not again."""
    windows: list[tuple[Asked, dict[Metric, Sums]]] = []
    for days in _WINDOWS:
        wider = _window(asked, days)
        if windows and windows[-1][0].first >= wider.first:
            shorter, inner = windows[-1]
            outer = replace(wider, end=shorter.first)
            windows.append((wider, _added(inner, _sums(db, outer, groups))))
        else:
            windows.append((wider, _sums(db, wider, groups)))
    same = (found for each, found in windows if (each.first, each.end) == (asked.first, asked.end))
    whole = next(same, None)
    found = [found for _, found in windows]
    return _sums(db, asked, groups) if whole is None else whole, found


def _sums(db: apsw.Connection, asked: Asked, groups: Mapping[int, Metric]) -> dict[Metric, Sums]:
    return _grouped(summing.by_key(db, asked, _SCORES, "key"), groups)


def _grouped(found: summing.Sums, groups: Mapping[int, Metric]) -> dict[Metric, Sums]:
    sums: dict[Metric, Sums] = {}
    for key, (n, total, squares) in found.items():
        if (metric := groups.get(key)) is not None:
            known = sums.get(metric, _NOTHING)
            sums[metric] = Sums(known.n + n, known.total + total, known.squares + squares)
    return sums


def _added(one: Mapping[Metric, Sums], other: Mapping[Metric, Sums]) -> dict[Metric, Sums]:
    return {
        metric: Sums(*map(add, one.get(metric, _NOTHING), other.get(metric, _NOTHING)))
        for metric in {**one, **other}
    }


def _window(asked: Asked, days: int) -> Asked:
    """So many days, which end with the range or with today."""
    last = min(asked.span.last_day, asked.today)
    begin, end = (
        civil.day_start(day, asked.zone)
        for day in (last - timedelta(days=days - 1), last + timedelta(days=1))
    )
    end = min(end, asked.end)
    begin = min(begin, end)
    span = civil.Range(begin, end, last, last)
    return replace(asked, span=span, end=end)


def _trend(
    metric: Metric,
    whole: Sums,
    quantiles: Quantiles,
    days: Sequence[tuple[str, Day]],
    averages: Sequence[float | None],
) -> q.QualityTrend:
    p10, p50, p90 = quantiles
    found = _trend_of([day for _, day in days])
    return q.QualityTrend(
        metric=metric[0],
        scorer=metric[1],
        n=whole.n,
        mean=whole.mean,
        std=whole.std,
        p10=p10,
        p50=p50,
        p90=p90,
        current=next((day.mean for _, day in reversed(days) if day.n), None),
        avg_7d=averages[0],
        avg_30d=averages[1],
        avg_90d=averages[2],
        trend_percent=None if found is None else found.change * 100,
        significant=found is not None and found.is_significant,
        series=[_day(label, day) for label, day in days],
    )


def _trend_of(days: Sequence[Day]) -> "Trend | None":
    """Of the days with scores; the same days always give the same answer."""
    from personad.analytics.trend import trend  # numpy, by way of it: a daemon starts without

    told = [(place, day.mean, day.n) for place, day in enumerate(days) if day.mean is not None]
    if not told:
        return None
    places, means, weights = zip(*told, strict=True)
    return trend(places, means, weights, len(told))


def _day(label: str, day: Day) -> q.QualityDay:
    p10, p50, p90 = day.quantiles
    start = date.fromisoformat(label)
    return q.QualityDay(start=start, n=day.n, mean=day.mean, p10=p10, p50=p50, p90=p90)


def _scores(quantiles: Quantiles) -> Quantiles:
    return [each / _UNIT if each is not None else None for each in quantiles]
