"""What the coming days will cost, from the daily totals so far.

A weekday profile, shrunk to flat where there are few weeks, times a level. The level is a weighted
mean of estimators that differ in how soon they forget: means over 7 to 112 days, exponential
memories with half-lives of 0.7 to 50 days, medians, and one that follows half of a trend. The
weights come from how well each would have told the next day and the next seven at earlier origins
(rolling-origin evaluation, Tashman 2000), the sharper the longer the history.

The interval is Student's t on the square root of the total, so that no total is negative, with a
spread and a chance of its own above and below. These, and how heavy its tails are, come from the
errors of the weighted mean at those origins and from signs of what longer horizons do
(`personad/analytics/spread.py`).
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from personad.analytics.spread import Signs, Spread, bounded, spread_of

LEAST_DAYS = 14
"""With fewer, nothing is known of how far a forecast errs."""
MOST_DAYS = 400
WEEK = 7

_LAGS = 182
_PROFILE_WEEKS, _PROFILE_HALF_WEEKS, _SHRINKAGE = 20, 10.0, 1.0
_WINDOWS = (7, 14, 28, 56, 112)
_HALF_LIVES = (0.7, 1.5, 3.0, 6.0, 12.0, 25.0, 50.0)
_MEDIANS = (14, 28)
_MONTH_MEAN, _SHORTEST = 2, len(_WINDOWS)
"""Places of two estimators among the levels: the mean of 28 days, and the shortest memory."""
_ORIGINS = 120
_FADING = 0.985
_SHARPNESS, _TOLERANCE = 3.0, 0.05
_FLOOR = 0.05
"""Of the profile: a weekday with less says nothing of the level."""
_MOST_OVER_OTHERS = 5.0
"""A day is taken for at most so many times the greatest other one: it is a mishap, no level."""
_WEEKDAY_PRIOR = 3.0
"""So many errors of any weekday count beside those of its own."""

_AGES = np.arange(_LAGS)
_KERNELS = np.array(
    [
        *((window > _AGES) * 1.0 for window in _WINDOWS),
        *(0.5 ** (_AGES / half_life) for half_life in _HALF_LIVES),
    ]
).T

_Floats = npt.NDArray[np.float64]


class Total(NamedTuple):
    """What some coming days will cost together, on the square root of it."""

    expected: float
    """Its spread tells how likely the total is to come under it."""
    spread: Spread | None
    """Of the square root; None where nothing is known of errors."""

    def quantile(self, probability: float) -> float | None:
        """The total that isn't exceeded with that probability; never negative."""
        if self.spread is None:
            return None
        root = math.sqrt(self.expected) + self.spread.quantile(probability)
        return max(0.0, root) ** 2

    def exceeds(self, limit: float) -> float | None:
        """The probability of a total above `limit`."""
        if limit < 0:
            return 1.0
        if self.spread is None:
            return None
        return self.spread.exceeds(math.sqrt(limit) - math.sqrt(self.expected))


