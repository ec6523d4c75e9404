"""How far a forecast may err, from signs that its history gives.

Four sums say it: how great the spread is, how much further it reaches up than down, how heavy the
tails are, and on which side of the expected a total comes more often: what is expected is about a
mean, and most totals of a skewed sort come under theirs. Each is of products of signs, so that a
sign may count more for a month than for a day, or for a short history than for a long one. The
coefficients were fitted on real series by `python -m bench.fit_forecast`; docs/forecast-report.md
says how well they hold on others.
"""

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

from personad.analytics.student import student_t, student_t_share


class Signs(NamedTuple):
    """What the spread of a total is told from. All but `day` and `week` are without a unit, and 0
    where they say nothing."""

    u: float
    """How far the total is from a single day (0) to a week or more (1)."""
    v: float
    """The logarithm of how many days it reaches ahead: 0 for tomorrow, 1 for 30 days."""
    n: float
    """The logarithm of how short the history is: 0 for 60 days."""
    day: float
    """The error of a day ahead, root mean square, of the square root."""
    week: float
    """Likewise of seven."""
    lasting: float
    """How much greater the week's error is than days' errors that had nothing to do with one
    another would make it."""
    wander: float
    """How much more a day resembles the last one than the last four weeks."""
    empty: float
    """The share of days without anything."""
    rough: float
    """A day's error beside the level."""
    heavy: float
    """How much further the greatest of the days' errors reach than usual."""
    risen: float
    """The level beside the mean of the history."""
    moved: float
    """How far the later half of the history is from the earlier one."""
    apart: float
    """How little the estimators of the level agree, beside a day's error: where those that remember
    little and those that remember much say the same, the level is well known."""


class Spread(NamedTuple):
    """Of a total around the expected one: half of a Student's t on each side, of its own width."""

    above: float
    below: float
    freedom: float
    """Degrees of freedom of Student's t."""
    under: float
    """The chance that the total comes under the expected, within 0 and 1."""

    def quantile(self, probability: float) -> float:
        """How far it is from the expected; less than 0 if under it."""
        if probability < self.under:
            return self.below * student_t(probability / self.under / 2, self.freedom)
        beyond = (1 - probability) / (1 - self.under)
        return self.above * student_t(1 - beyond / 2, self.freedom)

    def exceeds(self, distance: float) -> float:
        """The chance of a total that is further up than so far from the expected."""
        if not self.above or not self.below:
            return float(distance < 0)
        if distance < 0:
            return 1 - 2 * self.under * student_t_share(distance / self.below, self.freedom)
        return 2 * (1 - self.under) * student_t_share(-distance / self.above, self.freedom)


class Fit(NamedTuple):
    """What counts how much, by the signs that are multiplied; "" is the constant."""

    size: Mapping[str, float]
    """Of the spread's logarithm, beyond that of the error."""
    lean: Mapping[str, float]
    """Of how much greater, in logarithms, it is above, and how much less below."""
    freedom: Mapping[str, float]
    """Of the logarithm of the degrees of freedom beyond `LEAST_FREEDOM`."""
    under: Mapping[str, float]
    """Of the logarithm of how much likelier it is to come under the expected than over it."""


LEAST_FREEDOM = 1.5
FREEDOM_BOUNDS = (-3.0, 5.3)
"""Of that logarithm: with more, it is as good as normal."""
UNDER_BOUNDS = (-0.4, 0.85)
"""Of that one: chances of 40 % and 70 %, where nearly all are that it was fitted on."""
BOUNDS = {
    "lasting": (-2.5, 1.2),
    "wander": (-0.6, 2.0),
    "rough": (-6.0, 1.0),
    "heavy": (-0.23, 1.0),
    "risen": (-1.2, 1.2),
    "moved": (0.0, 2.5),
    "apart": (-4.0, 5.0),
}
"""Where nearly all are of those series that it was fitted on: what lies beyond counts as far."""

FITTED = Fit(
    size={
        "": -0.154,
        "u": 0.302,
        "v": -0.487,
        "v v": 1.154,
        "n": 0.126,
        "n n": 0.031,
        "n u": 0.045,
        "n n u": 0.058,
        "n v": 0.066,
        "n n v": 0.016,
        "lasting": -0.011,
        "lasting u": 0.047,
        "lasting v": 0.284,
        "lasting u n": 0.0,
        "lasting v n": -0.233,
        "wander": -0.447,
        "wander v": 0.342,
        "wander n": 0.113,
        "wander v n": 0.097,
        "empty": 0.458,
        "empty u": 0.088,
        "empty v": -0.49,
        "empty n": -0.142,
        "rough": -0.076,
        "rough u": -0.029,
        "rough v": -0.266,
        "heavy": 0.043,
        "heavy u": 0.689,
        "risen": -0.086,
        "moved": -0.021,
        "moved u": 0.144,
        "moved v": -0.051,
        "apart": 0.17,
        "apart u": 0.134,
        "apart v": -0.041,
        "apart n": 0.053,
        "apart v n": 0.146,
    },
    lean={
        "": -0.019,
        "u": 0.015,
        "v": 0.161,
        "n": 0.027,
        "empty": -0.031,
    },
    freedom={
        "": 0.839,
        "u": -0.032,
        "v": -0.043,
        "n": -0.311,
        "n n": -0.233,
        "empty": 0.422,
        "wander": -0.886,
        "heavy": -0.398,
        "rough": -0.144,
    },
    under={
        "empty": 1.006,
        "empty u": -0.729,
        "empty v": -0.412,
        "empty n": -0.169,
        "risen u": 0.792,
    },
)


def bounded(signs: Signs) -> Signs:
    kept = {name: _within(getattr(signs, name), bounds) for name, bounds in BOUNDS.items()}
    return signs._replace(**kept)


def spread_of(signs: Signs, by: Fit = FITTED) -> Spread:
    """On square roots; none where no error was ever made."""
    known = signs._asdict()
    if not signs.day and not signs.week:
        return Spread(0.0, 0.0, 1.0, 0.5)
    size = math.log(signs.day or signs.week) + _sum(by.size, known)
    lean = _sum(by.lean, known)
    freedom = LEAST_FREEDOM + math.exp(_within(_sum(by.freedom, known), FREEDOM_BOUNDS))
    under = 1 / (1 + math.exp(-_within(_sum(by.under, known), UNDER_BOUNDS)))
    return Spread(math.exp(size + lean), math.exp(size - lean), freedom, under)


def _within(value: float, bounds: tuple[float, float]) -> float:
    least, most = bounds
    return min(max(value, least), most)


@functools.cache
def factors(product: str) -> tuple[str, ...]:
    """The names of the signs that are multiplied."""
    return tuple(product.split())


def _sum(counts: Mapping[str, float], known: Mapping[str, float]) -> float:
    return sum(
        count * math.prod(known[name] for name in factors(product))
        for product, count in counts.items()
    )
