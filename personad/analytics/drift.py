"""Whether scores have dropped: an exponentially weighted mean held against a baseline.

The chart of Roberts (1959): λ = 0.2 and L = 2.86 give one false alarm in about 400 points in
control where the baseline is known, and normal. Ours is only estimated, from the points themselves,
so the limit is wider by what the baseline may be wrong by (its mean's own error, and Student's t in
place of the normal distribution), and narrows as it grows; and scores near their top have a long
tail downwards, so it is wider by their skewness, too (both after Cornish and Fisher).

The baseline takes points in some 25 to 50 points late, and none while the chart is out: a drop must
not become what it is measured by. It ends growing at 200 points, so that a slow decline is one. A
level that has held for 50 points out of the limits is the new normal, and the chart starts over.

Scores are integers × 10⁴, so that sums are exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import sqrt

LAMBDA = 0.2
L = 2.86
LEAST = 10
"""Points of a baseline, below which nothing is told."""
FULL = 50
"""So many points are taken into the baseline as they come."""
MOST = 200
BLOCK = 25
HELD = 50
"""Points out of the limits, after which the level is the new normal."""
LEAST_SD = 100.0
"""× 10⁻⁴: scores that hardly ever differ make no alarm of a hundredth."""

_PLAIN = int(1 / LAMBDA)
"""So many first points weigh alike."""
_WIDTH = LAMBDA / (2 - LAMBDA)
_SKEW = LAMBDA**3 / (1 - (1 - LAMBDA) ** 3) / (_WIDTH * sqrt(_WIDTH)) * (L * L - 1) / 6
"""Of the points' skewness, what the limit of their weighted mean is wider by."""
_T_FIRST = (L**3 + L) / 4
_T_SECOND = (5 * L**5 + 16 * L**3 + 3 * L) / 96


@dataclass(slots=True)
class Sums:
    """Of some scores."""

    n: int = 0
    total: int = 0
    squares: int = 0
    cubes: int = 0

    def take(self, score: int) -> None:
        self.n += 1
        self.total += score
        self.squares += score * score
        self.cubes += score * score * score

    def __iadd__(self, other: "Sums") -> "Sums":
        self.n += other.n
        self.total += other.total
        self.squares += other.squares
        self.cubes += other.cubes
        return self

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else 0.0

    @property
    def sd(self) -> float:
        """Of a sample."""
        if self.n < 2:
            return 0.0
        return sqrt((self.n * self.squares - self.total * self.total) / (self.n * (self.n - 1)))

    @property
    def skewness(self) -> float:
        """0 where all are alike."""
        n, total = self.n, self.total
        spread = n * self.squares - total * total
        if spread <= 0:
            return 0.0
        third = n * n * self.cubes - 3 * n * total * self.squares + 2 * total**3
        return third / (spread * sqrt(spread))


@dataclass(slots=True)
class Level:
    """The weighted mean of a series: of the first points plainly, then with λ."""

    points: int = 0
    mean: float = 0.0

    def take(self, score: int) -> None:
        points = self.points = self.points + 1
        self.mean += (LAMBDA if points > _PLAIN else 1 / points) * (score - self.mean)

    def take_all(self, scores: Iterable[int]) -> None:
        """The same of many in a row, in a quarter of the time."""
        points, mean = self.points, self.mean
        for score in scores:
            points += 1
            mean += (LAMBDA if points > _PLAIN else 1 / points) * (score - mean)
        self.points, self.mean = points, mean


@dataclass(slots=True)
class Chart:
    """A baseline, and where the level is to it."""

    baseline: Sums = field(default_factory=Sums)
    waiting: Sums = field(default_factory=Sums)
    """A whole block, to be taken in when the next one is whole."""
    block: Sums = field(default_factory=Sums)
    side: int = 0
    """−1: the level has dropped out of the limits; 1: it has risen out of them."""
    out: int = 0
    """For how many points it has been out."""
    _limit: float | None = field(default=None, compare=False, repr=False)
    _limit_n: int = field(default=0, compare=False, repr=False)
    """Points of the baseline, which only grows or starts over, that it was made of."""

    def limit(self) -> float | None:
        """How far from the baseline's mean the level may lie; None: nobody can tell yet."""
        n = self.baseline.n
        if n < LEAST:
            return None
        if n == self._limit_n:
            return self._limit
        freedom = n - 1
        reach = L + _T_FIRST / freedom + _T_SECOND / (freedom * freedom)
        # A third of it: the chart looks down only, which leaves room for as many alarms again.
        reach += _SKEW / 3 * max(0.0, -self.baseline.skewness)
        self._limit_n = n
        self._limit = reach * max(self.baseline.sd, LEAST_SD) * sqrt(_WIDTH + 1 / n)
        return self._limit

    def take(self, score: int, level: float) -> bool:
        """Takes a score that has moved the level there; whether it drops out of the limits now."""
        limit = self.limit()
        was = self.side
        if limit is not None:
            off = level - self.baseline.mean
            if abs(off) > limit:
                self.side = 1 if off > 0 else -1
            elif abs(off) <= limit / 2:
                # Half-way back, so that a level on the limit is one alarm and not many.
                self.side = 0
        self.out = self.out + 1 if self.side and self.side == was else int(self.side != 0)
        if self.out >= HELD:
            self.baseline, self.waiting, self.block = Sums(), Sums(), Sums()
            self.side = self.out = self._limit_n = 0
        self._learn(score)
        return self.side < 0 <= was

    def _learn(self, score: int) -> None:
        if self.baseline.n < FULL:
            if not self.side:
                self.baseline.take(score)
            return
        if self.baseline.n >= MOST:
            return
        if self.side:
            self.waiting, self.block = Sums(), Sums()
            return
        self.block.take(score)
        if self.block.n >= BLOCK:
            self.baseline += self.waiting
            self.waiting, self.block = self.block, Sums()
