"""How quality looks: trends over time, days of an experiment, and one screen."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Literal

from msgspec import Struct

from personad.contract.alerts import QualityAlert
from personad.contract.asking import Period
from personad.contract.cost import CostTotal
from personad.contract.quality import (
    Goal,
    QualityDay,
    QualityGoalsReply,
    QualityTrend,
    QualityTrendsReply,
)

from . import values
from .alerts import quality_table
from .tables import (
    COUNT,
    SCORE,
    SCORE_BESIDE,
    SHARE,
    Block,
    Chart,
    Column,
    Fact,
    Facts,
    Kind,
    Table,
    View,
)

NO_SCORES = (
    "no scores in this range; `persona generate --from PATH` makes some, --days N looks back"
)
NO_PERCENTILES = "percentiles are kept by provider and model, not by experiment or batch"
COMPOSITE = "composite"
_FEW = 5
"""So many alerts are on the one screen of the summary, the newest."""
_A_LINE = 31
"""The days of so long a range are kept in one line."""
_METRICS = ("coherence", "faithfulness", "completeness", "distinctiveness", "authenticity")


def rank(name: str) -> tuple[int, str]:
    """Where a metric is shown: ours as they are always told, then others', the composite last."""
    if name == COMPOSITE:
        return len(_METRICS) + 1, name
    return _METRICS.index(name) if name in _METRICS else len(_METRICS), name


def _ranked(rows: Iterable[QualityTrend]) -> list[QualityTrend]:
    return sorted(rows, key=lambda row: (rank(row.metric), row.scorer))


def _arrow(row: QualityTrend) -> str:
    """Which way it goes, how far, and whether that is more than chance."""
    if row.trend_percent is None:
        return "– (too few days)"
    if not row.significant:
        return f"→ {row.trend_percent:+.1f} % (not significant)"
    return f"{'↑' if row.trend_percent > 0 else '↓'} {row.trend_percent:+.1f} %"


def _style(row: QualityTrend) -> str:
    if not row.significant or row.trend_percent is None:
        return ""
    return "green" if row.trend_percent > 0 else "red"


def _columns(*, scorers: bool) -> tuple[Column[QualityTrend], ...]:
    scorer: tuple[Column[QualityTrend], ...] = (Column("Scorer", lambda row: row.scorer),)
    return (
        Column("Metric", lambda row: row.metric),
        *(scorer if scorers else ()),
        Column("Current", lambda row: row.current, SCORE),
        Column("7d avg", lambda row: row.avg_7d, SCORE),
        Column("30d avg", lambda row: row.avg_30d, SCORE),
        Column("p10", lambda row: row.p10, SCORE),
        Column("p50", lambda row: row.p50, SCORE),
        Column("p90", lambda row: row.p90, SCORE),
        Column("n", lambda row: row.n, COUNT),
        Column("Trend", _arrow, style=_style),
    )


def trends(reply: QualityTrendsReply, *, plots: bool) -> View:
    """A chart a metric, then a row a metric; scores of two scorers are never drawn as one line."""
    several = len({row.scorer for row in reply.metrics}) > 1
    rows = _ranked(reply.metrics)
    table = Table(_columns(scorers=several), rows, NO_SCORES)
    charts = [_chart(row, several) for row in rows if len(row.series) > 1 and row.n]
    notes = _changed(_scored_on(rows))
    if any(row.n and row.p50 is None for row in rows):
        notes.append(Facts([Fact("note", NO_PERCENTILES)]))
    return [*(charts if plots else ()), table, *notes]


def _scored_on(rows: Iterable[QualityTrend]) -> Iterator[tuple[str, str]]:
    return ((row.scorer, str(day.start)) for row in rows for day in row.series if day.n)


def _changed(scored: Iterable[tuple[str, str]]) -> list[Facts]:
    """Where the break is, of each scorer and day of scores; nothing where there is one scorer."""
    days: dict[str, list[str]] = {}
    for scorer, day in scored:
        days.setdefault(scorer, []).append(day)
    if len(days) < 2:
        return []
    spans = sorted((min(some), max(some), scorer) for scorer, some in days.items())
    told = (f"{values.clean(scorer)} from {first} to {last}" for first, last, scorer in spans)
    said = f"the scorer changed: {', '.join(told)}; their figures stand apart, and don't compare"
    return [Facts([Fact("note", said, "yellow")])]


