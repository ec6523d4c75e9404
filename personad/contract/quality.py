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


class QualityMean(Struct, frozen=True, kw_only=True, gc=False):
    """What the personas of a provider came to by one metric."""

    n: Count
    mean: Score
    low: Score | None
    """The mean's 95 % interval; null below two scores."""
    high: Score | None
    best: bool
    """Better beyond chance than at least one that ran a source in common with it, and than each
    of those that has five scores, or a higher mean."""


class QualityOfProvider(Struct, frozen=True, kw_only=True):
    """What a provider, or one of its models, made in a range, and what that cost."""

    provider: Name
    model: Name | None
    """Null where all models of the provider are together."""
    n: Count
    """Personas that were scored by the reply's scorer."""
    metrics: dict[Name, QualityMean]
    personas: Count
    accepted: Count
    cost_nanousd: Count
    unpriced_calls: Count
    duration_ms: Count | None
    """Of a persona, on average; null where none was completed."""
    cost_per_accepted_persona_nanousd: Count | None


class QualityDifference(Struct, frozen=True, kw_only=True):
    """How much better a metric's best is than another, over the sources that both ran."""

    metric: Name
    better: Name
    """A provider, or `provider/model`."""
    than: Name
    sources: Count
    difference: Finite
    low: Finite
    """Its 95 % interval: beyond chance where this is over 0."""
    high: Finite


class QualityProvidersReply(Reply, frozen=True, kw_only=True, tag="quality-providers"):
    range: Period
    scorer: Name | None
    """The newest in the range; null where nothing was scored."""
    other_scorers: list[Name]
    """Whose figures are left out, as they don't compare."""
    rows: list[QualityOfProvider]
    differences: list[QualityDifference]
    """Of each metric's highest mean from the others that can be compared with it."""


class QualityProviders(Request[QualityProvidersReply], frozen=True, tag="quality-providers"):
    """What personas were worth and what they cost, side by side."""

    range: Range = Range()
    filter: Filter = Filter()
    by: Literal["provider", "model"] = "provider"
    metrics: list[Name] = []
    """All if not given."""
