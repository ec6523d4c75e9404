"""What the coming days will cost, from the daily totals so far.

A weekday profile, shrunk to flat where there are few weeks, times a level. The level is a weighted
mean of several estimators (means over 7 to 56 days, weekly exponential smoothing, half of the
present slope, two with a short memory); the weights come from how well each would have told the
total of as many days at earlier origins (rolling-origin evaluation, Tashman 2000). The errors of
the weighted mean at those origins, on square roots so that no total is negative, give Student-t
intervals with as many degrees of freedom as origins that don't overlap.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LEAST_DAYS = 14
"""With fewer, nothing is known of how far a forecast errs."""
MOST_DAYS = 400
WEEK = 7
_PROFILE_WEEKS, _PROFILE_HALF_WEEKS, _SHRINKAGE = 10, 6.0, 3.0
_WINDOWS = (7, 14, 28, 56)
_SMOOTHINGS = (0.2, 0.5)
_SHORT_MEMORIES_DAYS = (0.7, 2.0)
_ORIGINS, _ORIGINS_LOOKED_AT = 120, 60
_FADING, _EQUAL_SHARE = 0.98, 0.3
_FLOOR = 0.05

_Floats = npt.NDArray[np.float64]


class Total(NamedTuple):
    """What some coming days will cost together, on the square root of it."""

    expected: float
    spread: float | None
    """Of the square root; None where nothing is known of errors."""
    freedom: float

    def quantile(self, probability: float) -> float | None:
        """The total that isn't exceeded with that probability; never negative."""
        if self.spread is None:
            return None
        root = math.sqrt(self.expected) + student_t(probability, self.freedom) * self.spread
        return max(0.0, root) ** 2

    def exceeds(self, limit: float) -> float | None:
        """The probability of a total above `limit`."""
        if limit < 0:
            return 1.0
        if self.spread is None:
            return None
        distance = math.sqrt(limit) - math.sqrt(self.expected)
        if self.spread == 0:
            return float(distance < 0)
        return 1 - student_t_share(distance / self.spread, self.freedom)


