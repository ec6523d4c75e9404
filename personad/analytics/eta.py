"""When a batch will be done.

The work that remains is dealt to the slots that work in parallel. How long a persona takes follows
the durations seen so far, newer ones counting for more, and those still in flight counting as
"longer than this" (Kaplan and Meier's estimate: what has ended so far is by itself too short a
sample). Durations of earlier batches of the model stand in while this batch is young. A drift that
the durations show beyond chance goes on for as long again as it was seen, shrunk by how sure it is.

The finish is then drawn a number of times: for each persona in flight a duration above its age, for
the rest their sum, and for the last round the slowest of those in it, since, no work being lost, a
batch ends at `work ÷ slots + (greatest − mean)` of what is left when the queue runs empty. Low and
high are quantiles of what was drawn. How often they hold the actual finish is measured in `bench`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import exp, sqrt
from random import Random
from typing import NamedTuple

from personad.contract.batch import Eta

OWN = 100
"""So many of a batch's newest durations are looked at."""
POOLED = 20
"""With fewer of its own, earlier batches of the same model fill them up to so many."""

_HALF_LIFE = 30.0
"""Durations after which an older one counts half."""
_WEIGHTS = [0.5 ** (place / _HALF_LIFE) for place in range(OWN)]
"""Of the newest duration, of the one before it, and so on."""
_DRAWS = 40
_DRAWS_LEAST, _DRAWN_VALUES = 16, 480
"""With many in flight fewer draws are made, so that the time taken is bounded."""
_OUTSIDE = 0.04
"""The share of the draws that low and high leave out, each."""
_PRIOR_N, _PRIOR_SPREAD = 3.0, 0.6
"""Before anything is known, durations spread by so much of their mean: worth so many seen."""
_UNFORESEEN, _AHEAD_MOST = 0.19, 2.0
"""What is in no model: as much work again as was done may differ by this share of it, and more work
by more, up to so many times."""
_TREND_FROM = 8
"""With fewer durations nothing is said of a drift."""
_ANY_MOMENT = 0.5
"""The last ones may end sooner than the durations say: whoever looks at equal intervals meets those
close to their end just as often as those that are far from it."""
_BEYOND = 0.5
"""By up to so much of itself the longest of all exceeds the longest seen, where they spread."""
_LONGER = 1.5
"""One that has taken longer than any before is taken to need up to so many times its age in all."""


class _Durations(NamedTuple):
    """A weighted sample, ascending."""

    values: list[float]
    below: list[float]
    """The share of durations up to each of them."""
    mean: float
    spread: float
    effective: float
    """How many equally weighted ones would tell as much."""

    def share_below(self, age: float) -> float:
        """The share of durations that are no longer than `age`."""
        first = bisect_right(self.values, age)
        return self.below[first - 1] if first else 0.0

    def left_over(self) -> list[float]:
        """Of what is left of a persona at any moment: the share up to each value."""
        steps = zip((0.0, *self.values), self.values, (0.0, *self.below), strict=False)
        areas = [*accumulate([(value - before) * (1 - share) for before, value, share in steps])]
        whole = areas[-1]
        return [area / whole for area in areas] if whole else [1.0] * len(areas)


class _Level(NamedTuple):
    """What the rest will take on the average, as a multiple of the mean, and its standard error."""

    times: float
    doubt: float


