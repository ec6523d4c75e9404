"""What personas are worth: scores, goals and the alerts on them."""

from .base import BatchId, Event, Name, Score


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
