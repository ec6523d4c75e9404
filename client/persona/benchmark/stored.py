"""A run of today against one that was kept: several processes on each side.

Whole runs differ, so each process counts once: what is compared is one figure of each process, by
Welch's t test (1947) on logarithms. The figure that gates is the floor of the time on a core, its
10th percentile: what others do to the machine only ever adds to it.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from .verdicts import Change, Decision, Limits, Verdict, graded

LEAST_PROCESSES = 5
"""On each side, below which nothing is decided."""
FLOOR_PERCENTILE = 10
_ALPHA = 0.01
"""Of the one-sided test, and of the interval that a wait has to lie beyond its threshold with."""
_SHOWN = 0.95


def floor_of(samples: Sequence[float]) -> float:
    """The 10th percentile of one process's samples."""
    return float(np.percentile(samples, FLOOR_PERCENTILE))


def by_floor(old: Sequence[float], new: Sequence[float], limits: Limits) -> Decision:
    """The verdict on figures of which each process gives one: floors, peaks of memory.

    Args:
        old, new: one positive figure a process.
    """
    return _decided(old, new, limits, lambda worse: worse.low > 0, alpha=2 * _ALPHA)


def by_whole_interval(old: Sequence[float], new: Sequence[float], limits: Limits) -> Decision:
    """As `by_floor`, for what others on the machine disturb, such as the median of wall time.

    It warns only where the whole 99 % interval lies at or beyond the threshold, which is enough for
    a wait that was added, and no noise reaches it.
    """
    return _decided(old, new, limits, lambda worse: worse.low >= limits.warn_log, alpha=_ALPHA)


def by_count(old: Sequence[float], new: Sequence[float], limits: Limits) -> Decision:
    """The verdict on counts that nothing disturbs: any increase of the mean is one.

    Args:
        old, new: all samples; the mean is exact for integers.
    """
    was, now = math.fsum(old) / len(old), math.fsum(new) / len(new)
    if was == now:
        ratio = 0.0
    else:
        ratio = math.log(now / was) if was > 0 and now > 0 else math.copysign(math.inf, now - was)
    worse = ratio * limits.sign
    verdict: Verdict = "same" if worse == 0 else "better"
    if worse > 0:
        most = 1 + limits.fail_percent / 100
        crossed = now * most <= was if limits.higher_is_better else now >= was * most
        verdict = "failure" if crossed else "warning"
    return Decision(verdict=verdict, change=Change(estimate=ratio, low=ratio, high=ratio))


def by_points(old: Sequence[float], new: Sequence[float], limits: Limits) -> Decision:
    """The verdict on shares, in percentage points: a share of 0 has no ratio.

    Args:
        old, new: shares from 0 to 1; the limits' percents are points here.
    """
    points = (math.fsum(new) / len(new) - math.fsum(old) / len(old)) * 100
    worse = round(points * limits.sign, 9)
    verdict: Verdict = "same"
    if worse >= limits.warn_percent:
        verdict = "failure" if worse >= limits.fail_percent else "warning"
    elif worse <= -limits.warn_percent:
        verdict = "better"
    log = math.log1p(max(points, -99.9) / 100)
    return Decision(verdict=verdict, change=Change(estimate=log, low=log, high=log))


def student_t(probability: float, freedom: float) -> float:
    """The quantile of Student's t for at least 3 degrees of freedom, to 1 %.

    Source: the expansion of Abramowitz and Stegun, 26.7.5.
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def _decided(
    old: Sequence[float],
    new: Sequence[float],
    limits: Limits,
    slower: Callable[[Change], bool],
    *,
    alpha: float,
) -> Decision:
    """What Welch's interval at 1 - alpha says, with the 95 % interval that is shown."""
    if min(len(old), len(new)) < LEAST_PROCESSES:
        return Decision(
            verdict="not comparable",
            note=f"{min(len(old), len(new))} processes; it takes {LEAST_PROCESSES} on each side",
        )
    worse = welch(old, new, 1 - alpha).worse_by(limits)
    shown = welch(old, new, _SHOWN)
    if slower(worse) and worse.estimate >= limits.warn_log / 2:
        return Decision(verdict=graded(worse.estimate, limits), change=shown)
    if worse.high < 0 and worse.estimate <= -limits.warn_log / 2:
        return Decision(verdict="better", change=shown)
    if worse.high < limits.warn_log:
        return Decision(verdict="same", change=shown)
    return Decision(
        verdict="inconclusive",
        change=shown,
        note="the interval reaches beyond the threshold; run more processes",
    )


def welch(old: Sequence[float], new: Sequence[float], level: float) -> Change:
    """ln(new / old) of the geometric means, with Welch's interval.

    Raises:
        ValueError: a figure that is not positive.
    """
    if min(*old, *new) <= 0:
        raise ValueError("a figure has to be positive")
    a, b = np.log(np.asarray(old, dtype=float)), np.log(np.asarray(new, dtype=float))
    parts = [float(np.var(each, ddof=1)) / len(each) for each in (a, b)]
    spread = sum(parts)
    estimate = float(b.mean() - a.mean())
    if spread == 0:
        return Change(estimate=estimate, low=estimate, high=estimate)
    freedom = spread**2 / sum(
        part**2 / (len(each) - 1) for part, each in zip(parts, (a, b), strict=True)
    )
    half = student_t((1 + level) / 2, freedom) * math.sqrt(spread)
    return Change(estimate=estimate, low=estimate - half, high=estimate + half)