def eta(
    done_ms: Sequence[int],
    earlier_ms: Sequence[int],
    ages_ms: Sequence[int],
    *,
    pending: int,
    slots: float,
    rng: Random,
    held_ms: int = 0,
) -> Eta | None:
    """How long the rest will take, from now, or None where nothing is known yet.

    Args:
        done_ms: durations of this batch's completed personas, in the order in which they began.
        earlier_ms: of earlier batches of the same provider and model, newest first.
        ages_ms: how long each persona in flight has been running; one that waits for its next
            attempt has a negative age.
        pending: personas that have not begun.
        slots: how many run at once, on the average.
        held_ms: for how long no call begins: those that wait have ages that say so, too.
    """
    own = done_ms[-OWN:]
    earlier = earlier_ms[: max(0, POOLED - len(own))]
    if not own and not earlier:
        return None
    seen = _estimated(own, earlier, ages_ms)
    level = _level(own, seen, len(ages_ms) + pending)
    if pending:
        then = [age if age >= 0 else min(0, age + held_ms) for age in ages_ms]
        finishes = [held_ms + each for each in _finishes(seen, level, then, pending, slots, rng)]
    else:
        finishes = [slowest for _, _, slowest in _in_flight(seen, level, ages_ms, rng)]
    finishes.sort()
    last = len(finishes) - 1
    low = finishes[round(_OUTSIDE * last)]
    return Eta(
        low=_whole(low if pending else max(low * _ANY_MOMENT, -min(ages_ms, default=0))),
        expected=_whole(finishes[last // 2]),
        high=_whole(finishes[last - round(_OUTSIDE * last)]),
    )


def busy_slots(
    done_ms: Sequence[int], ages_ms: Sequence[int], *, ended: int, slots: int, active_ms: int
) -> float:
    """How many slots work on the average: retries, rate limits and failures leave some without.

    Args:
        done_ms: durations of completed personas.
        ages_ms: as for `eta`.
        ended: how many personas completed or failed.
        slots: how many may run at once.
        active_ms: how long the batch has been running, pauses left out.
    """
    if not done_ms:
        return float(slots)
    mean = sum(done_ms) / len(done_ms)
    worked = ended * mean + sum(age for age in ages_ms if age > 0)
    # A round is granted for the start, in which nobody can have worked yet.
    possible = active_ms * slots + slots * mean
    return slots * min(1.0, (worked + slots * mean) / possible) if possible else float(slots)


def _whole(duration_ms: float) -> int:
    """Rounded, and no larger than the wire can carry."""
    return round(min(max(duration_ms, 0.0), 2**63 - 1))


def _estimated(own: Sequence[int], earlier: Sequence[int], ages: Sequence[int]) -> _Durations:
    """Kaplan and Meier's estimate, weighted by how recent each is."""
    weights = _WEIGHTS[: len(own)]
    known = [*zip(map(float, reversed(own)), weights, strict=True)]
    oldest = weights[-1] if weights else 1.0
    known += [(float(value), oldest) for value in earlier]
    known.sort()
    running = sorted(float(age) for age in ages if age > 0)
    weighed = sum([weight for _, weight in known])
    at_risk, left, place = weighed + len(running), 1.0, 0
    values: list[float] = []
    below: list[float] = []
    for value, weight in known:
        while place < len(running) and running[place] < value:
            at_risk -= 1
            place += 1
        left = left - left * (weight / at_risk) if at_risk > weight else 0.0
        at_risk -= weight
        values.append(value)
        below.append(1 - left)
    if place < len(running):
        # The longest are still running, and nobody knows yet how long they take.
        values.append(running[-1] * _LONGER)
        below.append(1.0)
    below[-1] = 1.0
    shares = [share - before for before, share in zip((0.0, *below), below, strict=False)]
    mean = sum([share * value for share, value in zip(shares, values, strict=True)])
    off = [value - mean for value in values]
    variance = sum([share * each * each for share, each in zip(shares, off, strict=True)])
    effective = weighed * weighed / sum([weight * weight for _, weight in known])
    variance += _PRIOR_N / (_PRIOR_N + effective) * (_PRIOR_SPREAD * mean) ** 2
    return _Durations(values, below, mean, sqrt(variance), effective)


def _level(own: Sequence[int], seen: _Durations, ahead: int) -> _Level:
    """Whether durations drift, and how far the mean may be from that of the rest."""
    n = len(own)
    if not seen.mean:
        return _Level(1.0, 0.0)
    error = seen.spread / seen.mean / sqrt(seen.effective)
    unforeseen = _UNFORESEEN * min(_AHEAD_MOST, sqrt(ahead / max(1, n)))
    if n < _TREND_FROM:
        return _Level(1.0, sqrt(error**2 + unforeseen**2))
    middle, mean = (n - 1) / 2, sum(own) / n
    width = n * (n * n - 1) / 12
    slope = sum([(place - middle) * value for place, value in enumerate(own)]) / width
    squares = sum([float(value - mean) ** 2 for value in own]) - slope * slope * width
    slope_error = sqrt(max(0.0, squares) / (n - 2) / width)
    sure = max(0.0, 1 - (slope_error / slope) ** 2) if slope else 0.0
    # The weights have moved the mean towards the newest already.
    distance = min(n / 2, _HALF_LIFE * 1.44) + min(ahead, n) / 2
    times = sure * distance / seen.mean
    doubt = sqrt(error**2 + (times * slope_error) ** 2 + unforeseen**2)
    return _Level(max(0.25, 1 + times * slope), doubt)


def _in_flight(
    seen: _Durations, level: _Level, ages: Sequence[int], rng: Random
) -> list[tuple[float, float, float]]:
    """A number of draws: the level, what is left of all in flight, and of the slowest of them."""
    values, below, random = seen.values, seen.below, rng.random
    blur = min(1.0, seen.spread / seen.mean * seen.effective**-0.2) if seen.mean else 0.0
    shares = [seen.share_below(age) for age in ages]
    flying = [(age, share, 1 - share) for age, share in zip(ages, shares, strict=True)]
    sure = min(1.0, level.doubt / level.times)
    drawn = []
    for _ in range(max(_DRAWS_LEAST, min(_DRAWS, _DRAWN_VALUES // max(1, len(ages))))):
        times = level.times * exp(sure * rng.gauss(0.0, 1.0))
        work = slowest = 0.0
        # What is the same for all of a draw is worked out once: this is most of an estimate's time.
        blurred, least = times * blur, times * (1 - blur / 2)
        for age, share, rest in flying:
            if rest > 0:
                value = values[bisect_left(below, share + random() * rest)]
                duration = value * (least + blurred * random())
                if duration <= age:
                    duration = age + abs(value - age) * random()
            else:
                duration = age * (1 + random() * (_LONGER - 1))
            left = duration - age
            work += left
            if left > slowest:  # `max` takes twice as long
                slowest = left
        drawn.append((times, work, slowest))
    return drawn


def _finishes(
    seen: _Durations,
    level: _Level,
    ages: Sequence[int],
    pending: int,
    slots: float,
    rng: Random,
) -> list[float]:
    """When all is done, from now, in a number of draws."""
    parallel = max(1.0, min(slots, pending + len(ages)))
    left_over, longest = seen.left_over(), len(seen.values) - 1
    mean_left = (seen.spread**2 + seen.mean**2) / (2 * seen.mean) if seen.mean else 0.0
    noise = seen.spread * sqrt(pending)
    beyond = min(_BEYOND, seen.spread / seen.mean) if seen.mean else 0.0
    finishes = []
    for times, work, slowest in _in_flight(seen, level, ages, rng):
        rest = max(0.0, pending * seen.mean * times + noise * rng.gauss(0.0, 1.0))
        # The greatest of so many is at this share of them all.
        place = min(longest, bisect_left(left_over, rng.random() ** (1 / parallel)))
        last = seen.values[place] * (1 + beyond * rng.random() if place == longest else 1.0)
        tail = max(0.0, last - mean_left) * times
        finishes.append(max(slowest, (work + rest) / parallel + tail))
    return finishes