def _chart(row: QualityTrend, several: bool) -> Chart:
    days = row.series
    return Chart(
        title=f"{row.metric} by day{f' ({row.scorer})' if several else ''}",
        values=[day.mean for day in days],
        first=str(days[0].start),
        last=str(days[-1].start),
        amount=values.score,
        from_zero=False,
    )


class HistoryDay(Struct, frozen=True, kw_only=True):
    """A day's means by one scorer, by metric."""

    start: str
    scorer: str
    n: int
    metrics: dict[str, float | None]


class QualityHistory(Struct, frozen=True, kw_only=True):
    """The document of `quality history`."""

    experiment: str
    rows: list[HistoryDay]


def history_of(experiment: str, reply: QualityTrendsReply) -> QualityHistory:
    """The days with scores, each with what every metric came to; those of two scorers stand apart,
    as they don't compare."""
    by_day: dict[tuple[str, str], dict[str, QualityDay]] = {}
    for row in reply.metrics:
        for day in row.series:
            if day.n:
                by_day.setdefault((str(day.start), row.scorer), {})[row.metric] = day
    return QualityHistory(
        experiment=experiment,
        rows=[
            HistoryDay(
                start=start,
                scorer=scorer,
                n=max(day.n for day in days.values()),
                metrics={metric: day.mean for metric, day in days.items()},
            )
            for (start, scorer), days in sorted(by_day.items())
        ],
    )


def history(found: QualityHistory) -> View:
    """A row a day, a column a metric, the composite last; the scorer where there are several."""
    several = len({row.scorer for row in found.rows}) > 1
    scorer: tuple[Column[HistoryDay], ...] = (Column("Scorer", lambda row: row.scorer),)
    names = sorted({name for row in found.rows for name in row.metrics}, key=rank)
    columns: tuple[Column[HistoryDay], ...] = (
        Column("Date", lambda row: row.start),
        *(scorer if several else ()),
        *(_metric(name) for name in names),
        Column("n", lambda row: row.n, COUNT),
    )
    changed = _changed((row.scorer, row.start) for row in found.rows)
    return [Table(columns, found.rows, NO_SCORES), *changed]


def _metric(name: str) -> Column[HistoryDay]:
    return Column(name.capitalize(), lambda row: row.metrics.get(name), SCORE)


By = Literal["min", "goal", "alert"]
_BY: dict[By, str] = {"min": "a --min", "goal": "a goal", "alert": "an alert's threshold"}


class Check(Struct, frozen=True, kw_only=True):
    """One requirement, and whether it is met."""

    metric: str
    value: float | None
    required: float
    ok: bool
    by: By
    """What requires it."""


class Checks(Struct, frozen=True, kw_only=True):
    """The document of `quality check`."""

    checks: list[Check]
    verdict: Literal["met", "below a goal", "below", "nothing to check"]


Required = tuple[str, float, By]


def checked(reply: QualityTrendsReply, required: Sequence[Required]) -> Checks:
    """Each required metric against its mean over the range, by its newest scorer.

    What has no scores is not met, but for the threshold of an alert, which nothing is below then.
    """
    newest: dict[str, QualityTrend] = {}
    for row in reply.metrics:
        known = newest.get(row.metric)
        if row.n and (known is None or _last_day(row) >= _last_day(known)):
            newest[row.metric] = row
    checks = [
        _check(newest.get(metric), metric, least, by)
        for metric, least, by in required
        if by != "alert" or metric in newest
    ]
    missed = {each.by for each in checks if not each.ok}
    if not newest or not checks:
        return Checks(checks=checks, verdict="nothing to check")
    below: Literal["below", "below a goal"] = "below a goal" if missed == {"goal"} else "below"
    return Checks(checks=checks, verdict=below if missed else "met")


def left_out_of(reply: QualityTrendsReply) -> list[str]:
    """The scorers whose figures a check leaves out, as newer ones don't compare with them."""
    scored = sorted((day, scorer) for scorer, day in _scored_on(reply.metrics))
    return sorted({scorer for _, scorer in scored} - {scored[-1][1]}) if scored else []


def _last_day(row: QualityTrend) -> date:
    return max(day.start for day in row.series if day.n)


