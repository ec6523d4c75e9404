"""Whether one model's scores are worse than another's, beyond chance."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 1_000
LEAST_DAYS = 5
"""With fewer days of scores there are too few to draw days from."""
_TWO_SIDED_95 = 1.959964
_ENDS = (2.5, 97.5)


class Scores(NamedTuple):
    """A model's scores by one scorer: of each day how many and their sum, and all squares' sum."""

    counts: Sequence[int]
    totals: Sequence[int]
    squares: int

    @property
    def n(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        return sum(self.totals) / self.n

    @property
    def error(self) -> float:
        """The standard error of the mean, as if no score had to do with another."""
        n, total = self.n, sum(self.totals)
        if n < 2:
            return math.inf
        return math.sqrt(max(0, n * self.squares - total * total) / (n * n * (n - 1)))


class Sample(NamedTuple):
    """A model's scores, and means of as many days drawn with replacement."""

    scores: Scores
    means: npt.NDArray[np.float64] | None
    """None: there are too few days to draw from."""


class Difference(NamedTuple):
    """Of two means, with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def sampled(scores: Scores, rng: np.random.Generator) -> Sample:
    """Ready to be compared with others, each of which is drawn once."""
    days = [(n, total) for n, total in zip(scores.counts, scores.totals, strict=True) if n]
    if len(days) < LEAST_DAYS:
        return Sample(scores, None)
    counts, totals = np.asarray(days, dtype=np.float64).T
    places = rng.integers(0, len(days), (RESAMPLES, len(days)))
    return Sample(scores, totals[places].sum(axis=1) / counts[places].sum(axis=1))


def difference(one: Sample, other: Sample) -> Difference:
    """How much better the other one's scores are.

    A bootstrap that draws whole days, as scores of one day are of one source and alike; with few
    days, or where it comes out narrower, the interval of independent scores.
    """
    found = other.scores.mean - one.scores.mean
    half = _TWO_SIDED_95 * math.hypot(one.scores.error, other.scores.error)
    low, high = found - half, found + half
    if one.means is not None and other.means is not None:
        ends = np.percentile(other.means - one.means, _ENDS)
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    return Difference(found, low, high)
