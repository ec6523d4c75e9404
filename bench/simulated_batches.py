"""Batches that are only durations: what their estimates said, beside when they really ended."""

import heapq
import math
from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct

from personad.analytics.eta import eta

LEAST_MS = 50

Shape = Callable[[Random, float], float]
"""A duration in ms, of a persona at this share of the batch."""


def lognormal(rng: Random, share: float) -> float:
    return 8_000 * math.exp(rng.gauss(0.0, 0.6))


def bimodal(rng: Random, share: float) -> float:
    """Three in ten take five times as long."""
    return rng.gauss(20_000, 3_000) if rng.random() < 0.3 else rng.gauss(4_000, 600)


def drifting(rng: Random, share: float) -> float:
    """Twice as long at the end as at the beginning."""
    return 8_000 * (1 + share) * math.exp(rng.gauss(0.0, 0.4))


SHAPES: dict[str, Shape] = {"lognormal": lognormal, "bimodal": bimodal, "drifting": drifting}


class Told(Struct, frozen=True):
    """One update, and what was true then, in ms."""

    low: int
    expected: int
    high: int
    left: float

    @property
    def is_right(self) -> bool:
        return self.low <= self.left <= self.high


def simulate(
    shape: Shape,
    *,
    slots: int,
    personas: int,
    seed: int,
    updates: int = 40,
    earlier: Sequence[int] = (),
) -> list[Told]:
    """What was told at equal intervals after the first tenth of the batch's time."""
    rng = Random(seed)
    durations = [max(LEAST_MS, round(shape(rng, place / personas))) for place in range(personas)]
    free, begun = [0] * slots, []
    for duration in durations:
        at = heapq.heappop(free)
        begun.append(at)
        heapq.heappush(free, at + duration)
    end = max(free)
    told = []
    for number in range(updates):
        now = end * (0.1 + 0.9 * (number + 0.5) / updates)
        both = list(zip(begun, durations, strict=True))
        found = eta(
            [duration for at, duration in both if at + duration <= now],
            earlier,
            [round(now - at) for at, duration in both if at <= now < at + duration],
            pending=sum(at > now for at in begun),
            slots=slots,
            rng=Random(0),
        )
        if found is not None:
            told.append(Told(found.low, found.expected, found.high, end - now))
    return told


def coverage(told: Sequence[Told]) -> float:
    """The share of updates whose range held the actual finish."""
    return sum(each.is_right for each in told) / len(told)