def _check(row: QualityTrend | None, metric: str, least: float, by: By) -> Check:
    value = None if row is None else row.mean
    is_met = value is not None and value >= least
    return Check(metric=metric, value=value, required=least, ok=is_met, by=by)


def checks(found: Checks) -> View:
    columns: tuple[Column[Check], ...] = (
        Column("Metric", lambda row: row.metric),
        Column("Value", lambda row: _beside(row.value, row.required), SCORE_BESIDE),
        Column("Required", lambda row: (row.required, row.value), SCORE_BESIDE),
        Column("By", lambda row: _BY[row.by]),
        Column(
            "Verdict",
            lambda row: "ok" if row.ok else "no scores" if row.value is None else "below",
            style=lambda row: "green" if row.ok else "red",
        ),
    )
    empty = "nothing is required: --min composite=0.8 says what, or a goal, or an alert that is on"
    return [Table(columns, found.checks, empty)]


def _beside(value: float | None, other: float) -> tuple[float, float] | None:
    return None if value is None else (value, other)


_STATUSES = {"achieved": "green", "in progress": "", "slipping": "red"}


def goals(reply: QualityGoalsReply) -> View:
    """A row a goal."""
    columns: tuple[Column[Goal], ...] = (
        Column("Metric", lambda row: row.metric),
        Column("Target", lambda row: (row.target, row.current), SCORE_BESIDE),
        Column("Current", lambda row: _beside(row.current, row.target), SCORE_BESIDE),
        Column("Progress", lambda row: row.progress, SHARE),
        Column("Status", lambda row: row.status, style=lambda row: _STATUSES[row.status]),
        Column(
            "Expected on", lambda row: str(row.expected_on) if row.expected_on is not None else None
        ),
    )
    empty = "no goal is set; `persona quality goals set --metric composite --target 0.8` sets one"
    return [Table(columns, reply.goals, empty)]


class Summary(Struct, frozen=True, kw_only=True):
    """The document of `quality summary`."""

    range: Period
    metrics: list[QualityTrend]
    goals: list[Goal]
    alerts: list[QualityAlert]
    """Those that nobody has acknowledged."""
    personas: int
    accepted_share: float | None
    """None where no persona was made."""


def summary_of(
    trends_: QualityTrendsReply,
    goals_: QualityGoalsReply,
    alerts: Sequence[QualityAlert],
    total: CostTotal,
) -> Summary:
    """Everything on one screen."""
    return Summary(
        range=trends_.range,
        metrics=trends_.metrics,
        goals=goals_.goals,
        alerts=[each for each in alerts if not each.acknowledged],
        personas=total.personas,
        accepted_share=total.accepted / total.personas if total.personas else None,
    )


def summary(found: Summary) -> View:
    """A row a metric with its days, the goals, how many were accepted, and what is alarming."""
    rows = [row for row in _ranked(found.metrics) if row.n]
    share = values.NOTHING if found.accepted_share is None else values.percent(found.accepted_share)
    accepted = Fact("accepted", f"{share} of {values.plural(found.personas, 'persona')}", "bold")
    alarms: list[Block] = [quality_table(found.alerts[:_FEW])] if found.alerts else []
    if len(found.alerts) > _FEW:
        more = f"{len(found.alerts) - _FEW} more; `persona quality alerts list` shows all"
        alarms.append(Facts([Fact("and", more, "yellow")]))
    several = len({row.scorer for row in rows}) > 1
    longest = max((len(row.series) for row in rows), default=0)
    columns = _summed_up(scorers=several, days=Kind(str, str, right=False, folds=longest > _A_LINE))
    metrics = Table(columns, rows, NO_SCORES)
    changed = _changed(_scored_on(rows))
    return [
        metrics,
        *changed,
        Facts([accepted]),
        *goals(QualityGoalsReply(goals=found.goals)),
        *alarms,
    ]


def _summed_up(*, scorers: bool, days: Kind) -> tuple[Column[QualityTrend], ...]:
    scorer: tuple[Column[QualityTrend], ...] = (Column("Scorer", lambda row: row.scorer),)
    return (
        Column("Metric", lambda row: row.metric),
        *(scorer if scorers else ()),
        Column("Current", lambda row: row.current, SCORE),
        Column("Days", lambda row: values.sparkline([day.mean for day in row.series]), days),
        Column("Trend", _arrow, style=_style),
    )
