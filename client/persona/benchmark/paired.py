"""Two versions run in turn: how much slower is the new one, and is that known yet?

Runs of one version differ between minutes by more than a regression is large, so both versions
run in pairs, and what is looked at is d = ln(new / old) of each pair. The estimate is that of
Hodges and Lehmann (1963), the median of the pairs' Walsh averages; the interval takes its ends from
the same averages at the ranks of Wilcoxon's signed-rank statistic (Hollander and Wolfe, 3.3).

Looked at after 10, 15, 20 … 320 pairs. Whoever looks often is fooled often, so an early end asks
for more: all of it decided at z = 3.29, or at z = 2.326 with an interval narrow enough.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .verdicts import Change, Decision, Limits, Verdict, graded

LOOKS: tuple[int, ...] = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320)
"""After so many pairs one looks whether it is decided."""
Z_AT_ONCE = 3.29
Z_NARROW = 2.326
_LEAST_GAP = 0.001
"""Where any worsening is to be found: no number of pairs tells less than this from nothing."""
Z_SHOWN = 1.96
"""Of the interval that a table shows: 95 %."""


def decide(log_ratios: Sequence[float], limits: Limits) -> Decision | None:
    """What the pairs say; None where it takes more pairs and there are more to come.

    Args:
        log_ratios: ln(new / old) of each pair, in the order in which they were run.

    Raises:
        ValueError: fewer pairs than the first look, or one that is no finite number.
    """
    averages = _walsh(log_ratios)
    pairs = len(log_ratios)
    found = _verdict(averages, pairs, Z_AT_ONCE, limits)
    if found is None:
        inner = _interval(averages, pairs, Z_NARROW)
        if (inner.high - inner.low) / 2 <= limits.warn_log / 2:
            found = _verdict(averages, pairs, Z_NARROW, limits)
    shown = _interval(averages, pairs, Z_SHOWN)
    if found is not None:
        return Decision(verdict=found, change=shown)
    if pairs < LOOKS[-1]:
        return None
    return Decision(
        verdict="inconclusive",
        change=shown,
        note=f"about {_more(averages, pairs, limits):,} more pairs would decide it",
    )


def change_of(log_ratios: Sequence[float], z: float = Z_SHOWN) -> Change:
    """Estimate and interval, without a verdict.

    Raises:
        ValueError: no pairs, or one that is no finite number.
    """
    return _interval(_walsh(log_ratios), len(log_ratios), z)


def _walsh(log_ratios: Sequence[float]) -> npt.NDArray[np.float64]:
    """All means of two pairs, each with itself too, in order."""
    d = np.asarray(log_ratios, dtype=np.float64)
    if not len(d) or not np.isfinite(d).all():
        raise ValueError("the pairs must be finite numbers, and one at least")
    i, j = np.triu_indices(len(d))
    averages: npt.NDArray[np.float64] = np.sort((d[i] + d[j]) / 2)
    return averages


def _interval(averages: npt.NDArray[np.float64], pairs: int, z: float) -> Change:
    """The averages at the ranks that the signed-rank statistic keeps within z deviations.

    So few pairs may have no ranks that are rare enough; then nothing is known at that z.
    """
    deviation = math.sqrt(pairs * (pairs + 1) * (2 * pairs + 1) / 24)
    rank = math.floor(len(averages) / 2 - z * deviation)
    estimate = float(np.median(averages))
    if rank < 0:
        return Change(estimate=estimate, low=-math.inf, high=math.inf)
    return Change(estimate=estimate, low=float(averages[rank]), high=float(averages[-1 - rank]))


def _verdict(
    averages: npt.NDArray[np.float64], pairs: int, z: float, limits: Limits
) -> Verdict | None:
    worse = _interval(averages, pairs, z).worse_by(limits)
    if worse.low > 0 and worse.estimate >= limits.warn_log / 2:
        return graded(worse.estimate, limits)
    if worse.high < limits.warn_log:
        surely = _interval(averages, pairs, Z_NARROW).worse_by(limits)
        faster = surely.high < 0 and worse.estimate <= -limits.warn_log / 2
        return "better" if faster else "same"
    return None


def _more(averages: npt.NDArray[np.float64], pairs: int, limits: Limits) -> int:
    """How many pairs more would make the interval narrow enough, as widths shrink by the root."""
    inner = _interval(averages, pairs, Z_NARROW)
    wanted = limits.warn_log / 2
    gap = min(abs(inner.estimate - wanted), wanted) or wanted / 4 or _LEAST_GAP
    width = min((inner.high - inner.low) / 2, float(np.ptp(averages)) / 2) + 1e-9
    return max(pairs // 4, math.ceil(pairs * (width / gap) ** 2) - pairs)
