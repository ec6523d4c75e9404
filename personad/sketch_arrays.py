"""Many sketches at once, by numpy: what `sketch` does one by one, and grids of them."""

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
    decode,
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
_TOGETHER = 250
"""So many sketches are read at once: arrays that stay in the cache."""
_EXACT = 2**53
"""Floats count exactly below."""
_NARROW = 5
"""Bytes of a sum, of which a thousand still add up exactly in floats."""


@cache
def _tables(scale: Scale) -> tuple[NDArray[np.int16], Longs, Floats]:
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
    table, lows, _ = _tables(scale)
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
    for first in range(0, len(filled), _TOGETHER):
        some = filled[first : first + _TOGETHER]
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
        if bins is None or not _fit(scale, bins, np.array(sums, np.float64)):
            return None
        found += np.bincount(bins.at, bins.counts, len(scale.answers))
        total += sum(sums)
    if found.sum() >= _EXACT:
        return None
    used = np.flatnonzero(found)
    counts = map(int, found[used].tolist())
    return Sketch(scale, dict(zip(used.tolist(), counts, strict=True)), total)


class Grid:
    """Sketches side by side, each a row of counts, and the sums of their values."""

    def __init__(self, scale: Scale, size: int) -> None:
        self.scale = scale
        self.counts: Longs = np.zeros((size, len(scale.answers)), np.int64)
        self.totals = [0] * size

    def merge(self, rows: Sequence[int], stored: Sequence[bytes]) -> None:
        """Adds each sketch to the row of its place. Raises BadSketch."""
        for first in range(0, len(stored), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            if not self._merge_at_once(rows[part], stored[part]):
                for row, data in zip(rows[part], stored[part], strict=True):
                    self.add(row, decode(self.scale, data))

    def add(self, row: int, sketch: Sketch, sign: int = 1) -> None:
        """Adds a sketch to a row, or with a sign of -1 takes it out."""
        for at, count in sketch.counts.items():
            self.counts[row, at] += sign * count
        self.totals[row] += sign * sketch.total

    def quantiles(self, qs: Sequence[float]) -> list[list[float | None]]:
        """Of each row as `Sketch.quantiles` has them."""
        if not self.totals or not (used := np.flatnonzero(self.counts.any(axis=0))).size:
            return [[None] * len(qs) for _ in self.totals]
        # Where nobody has a value, no count changes.
        cumulated = np.cumsum(self.counts[:, used], axis=1)
        sizes = cumulated[:, -1]
        answers = np.array(self.scale.answers)[used]
        found: list[list[float | None]] = [[None] * len(qs) for _ in self.totals]
        for place, q in enumerate(qs):
            ranks = np.clip(np.ceil(q * sizes), 1, None)
            # The first bin up to which there are so many.
            bins = (cumulated < ranks[:, None]).sum(axis=1)
            for row in np.flatnonzero(sizes).tolist():
                one = sizes[row] == 1
                found[row][place] = float(self.totals[row] if one else answers[bins[row]])
        return found

    @property
    def sizes(self) -> list[int]:
        """How many values each row holds."""
        return [int(each) for each in self.counts.sum(axis=1).tolist()]

    def _merge_at_once(self, rows: Sequence[int], stored: Sequence[bytes]) -> bool:
        """False, with nothing done, where one is unusual or looks damaged."""
        lengths = np.fromiter(map(len, stored), np.int64, len(stored))
        if lengths.min() < 3:
            return False
        joined = np.frombuffer(b"".join(stored), np.uint8)
        starts = np.cumsum(lengths) - lengths
        widths = joined[starts + 1].astype(np.int64)
        heads = widths + 2
        if (joined[starts] != self.scale.kind).any() or widths.max() > _NARROW:
            return False
        if (heads >= lengths).any() or (joined[(starts + 2)[widths > 0]] == 0).any():
            return False
        sums = np.zeros(len(stored), np.int64)
        is_body = np.ones(len(joined), bool)
        is_body[starts] = is_body[starts + 1] = False
        for place in range(int(widths.max())):
            some = widths > place
            at = (starts + 2 + place)[some]
            sums[some] = sums[some] << 8 | joined[at]
            is_body[at] = False
        bins = _bins(self.scale, joined[is_body], np.cumsum(lengths - heads))
        if bins is None:
            return False
        # Mostly these are few rows side by side: only those are touched.
        first, behind = min(rows), max(rows) + 1
        where = np.array(rows, np.int64) - first
        part = self.counts[first:behind]
        cells = bins.at + np.repeat(where * len(self.scale.answers), bins.lengths)
        found = np.bincount(cells, bins.counts, part.size)
        totals = np.bincount(where, sums).astype(np.float64, copy=False)
        counts = found.astype(np.float64, copy=False).reshape(part.shape)
        if found.max() >= _EXACT or not self._fit(counts, totals):
            return False
        part += counts.astype(np.int64)
        for row, total in enumerate(totals.tolist(), first):
            self.totals[row] += int(total)
        return True

    def _fit(self, counts: Floats, totals: Floats) -> bool:
        """Whether rows can have these sums, which is quicker to tell than of each sketch."""
        edges = _tables(self.scale)[2]
        # Not by `@`, which would start threads of its own.
        least, most = (np.einsum("ij,j->i", counts, each) for each in (edges[:-1], edges[1:] - 1))
        return _between(least, totals, most)


class _Bins(NamedTuple):
    """Of the numbers of some bodies."""

    at: Longs
    """The bin of each,"""
    counts: Floats
    """how many values it adds there,"""
    lengths: Longs
    """and how many numbers each body has."""


def _fit(scale: Scale, bins: _Bins, totals: Floats) -> bool:
    """Whether each body can have its sum."""
    edges = _tables(scale)[2]
    firsts = np.cumsum(bins.lengths) - bins.lengths
    least = np.add.reduceat(edges[bins.at] * bins.counts, firsts)
    most = np.add.reduceat((edges[bins.at + 1] - 1) * bins.counts, firsts)
    return _between(least, totals, most)


def _between(least: Floats, totals: Floats, most: Floats) -> bool:
    low, high = totals >= least * (1 - _ROUNDING), totals <= most * (1 + _ROUNDING)
    return bool((low & high).all())


def _bins(scale: Scale, joined: Bytes, ends: Longs) -> _Bins | None:
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
    return _Bins(at, counts, behind - firsts)


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
