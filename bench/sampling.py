"""Statistics of samples: plain functions, with chance as an argument."""

import random
from collections.abc import Sequence
from statistics import median, quantiles

from .figure import Interval

RESAMPLES = 2_000
LEVEL = 0.95


def percentile(sample: Sequence[float], percent: float) -> float:
    """The value that `percent` of the sample do not exceed, the smallest such (nearest rank).

    Raises ValueError where the sample is empty or `percent` is not above 0 and at most 100.
    """
    if not sample:
        raise ValueError("a sample without values has no percentile")
    if not 0 < percent <= 100:
        raise ValueError(f"{percent} is not above 0 and at most 100")
    rank = -(-len(sample) * percent // 100)
    return sorted(sample)[int(rank) - 1]


def ratio_of_medians(sample: Sequence[float], peer: Sequence[float]) -> float:
    return median(sample) / median(peer)


def ratio_interval(
    sample: Sequence[float],
    peer: Sequence[float],
    rng: random.Random,
    *,
    resamples: int = RESAMPLES,
) -> Interval:
    """The 95 % percentile bootstrap interval of the ratio of medians (Efron 1979).

    The n-th values of both were measured one after the other, and are drawn together, so that what
    slowed the machine down for a while falls on both.
    Raises ValueError where the samples differ in length.
    """
    pairs = list(zip(sample, peer, strict=True))
    ratios = []
    for _ in range(resamples):
        drawn = rng.choices(pairs, k=len(pairs))
        ratios.append(median(mine for mine, _ in drawn) / median(theirs for _, theirs in drawn))
    return _middle(ratios)


def spread(sample: Sequence[float]) -> Interval:
    """From the least to the greatest."""
    return Interval(min(sample), max(sample))


def _middle(values: Sequence[float]) -> Interval:
    cuts = quantiles(values, n=round(2 / (1 - LEVEL)), method="inclusive")
    return Interval(cuts[0], cuts[-1])