class Past:
    """Daily totals, looked through once; forecasts of any days are then cheap."""

    def __init__(self, daily: npt.ArrayLike) -> None:
        """
        Args:
            daily: totals of days, those without any included, the oldest first, at least one.

        Raises:
            ValueError: no day, a negative total, or one that is no number.
        """
        y = np.asarray(daily, dtype=np.float64)[-MOST_DAYS:]
        if not len(y) or not np.isfinite(y).all() or (y < 0).any():
            raise ValueError("a forecast needs days with totals of 0 or more")
        self.days = len(y)
        y = _capped(y)
        origins = np.arange(len(y), max(WEEK, len(y) - _ORIGINS - WEEK) - 1, -1)
        if len(y) < LEAST_DAYS:
            origins = origins[:1] if len(origins) else np.array([len(y)])
        levels, profiles = _looked_back(y, origins)
        self.profile: _Floats = profiles[0]
        if len(y) < LEAST_DAYS:
            self._level = float(levels[0].mean())
            return
        day, came_day = _told(y, origins, levels, profiles, 1)
        week, came_week = _told(y, origins, levels, profiles, WEEK)
        daily_errors, weekly_errors = _rms(day, came_day), _rms(week, came_week)
        apart = np.sqrt(_relative(daily_errors) * _relative(weekly_errors))
        weights = (apart + _TOLERANCE) ** (-_SHARPNESS * math.log2(self.days / 5))
        weights /= weights.sum()
        self._level = float(levels[0] @ weights)
        self._day_errors = np.sqrt(day @ weights) - np.sqrt(came_day)
        self._day = _mean_square(self._day_errors)
        self._week = _mean_square(np.sqrt(week @ weights) - np.sqrt(came_week))
        month, shortest = daily_errors[_MONTH_MEAN], daily_errors[_SHORTEST]
        recent = y[-_LAGS:]
        earlier, later = recent[: len(recent) // 2], recent[len(recent) // 2 :]
        self._of_history = {
            "wander": _log_ratio(month, shortest),
            "empty": float((y == 0).mean()),
            "rough": _log_ratio(math.sqrt(self._day), math.sqrt(self._level)),
            "heavy": _heaviness(self._day_errors),
            "risen": _log_ratio(self._level, float(recent.mean())),
            "moved": abs(_log_ratio(float(later.mean()), float(earlier.mean()))),
            "apart": _log_ratio(float(np.sqrt(levels[0]).std()), math.sqrt(self._day)),
        }

    def total(self, days: int, ahead: int = 0) -> Total:
        """`days` coming days together, after `ahead` that are left out.

        Raises:
            ValueError: no day.
        """
        expected = self._level * float(self._shape(days, ahead).sum())
        signs = self.signs(days, ahead)
        if signs is None:
            return Total(expected, None)
        return Total(expected, spread_of(signs))

    def shares(self, days: int, ahead: int = 0) -> list[float]:
        """How such a total spreads over its days, by the weekday profile; sums to 1."""
        shape = self._shape(days, ahead)
        found: list[float] = (shape / shape.sum()).tolist()
        return found

    def signs(self, days: int, ahead: int) -> Signs | None:
        """None where nothing is known of errors."""
        if self.days < LEAST_DAYS:
            return None
        day = math.sqrt(self._day if days > 1 else self._of_weekday(ahead))
        week = math.sqrt(self._week)
        return bounded(
            Signs(
                u=min(1.0, math.log(days) / math.log(WEEK)),
                v=math.log(days + ahead) / math.log(30),
                n=math.log(60 / min(self.days, _LAGS)),
                day=day,
                week=week,
                lasting=_log_ratio(week, day * math.sqrt(WEEK)),
                **self._of_history,
            )
        )

    def _shape(self, days: int, ahead: int) -> _Floats:
        if days < 1 or ahead < 0:
            raise ValueError("a forecast needs a day to come")
        return np.resize(self.profile, ahead + days)[ahead:]

    def _of_weekday(self, ahead: int) -> float:
        """The mean square of a day's errors on its own weekday, shrunk to that on any."""
        # The first error is of the newest day, which is of the weekday that comes in six days.
        own = self._day_errors[(WEEK - 1 - ahead) % WEEK :: WEEK]
        told = len(own) + _WEEKDAY_PRIOR
        return float((_WEEKDAY_PRIOR * self._day + (own**2).sum()) / told)


def total(daily: npt.ArrayLike, days: int, ahead: int = 0) -> Total:
    """One forecast alone. Raises ValueError, as `Past` does."""
    return Past(daily).total(days, ahead)


def _capped(y: _Floats) -> _Floats:
    if len(y) < 2:
        return y
    second = float(np.partition(y, -2)[-2])
    return np.minimum(y, _MOST_OVER_OTHERS * second) if second > 0 else y


def _looked_back(y: _Floats, origins: npt.NDArray[np.int64]) -> tuple[_Floats, _Floats]:
    """Each estimator's level of a day, and the profile of the seven days that follow (the first
    one first; its mean is 1), as known at each origin: a row an origin."""
    places = origins[:, None] - 1 - _AGES
    known = places >= 0
    past = np.where(known, y[np.maximum(places, 0)], 0.0)
    profiles = _profiles(past, known)
    # The day of age 0 is of the weekday that comes last of the seven.
    shape = np.tile(profiles[:, ::-1], (1, _LAGS // WEEK)) * known
    levels = (past @ _KERNELS) / np.maximum(shape @ _KERNELS, 1e-12)
    freed = np.where(shape > _FLOOR, past / np.maximum(shape, _FLOOR), np.nan)
    medians = [_median(freed[:, :days], levels[:, 1]) for days in _MEDIANS]
    month, two = levels[:, _MONTH_MEAN], levels[:, _MONTH_MEAN + 1]
    trend = np.maximum(0.0, month + (month - two) / 2)
    return np.column_stack([levels, *medians, trend]), profiles


def _profiles(past: _Floats, known: npt.NDArray[np.bool_]) -> _Floats:
    lags = _PROFILE_WEEKS * WEEK
    weeks = past[:, :lags].reshape(-1, _PROFILE_WEEKS, WEEK)
    whole = known[:, :lags].reshape(-1, _PROFILE_WEEKS, WEEK).all(axis=2)
    weights = 0.5 ** (np.arange(_PROFILE_WEEKS) / _PROFILE_HALF_WEEKS) * whole
    sums = np.maximum(weights.sum(axis=1), 1e-12)[:, None]
    means = (weights[:, :, None] * weeks).sum(axis=1)[:, ::-1] / sums
    level, count = means.mean(axis=1)[:, None], whole.sum(axis=1)[:, None]
    shrunk = (count * means / np.where(level > 0, level, 1.0) + _SHRINKAGE) / (count + _SHRINKAGE)
    profiles: _Floats = np.where((count >= 2) & (level > 0), shrunk, 1.0)
    profiles /= profiles.mean(axis=1)[:, None]
    return profiles


def _median(freed: _Floats, otherwise: _Floats) -> _Floats:
    """Of each row, leaving out what is no number."""
    ordered = np.sort(freed, axis=1)
    count = (~np.isnan(ordered)).sum(axis=1)
    rows = np.arange(len(ordered))
    low, high = (
        ordered[rows, np.maximum(count - 1, 0) // 2],
        ordered[rows, count // 2 * (count > 1)],
    )
    found: _Floats = np.where(count > 0, (low + high) / 2, otherwise)
    return found


def _told(
    y: _Floats, origins: npt.NDArray[np.int64], levels: _Floats, profiles: _Floats, days: int
) -> tuple[_Floats, _Floats]:
    """Each estimator's total of the days after each origin where they have come, and what came."""
    over = origins + days <= len(y)
    sums = np.concatenate([[0.0], y.cumsum()])
    came = sums[origins[over] + days] - sums[origins[over]]
    told = levels[over] * profiles[over, :days].sum(axis=1)[:, None]
    return told[:_ORIGINS], np.maximum(came, 0.0)[:_ORIGINS]


def _rms(told: _Floats, came: _Floats) -> _Floats:
    """Each estimator's error on square roots, the newest heaviest."""
    weights = _FADING ** np.arange(len(came))
    squares = (np.sqrt(told) - np.sqrt(came)[:, None]) ** 2
    found: _Floats = np.sqrt(weights @ squares / weights.sum())
    return found


def _mean_square(errors: _Floats) -> float:
    weights = _FADING ** np.arange(len(errors))
    return float(weights @ errors**2 / weights.sum())


def _relative(errors: _Floats) -> _Floats:
    usual = float(np.median(errors))
    if usual == 0:
        return np.where(errors > 0, 100.0, 1e-6)
    return errors / usual + 1e-6


def _heaviness(errors: _Floats) -> float:
    """How much further the greatest errors reach than those of a normal distribution would."""
    usual = float(np.abs(errors).mean())
    return _log_ratio(math.sqrt(float((errors**2).mean())), usual * math.sqrt(math.pi / 2))


def _log_ratio(one: float, other: float) -> float:
    """0, which says nothing, where either is none."""
    return math.log(one / other) if one > 0 and other > 0 else 0.0
