"""Whether a daily series goes up or down, beyond chance.

The slope is that of Theil and Sen (Sen 1968), the median of the slopes between all pairs of days,
weighted by how much both days rest on; whether it is more than chance, a permutation test of the
days says, and it has to come to more than one percent of the level as well.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LEAST_DAYS = 6
"""With fewer, no order of the days is rare enough."""
SIGNIFICANT = 0.05
LEAST_CHANGE = 0.01
"""Of the level, over the range."""
PERMUTATIONS = 199
_CELLS_AT_ONCE = 2_000_000
_MOST_DAYS = 366
"""Of longer ranges, as many neighbours are taken together as it takes."""

_Floats = npt.NDArray[np.float64]
_Places = npt.NDArray[np.int64]


class Trend(NamedTuple):
    """Over the range."""

    change: float
    """From its first to its last day, as a share of the level; negative where it falls."""
    is_significant: bool


def trend(
    days: Sequence[float],
    means: Sequence[float],
    weights: Sequence[float],
    seed: int,
) -> Trend | None:
    """The trend of daily means; None where there are too few days or no level.

    Args:
        days: ascending numbers of the days that have a mean.
        weights: on how many values each mean rests.
        seed: of the orders that the days are put in by chance.
    """
    if len(days) < LEAST_DAYS:
        return None
    x, y, w = _joined(*(np.asarray(each, dtype=np.float64) for each in (days, means, weights)))
    level = float((y * w).sum() / w.sum())
    if level <= 0:
        return None
    i, j = _pairs(len(x))
    run, pair_weights = x[j] - x[i], np.sqrt(w[i] * w[j])
    change = _median((y[j] - y[i]) / run, pair_weights) * float(x[-1] - x[0]) / level
    if abs(change) < LEAST_CHANGE:
        return Trend(change, False)
    return Trend(change, _rarity(y, w, np.random.default_rng(seed)) < SIGNIFICANT)


@functools.lru_cache(maxsize=64)
def _pairs(days: int) -> tuple[_Places, _Places]:
    """The earlier and the later day of each pair."""
    return np.triu_indices(days, 1)


def _joined(x: _Floats, y: _Floats, w: _Floats) -> tuple[_Floats, _Floats, _Floats]:
    size = -(-len(x) // _MOST_DAYS)
    if size == 1:
        return x, y, w
    starts = np.arange(0, len(x), size)
    whole = np.add.reduceat(w, starts)
    return np.add.reduceat(x * w, starts) / whole, np.add.reduceat(y * w, starts) / whole, whole


def _median(values: _Floats, weights: _Floats) -> float:
    """The value at which half of the weight is reached."""
    order = np.argsort(values, kind="stable")
    reached = weights[order].cumsum()
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _rarity(y: _Floats, w: _Floats, rng: np.random.Generator) -> float:
    """How often shuffled days rise or fall as steadily, by Kendall's weighted count of pairs."""
    n = len(y)
    first, second = _pairs(n)
    signs = np.sign(y[second] - y[first]) * np.sqrt(w[first] * w[second])
    total = float(signs.sum())
    at_once = max(1, _CELLS_AT_ONCE // (n * n))
    at_least = 1
    for begin in range(0, PERMUTATIONS, at_once):
        count = min(at_once, PERMUTATIONS - begin)
        orders = rng.permuted(np.tile(np.arange(n, dtype=np.int16), (count, 1)), axis=1)
        places = np.ascontiguousarray(orders.T)
        # A pair counts as it is where it keeps its order, and the other way round where not.
        kept = (places[second] > places[first]).astype(np.float32)
        by_chance = np.abs(2 * (signs @ kept) - total)
        at_least += int((by_chance >= abs(total) - 1e-9).sum())
    return at_least / (1 + PERMUTATIONS)
