"""What a comparison comes to, and by how much a metric may change."""

import math
from typing import Literal

from msgspec import Struct

Verdict = Literal["better", "same", "warning", "failure", "inconclusive", "not comparable"]

_MOST = 700.0
"""Beyond it, a ratio is no float any more."""

SEVERITY: dict[Verdict, int] = {
    "better": 0,
    "same": 0,
    "not comparable": 1,
    "inconclusive": 1,
    "warning": 2,
    "failure": 3,
}
"""Which of several verdicts stands for all of them: the one with the most."""


class Limits(Struct, frozen=True, kw_only=True):
    """By how many percent a metric may get worse."""

    warn_percent: float
    fail_percent: float
    higher_is_better: bool = False

    @property
    def warn_log(self) -> float:
        """T of the methods: the least change that is worth a warning, as a log ratio."""
        return math.log1p(self.warn_percent / 100)

    @property
    def fail_log(self) -> float:
        """From here a slow-down is a failure: midway, in logs, between warning and failing."""
        return (self.warn_log + math.log1p(self.fail_percent / 100)) / 2

    @property
    def sign(self) -> int:
        """What turns a log ratio of the metric into one of how much worse it is."""
        return -1 if self.higher_is_better else 1


class Change(Struct, frozen=True, kw_only=True):
    """By how much a metric differs: log ratios of new to old, whichever direction is better."""

    estimate: float
    low: float
    high: float

    @property
    def percents(self) -> tuple[float, float, float]:
        """The estimate and the interval's ends, in percent of the old value."""
        low, high = percent(self.low), percent(self.high)
        return percent(self.estimate), low, high

    def worse_by(self, limits: Limits) -> "Change":
        """The same as log ratios of how much worse it is."""
        if limits.sign > 0:
            return self
        return Change(estimate=-self.estimate, low=-self.high, high=-self.low)


class Decision(Struct, frozen=True, kw_only=True):
    """A verdict, never without the interval that it stands on."""

    verdict: Verdict
    change: Change | None = None
    """None only where nothing could be compared."""
    note: str = ""
    """Why it is no verdict, or how many more samples it would take."""


def percent(log_ratio: float) -> float:
    """A log ratio in percent of the old value."""
    return math.inf if log_ratio > _MOST else math.expm1(log_ratio) * 100


def graded(worse: float, limits: Limits) -> Verdict:
    """The grade of a slow-down that is known to be one; exactly at a threshold crosses it."""
    return "failure" if worse >= limits.fail_log else "warning"


def worst(verdicts: list[Verdict]) -> Verdict:
    """The one that stands for all; of none, that nothing was comparable."""
    if not verdicts:
        return "not comparable"
    return max(verdicts, key=lambda each: SEVERITY[each])
