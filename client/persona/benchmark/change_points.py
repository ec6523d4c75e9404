"""Where a series changed its level for good: change points, in the manner of E-divisive.

Of all places to cut, the one is looked at where the energy distance between both sides is greatest
(Matteson and James, 2014), on logarithms, so that 10 % is 10 % at any height. Whether it is more
than chance, shuffled series say; what lies on either side of a cut is looked at in turn. A level
that came and went again hides from a single cut, so where none is found in a longer series, two are
tried at once, as in circular binary segmentation (Olshen and others, 2004).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LEAST_SEGMENT = 3
"""Points between two changes."""
SIGNIFICANT = 0.007
"""Of the permutation test. Of 13 points no cut can be rarer than 0.0008, so 0.0001, which one finds
recommended for long series, would find nothing in a short one."""
PERMUTATIONS = 999
_LEAST_FOR_TWO = 18
_AT_ONCE = 111
"""Shuffled series that are looked at together: it bounds the memory."""

_Floats = npt.NDArray[np.float64]
_Cuts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Where pieces begin, and where they end."""


def change_points(
    values: Sequence[float], rng: np.random.Generator, significant: float = SIGNIFICANT
) -> list[int]:
    """The indices at which a new level begins, in order.

    Args:
        values: positive figures, one a point of time, the oldest first.
        rng: what shuffles; with the same seed, the answer is the same.

    Raises:
        ValueError: a figure that is not positive and finite.
    """
    series = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(series).all() and (series > 0).all()):
        raise ValueError("a trend needs positive, finite figures")
    return _divide(np.log(series), 0, rng, significant)


def _divide(part: _Floats, offset: int, rng: np.random.Generator, significant: float) -> list[int]:
    n = len(part)
    if n < 2 * LEAST_SEGMENT:
        return []
    cuts = _found(part, _one_cut(n), rng, significant)
    if not cuts and n >= _LEAST_FOR_TWO:
        cuts = _found(part, _two_cuts(n), rng, significant)
    points = []
    for begin, end in zip([0, *cuts], [*cuts, n], strict=True) if cuts else ():
        points += [offset + begin] if begin else []
        points += _divide(part[begin:end], offset + begin, rng, significant)
    return points


def _one_cut(n: int) -> _Cuts:
    ends = np.arange(LEAST_SEGMENT, n - LEAST_SEGMENT + 1)
    return np.zeros_like(ends), ends


def _two_cuts(n: int) -> _Cuts:
    """Pieces with points before and after them."""
    begins, ends = np.triu_indices(n + 1, LEAST_SEGMENT)
    fits = (begins >= LEAST_SEGMENT) & (ends <= n - LEAST_SEGMENT)
    return begins[fits], ends[fits]


def _found(part: _Floats, cuts: _Cuts, rng: np.random.Generator, significant: float) -> list[int]:
    """The ends of the piece that differs most, where shuffled series seldom have such a one."""
    n = len(part)
    distances = np.abs(part[:, None] - part[None, :])
    best, energy = _best(distances[None], cuts)
    if energy[0] <= 0:
        return []
    at_least = 1
    for _ in range(PERMUTATIONS // _AT_ONCE):
        orders = rng.permuted(np.tile(np.arange(n), (_AT_ONCE, 1)), axis=1)
        _, by_chance = _best(distances[orders[:, :, None], orders[:, None, :]], cuts)
        at_least += int((by_chance >= energy[0] - 1e-12).sum())
    if at_least / (1 + PERMUTATIONS) >= significant:
        return []
    begins, ends = cuts
    return [cut for cut in (int(begins[best[0]]), int(ends[best[0]])) if cut]


def _best(distances: _Floats, cuts: _Cuts) -> tuple[npt.NDArray[np.int64], _Floats]:
    """For each matrix of distances between points: the best of the cuts, and its scaled energy.

    Args:
        distances: (series, n, n).
    """
    n = distances.shape[1]
    sums = np.zeros((len(distances), n + 1, n + 1))
    sums[:, 1:, 1:] = distances.cumsum(axis=1).cumsum(axis=2)
    begins, ends = cuts
    within = sums[:, ends, ends] - 2 * sums[:, begins, ends] + sums[:, begins, begins]
    across = sums[:, ends, n] - sums[:, begins, n] - within
    beyond = sums[:, n, n][:, None] - within - 2 * across
    inner = (ends - begins).astype(np.float64)
    outer = n - inner
    energy = 2 * across / (inner * outer) - within / inner**2 - beyond / outer**2
    scaled = energy * inner * outer / n
    best = scaled.argmax(axis=1)
    return best, np.take_along_axis(scaled, best[:, None], axis=1)[:, 0]
