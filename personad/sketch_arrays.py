"""Many sketches at once, by numpy: what `sketch` does one by one."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from personad.sketch import (
    BadSketch,
    Scale,
    Sketch,
    body_start,
    empty,
    encode,
    out_of_range,
)

Longs = NDArray[np.int64]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

_DENSE = 1 << 16
"""Below this a table gives the bin of a value: a minute of latency, and every score."""
_ROUNDING = 1e-9
"""Of sums in floats, relative, with room."""
TOGETHER = 250
"""So many sketches are read at once: arrays that stay in the cache."""
EXACT = 2**53
"""Floats count exactly below."""
_NARROW = 5
"""Bytes of a sum, of which a thousand still add up exactly in floats."""


@cache
def tables(scale: Scale) -> tuple[NDArray[np.int16], Longs, Floats]:
    """The bins of small values; the lowest value of each bin; all edges, rounded to floats."""
    lows = np.array(scale.lows[:-1], np.int64)
    small = np.arange(min(scale.lows[-1], _DENSE))
    bins = np.searchsorted(lows, small, "right") - 1
    return bins.astype(np.int16), lows, np.array(scale.lows, np.float64)


def binned(scale: Scale, values: Sequence[int] | NDArray[np.integer]) -> tuple[dict[int, int], int]:
    """Bins with their numbers of values, and the sum. Raises BadSketch."""
    given = np.asarray(values)
    if given.dtype.kind not in "iu":
        raise BadSketch(f"not all values are whole numbers from 0 to {scale.lows[-1] - 1}")
    for number in (int(given.min()), int(given.max())):
        if not 0 <= number < scale.lows[-1]:
            raise out_of_range(scale, number)
    numbers = given.astype(np.int64, copy=False)
    table, lows, _ = tables(scale)
    at = table[np.minimum(numbers, len(table) - 1)]
    beyond = np.flatnonzero(numbers >= len(table))
    at[beyond] = np.searchsorted(lows, numbers[beyond], "right") - 1
    found = np.bincount(at)
    used = np.flatnonzero(found)
    # In two halves, because their sum may need more than 63 bits.
    total = (int((numbers >> 32).sum()) << 32) + int((numbers & 0xFFFFFFFF).sum())
    return dict(zip(used.tolist(), found[used].tolist(), strict=True)), total


def merged(scale: Scale, stored: Sequence[bytes]) -> Sketch | None:
    """None where one looks damaged: reading each by itself has the words."""
    nothing = encode(empty(scale))
    filled = [data for data in stored if data != nothing]
    found = np.zeros(len(scale.answers))
    total = 0
    for first in range(0, len(filled), TOGETHER):
        some = filled[first : first + TOGETHER]
        try:
            starts = [body_start(scale, data) for data in some]
        except BadSketch:
            return None
        sums = [int.from_bytes(data[2:at], "big") for data, at in zip(some, starts, strict=True)]
        bodies = [data[at:] for data, at in zip(some, starts, strict=True)]
        if not all(bodies):
            return None
        joined = np.frombuffer(b"".join(bodies), np.uint8)
        ends = np.cumsum(np.fromiter(map(len, bodies), np.int64, len(bodies)))
        bins = _bins(scale, joined, ends)
        if bins is None or not fit(scale, bins, np.array(sums, np.float64)):
            return None
        found += np.bincount(bins.at, bins.counts, len(scale.answers))
        total += sum(sums)
    if found.sum() >= EXACT:
        return None
    used = np.flatnonzero(found)
    counts = map(int, found[used].tolist())
    return Sketch(scale, dict(zip(used.tolist(), counts, strict=True)), total)


class Bins(NamedTuple):
    """Of the numbers of some bodies."""

    at: Longs
    """The bin of each,"""
    counts: Floats
    """how many values it adds there,"""
    lengths: Longs
    """and how many numbers each body has."""


def read_bins(scale: Scale, stored: Sequence[bytes]) -> tuple[Bins, Longs] | None:
    """The bins of all these sketches, and the sum of each; None where one is unusual or looks
    damaged. Whether it can have its sum is not looked at."""
    lengths = np.fromiter(map(len, stored), np.int64, len(stored))
    if lengths.min() < 3:
        return None
    joined = np.frombuffer(b"".join(stored), np.uint8)
    starts = np.cumsum(lengths) - lengths
    widths = joined[starts + 1].astype(np.int64)
    heads = widths + 2
    if (joined[starts] != scale.kind).any() or widths.max() > _NARROW:
        return None
    if (heads >= lengths).any() or (joined[(starts + 2)[widths > 0]] == 0).any():
        return None
    sums = np.zeros(len(stored), np.int64)
    is_body = np.ones(len(joined), bool)
    is_body[starts] = is_body[starts + 1] = False
    for place in range(int(widths.max())):
        some = widths > place
        at = (starts + 2 + place)[some]
        sums[some] = sums[some] << 8 | joined[at]
        is_body[at] = False
    bins = _bins(scale, joined[is_body], np.cumsum(lengths - heads))
    return None if bins is None else (bins, sums)


def fit(scale: Scale, bins: Bins, totals: Floats) -> bool:
    """Whether each body can have its sum."""
    edges = tables(scale)[2]
    firsts = np.cumsum(bins.lengths) - bins.lengths
    least = np.add.reduceat(edges[bins.at] * bins.counts, firsts)
    most = np.add.reduceat((edges[bins.at + 1] - 1) * bins.counts, firsts)
    return between(least, totals, most)


def between(least: Floats, totals: Floats, most: Floats) -> bool:
    low, high = totals >= least * (1 - _ROUNDING), totals <= most * (1 + _ROUNDING)
    return bool((low & high).all())


def _bins(scale: Scale, joined: Bytes, ends: Longs) -> Bins | None:
    """The bins of all these bodies, none of them empty."""
    numbers = _numbers(joined, ends)
    if numbers is None:
        return None
    # Of each body, the index of its first number, and that behind its last.
    behind = np.cumsum(joined < 128)[ends - 1]
    firsts = np.concatenate(([0], behind[:-1]))
    halves = numbers >> 1
    passing = (numbers & 1).astype(bool)
    steps = np.where(passing, halves, 1)
    stray = passing[behind - 1].any() or (passing[:-1] & passing[1:]).any()
    if stray or not 0 < steps.min() <= steps.max() <= len(scale.answers):
        return None
    at = np.cumsum(steps) - steps
    at -= np.repeat(at[firsts], behind - firsts)
    if at.max() >= len(scale.answers):
        return None
    counts = np.where(passing, 0.0, halves + 1.0)
    return Bins(at, counts, behind - firsts)


def _numbers(joined: Bytes, ends: Longs) -> Longs | None:
    """The varints of bodies that end at `ends`; None where one is not as `_varints` has them."""
    goes_on = joined > 127
    if goes_on[ends - 1].any():
        return None
    starts = np.concatenate(([True], ~goes_on[:-1]))
    numbers = (joined[starts] & 127).astype(np.int64)
    at = np.flatnonzero(starts & goes_on)
    which = np.cumsum(starts)[at] - 1
    for shift in range(7, 63, 7):
        at = at + 1
        numbers[which] |= (joined[at] & 127).astype(np.int64) << shift
        if not joined[at].all():
            return None
        further = goes_on[at]
        at, which = at[further], which[further]
    return None if len(at) else numbers
