"""What personas are worth: scores, goals and the alerts on them."""

from datetime import date
from typing import Literal

from msgspec import Struct

from .asking import Filter, Period, Range
from .base import BatchId, Count, Event, Finite, Name, Reply, Request, Score


class QualityScored(Event, frozen=True, kw_only=True, tag="quality.scored"):
    persona: Name
    provider: Name
    model: Name
    scores: dict[Name, Score]
    composite: Score
    scorer: Name
    """Which scorer, and its version: `builtin/1`. Figures of two versions are never mixed."""
    batch: BatchId | None = None
    experiment: Name | None = None


class GoalSet(Event, frozen=True, kw_only=True, tag="goal.set"):
    metric: Name
    target: Score


class GoalCleared(Event, frozen=True, kw_only=True, tag="goal.cleared"):
    metric: Name


class QualityDay(Struct, frozen=True, kw_only=True, gc=False):
    """The scores of a day; null where there were none."""

    start: date
    n: Count
    mean: Score | None
    p10: Score | None
    p50: Score | None
    p90: Score | None


class QualityTrend(Struct, frozen=True, kw_only=True):
    """A metric over a range, by one scorer.

    Percentiles are within 0.0025 (0.005 near 0 and 1), and null where the question is about
    experiments or batches: they are kept by provider and model only.
    """

    metric: Name
    scorer: Name
    n: Count
    mean: Score | None
    std: Finite | None
    """Of a sample; null below two scores."""
    p10: Score | None
    p50: Score | None
    p90: Score | None
    current: Score | None
    """The mean of the newest day with scores."""
    avg_7d: Score | None
    """Of the 7 days that end with the range, or with today."""
    avg_30d: Score | None
    avg_90d: Score | None
    trend_percent: Finite | None
    """From the range's first day to its last, of the level; null with under six days of scores."""
    significant: bool
    """Whether that is more than chance, and more than 1 %."""
    series: list[QualityDay]
    """One for each day of the range."""


class QualityTrendsReply(Reply, frozen=True, kw_only=True, tag="quality-trends"):
    range: Period
    metrics: list[QualityTrend]


class QualityTrends(Request[QualityTrendsReply], frozen=True, tag="quality-trends"):
    """What personas were worth over time."""

    range: Range = Range()
    filter: Filter = Filter()
    metrics: list[Name] = []
    """All if not given."""


GoalStatus = Literal["achieved", "in progress", "slipping"]


class Goal(Struct, frozen=True, kw_only=True):
    """A standing goal, and how far it is."""

    metric: Name
    target: Score
    current: Score | None
    """The mean of the last 7 days with scores, by the newest scorer; null without any."""
    progress: float | None
    """`current` of `target`, at most 1."""
    status: GoalStatus
    """`slipping`: it falls beyond chance."""
    expected_on: date | None
    """When the present trend reaches it; null where it rises not, or not beyond chance."""


class QualityGoalsReply(Reply, frozen=True, kw_only=True, tag="quality-goals"):
    goals: list[Goal]


class QualityGoals(Request[QualityGoalsReply], frozen=True, tag="quality-goals"):
    """The goals that stand, judged by the last 30 days."""

    timezone: Name | None = None