def total(daily: npt.ArrayLike, days: int, ahead: int = 0) -> Total:
    """`days` coming days together, after `ahead` that are left out.

    Args:
        daily: totals of the days so far, days without any included, the oldest first, at least one.

    Raises:
        ValueError: a negative total, or one that is no number; no day, or none to come.
    """
    y = _checked(daily, days)
    levels = _told(y, days, ahead)
    if len(y) < LEAST_DAYS:
        return Total(float(levels.mean()), None, 1.0)
    span = min(days, max(WEEK, (len(y) // 4) // WEEK * WEEK or WEEK))
    least = max(WEEK, min(LEAST_DAYS, len(y) // 2))
    origins = np.arange(len(y) - span, least - 1, -1)[:_ORIGINS]
    origins = origins[:: max(1, len(origins) // _ORIGINS_LOOKED_AT)]
    if len(origins) < 3:
        return Total(float(levels.mean()), float(np.sqrt(y).std() * math.sqrt(days)), 1.5)
    then = np.array([_told(y[:origin], span) for origin in origins])
    came = np.array([y[origin : origin + span].sum() for origin in origins])
    fading = _FADING ** np.arange(len(origins))
    fading /= fading.sum()
    errors = (np.abs(np.sqrt(then) - np.sqrt(came)[:, None]) * fading[:, None]).sum(axis=0)
    trust = (errors + 0.1 * float(np.median(errors)) + 1e-12) ** -2.0
    weights = (1 - _EQUAL_SHARE) * trust / trust.sum() + _EQUAL_SHARE / len(trust)
    missed = np.sqrt(came) - np.sqrt(then @ weights)
    spread = math.sqrt(float((fading * missed**2).sum()) * days / span)
    freedom = max(1.5, (len(y) - least) / span)
    return Total(max(0.0, float(levels @ weights)), spread, freedom)


def shares(daily: npt.ArrayLike, days: int, ahead: int = 0) -> list[float]:
    """How such a total spreads over its days, by the weekday profile; sums to 1."""
    profile = np.resize(_profile(_checked(daily, days)), ahead + days)[ahead:]
    found: list[float] = (profile / profile.sum()).tolist()
    return found


def _checked(daily: npt.ArrayLike, days: int) -> _Floats:
    y = np.asarray(daily, dtype=np.float64)[-MOST_DAYS:]
    if not len(y) or days < 1 or not np.isfinite(y).all() or (y < 0).any():
        raise ValueError("a forecast needs days with totals of 0 or more, and a day to come")
    return y


def _told(y: _Floats, days: int, ahead: int = 0) -> _Floats:
    """Each estimator's total of the coming days."""
    profile = _profile(y)
    told: _Floats = _levels(y, profile) * float(np.resize(profile, ahead + days)[ahead:].sum())
    return told


def _profile(y: _Floats) -> _Floats:
    """Of the seven days that follow, the first one first; its mean is 1."""
    weeks = min(len(y) // WEEK, _PROFILE_WEEKS)
    if weeks < 2:
        return np.ones(WEEK)
    table = y[len(y) - weeks * WEEK :].reshape(weeks, WEEK)
    weights = 0.5 ** ((weeks - 1 - np.arange(weeks)) / _PROFILE_HALF_WEEKS)
    means = (weights[:, None] * table).sum(axis=0) / weights.sum()
    level = means.mean()
    if level <= 0:
        return np.ones(WEEK)
    shrunk = (weeks * means / level + _SHRINKAGE) / (weeks + _SHRINKAGE)
    profile: _Floats = shrunk / shrunk.mean()
    return profile


def _levels(y: _Floats, profile: _Floats) -> _Floats:
    """A day's level by each estimator."""
    found = [float(y[-window:].mean()) for window in _WINDOWS]
    weeks = len(y) // WEEK
    if weeks >= 3:
        means = y[len(y) - weeks * WEEK :].reshape(weeks, WEEK).mean(axis=1)
        found += [_smoothed(means, smoothing) for smoothing in _SMOOTHINGS]
        found.append(_half_slope(means))
    else:
        found += [float(y.mean())] * 3
    return np.array([*found, *_short(y, profile)])


def _smoothed(means: _Floats, smoothing: float) -> float:
    level = float(means[:3].mean())
    for mean in means:
        level += smoothing * (float(mean) - level)
    return level


def _half_slope(means: _Floats) -> float:
    looked_at = min(len(means), 8)
    place = np.arange(looked_at) - (looked_at - 1) / 2
    slope = float((place * means[-looked_at:]).sum() / (place**2).sum()) if looked_at >= 4 else 0.0
    level = 0.5 * float(means[-2:].mean()) + 0.5 * float(means[-4:].mean())
    return max(0.0, level + 0.5 * slope)


def _short(y: _Floats, profile: _Floats) -> list[float]:
    """Levels that follow the last days, freed of their weekdays."""
    looked_at = min(len(y), 28)
    ages = np.arange(-looked_at, 0)
    of_day = profile[ages % WEEK]
    kept = of_day > _FLOOR
    freed, age = y[-looked_at:][kept] / of_day[kept], -ages[kept]
    if not len(freed):
        return [float(y.mean())] * len(_SHORT_MEMORIES_DAYS)
    weights = [0.5 ** (age / memory) for memory in _SHORT_MEMORIES_DAYS]
    return [float((each * freed).sum() / each.sum()) for each in weights]


def student_t_share(value: float, freedom: float) -> float:
    """The share of Student's t below a value (Abramowitz and Stegun 26.7.1, 26.5.8)."""
    tail = _beta_share(freedom / 2, 0.5, freedom / (freedom + value * value)) / 2
    return 1 - tail if value > 0 else tail


@functools.lru_cache(maxsize=256)
def student_t(probability: float, freedom: float) -> float:
    """The quantile that `student_t_share` takes back."""
    if probability < 0.5:
        return -student_t(1 - probability, freedom)
    low, high = 0.0, 1.0
    while student_t_share(high, freedom) < probability:
        low, high = high, high * 2
    for _ in range(50):
        middle = (low + high) / 2
        if student_t_share(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function."""
    if not 0 < x < 1:
        return float(x >= 1)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Its continued fraction, from the front (Lentz's way)."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, 200):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d, c = 1 / (1 + step * d), 1 + step / c
            found *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return found
