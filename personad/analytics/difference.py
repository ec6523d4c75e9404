"""How far two groups of scores lie apart, and whether that is more than chance.

Both groups are compared within each source that both ran, as one source may be harder than
another; the differences are averaged with the weights of Mantel and Haenszel. The interval is
Welch's, from exact sums: a bootstrap of the same figures reaches the same interval, but needs
every single score, and those of rolled-up history are gone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from personad.analytics.student import student_t

LEVEL = 0.95
LEAST = 5
"""With fewer scores on a side, nothing is said."""


class Some(NamedTuple):
    """Scores, as integers: how many, their sum, and the sum of their squares."""

    n: int = 0
    total: int = 0
    squares: int = 0

    @property
    def mean(self) -> float:
        """Of at least one."""
        return self.total / self.n

    @property
    def variance(self) -> float:
        """Of a sample of at least two; exact but for its last division."""
        return (self.n * self.squares - self.total * self.total) / (self.n * (self.n - 1))


class Interval(NamedTuple):
    """In the scores' own unit."""

    middle: float
    low: float
    high: float


def mean(some: Some) -> Interval | None:
    """The mean, with Student's interval; None below two scores."""
    if some.n < 2:
        return None
    half = _half(some.variance / some.n, some.n - 1)
    return Interval(some.mean, some.mean - half, some.mean + half)


def difference(strata: Sequence[tuple[Some, Some]]) -> Interval | None:
    """How much higher the first of each pair scores; None where too few scores can be compared.

    Args:
        strata: a pair a source. Those with under two scores on a side tell no spread, and are
            left out.
    """
    told = [(a, b) for a, b in strata if a.n > 1 and b.n > 1]
    if not told or min(sum(pair[side].n for pair in told) for side in (0, 1)) < LEAST:
        return None
    weights = [a.n * b.n / (a.n + b.n) for a, b in told]
    whole = sum(weights)
    middle = spread = freedom = 0.0
    for weight, (a, b) in zip(weights, told, strict=True):
        share = weight / whole
        middle += share * (a.mean - b.mean)
        for some in (a, b):
            part = share * share * some.variance / some.n
            spread += part
            freedom += part * part / (some.n - 1)
    half = _half(spread, spread * spread / freedom) if freedom else 0.0
    return Interval(middle, middle - half, middle + half)


def _half(variance: float, freedom: float) -> float:
    return student_t(0.5 + LEVEL / 2, freedom) * math.sqrt(variance)
