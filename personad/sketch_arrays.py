"""Many sketches at once, by numpy: what `sketch` does one by one, and grids of them.

Days that are over are asked about again and again. So of sketches that come a few together it is
remembered what their bytes say: the same bytes always say the same, so nothing ever has to be
forgotten because it changed.
"""

import threading
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
Quantiles = tuple[float | None, ...]

_DENSE = 1 << 16
"""Below this a table gives the bin of a value: a minute of latency, and every score."""
_ROUNDING = 1e-9
"""Of sums in floats, relative, with room."""
_TOGETHER = 250
"""So many sketches are read at once: arrays that stay in the cache."""
_EXACT = 2**53
"""Floats count exactly below."""
FEW = 1_000
"""Of so many it is remembered what they say. Of more, as of a month by quarter-hours, each would
have gone before it is asked for again."""
_REMEMBERED_BYTES = 8 << 20
_OVERHEAD_BYTES = 400
"""What Python takes to remember one, about, beside its bytes and counts."""
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


class _Bins(NamedTuple):
    """Of the numbers of some bodies."""

    at: Longs
    """The bin of each,"""
    counts: Floats
    """how many values it adds there,"""
    lengths: Longs
    """and how many numbers each body has."""


class _Known:
    """What the bytes of a sketch say."""

    __slots__ = ("counts", "low", "quantiles", "total")

    def __init__(self, bins: Longs, counts: Longs, total: int) -> None:
        """`bins` ascend."""
        self.low = int(bins[0]) if bins.size else 0
        """The first bin with a value,"""
        self.counts = np.zeros(int(bins[-1]) + 1 - self.low if bins.size else 0, np.int64)
        """and how many values there are in each from there on."""
        self.counts[bins - self.low] = counts
        self.total = total
        self.quantiles: dict[tuple[float, ...], Quantiles] = {}
        """Those that were asked for."""


def _known(scale: Scale, stored: Sequence[bytes]) -> list[_Known]:
    """Raises BadSketch."""
    read = _read(scale, stored)
    if read is None or not _is_exact(scale, *read):
        return [_known_alone(decode(scale, data)) for data in stored]
    bins, sums = read
    filled = bins.counts > 0
    at, counts = bins.at[filled], bins.counts[filled].astype(np.int64)
    firsts = np.cumsum(bins.lengths) - bins.lengths
    ends = np.cumsum(np.add.reduceat(filled.astype(np.int64), firsts)).tolist()
    parts = map(slice, [0, *ends[:-1]], ends)
    return [
        _Known(at[part], counts[part], total)
        for part, total in zip(parts, sums.tolist(), strict=True)
    ]


def _is_exact(scale: Scale, bins: _Bins, sums: Longs) -> bool:
    return bool(bins.counts.max() < _EXACT) and _fit(scale, bins, sums.astype(np.float64))


def _known_alone(sketch: Sketch) -> _Known:
    bins = sorted(sketch.counts)
    counts = np.array([sketch.counts[each] for each in bins], np.int64)
    return _Known(np.array(bins, np.int64), counts, sketch.total)


class _Memory:
    """The sketches of a scale that were read lately; any thread may ask."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._known: dict[bytes, _Known] = {}
        self.size_bytes = 0
        self._lock = threading.Lock()

    def __contains__(self, data: bytes) -> bool:
        return data in self._known

    def read(self, stored: Sequence[bytes]) -> list[_Known]:
        """What each of them says. Raises BadSketch."""
        found = list(map(self._known.get, stored))
        if None not in found:
            return found  # type: ignore[return-value]
        fresh = [data for data, known in zip(stored, found, strict=True) if known is None]
        read = dict(zip(fresh, _known(self._scale, fresh), strict=True))
        self._keep(read)
        return [
            known if known is not None else read[data]
            for data, known in zip(stored, found, strict=True)
        ]

    def _keep(self, read: dict[bytes, _Known]) -> None:
        with self._lock:
            for data, known in read.items():
                if data not in self._known:
                    self._known[data] = known
                    self.size_bytes += _size_of(data, known)
            while self.size_bytes > _REMEMBERED_BYTES:
                oldest = next(iter(self._known))
                self.size_bytes -= _size_of(oldest, self._known.pop(oldest))


def _size_of(data: bytes, known: _Known) -> int:
    return _OVERHEAD_BYTES + len(data) + known.counts.nbytes


@cache
def _memory(scale: Scale) -> _Memory:
    return _Memory(scale)


class Grid:
    """Sketches side by side, each a row of counts, and the sums of their values."""

    def __init__(self, scale: Scale, size: int) -> None:
        self.scale = scale
        self.counts: Longs = np.zeros((size, len(scale.answers)), np.int64)
        self.totals = [0] * size
        self._alone: dict[int, _Known | None] = {}
        """Of rows to which something was added, the only sketch in it; None: there is more."""

    def merge(self, rows: Sequence[int], stored: Sequence[bytes]) -> None:
        """Adds each sketch to the row of its place. Raises BadSketch."""
        if len(stored) > FEW:
            self.merge_all(rows, stored)
            return
        for row, known in zip(rows, _memory(self.scale).read(stored), strict=True):
            self.counts[row, known.low : known.low + len(known.counts)] += known.counts
            self.totals[row] += known.total
            self._alone[row] = known if row not in self._alone else None

    def merge_all(self, rows: Sequence[int], stored: Sequence[bytes]) -> None:
        """As `merge`, without remembering any."""
        self._alone.update(dict.fromkeys(rows))
        for first in range(0, len(stored), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            if not self._merge_at_once(rows[part], stored[part]):
                for row, data in zip(rows[part], stored[part], strict=True):
                    self.add(row, decode(self.scale, data))

    def add(self, row: int, sketch: Sketch, sign: int = 1) -> None:
        """Adds a sketch to a row, or with a sign of -1 takes it out."""
        self._alone[row] = None
        for at, count in sketch.counts.items():
            self.counts[row, at] += sign * count
        self.totals[row] += sign * sketch.total

    def quantiles(self, qs: Sequence[float]) -> list[Quantiles]:
        """Of each row as `Sketch.quantiles` has them."""
        asked = tuple(qs)
        known = {row: each for row, each in self._alone.items() if each is not None}
        found = [
            each.quantiles.get(asked) if (each := known.get(row)) is not None else None
            for row in range(len(self.totals))
        ]
        rest = [row for row, each in enumerate(found) if each is None]
        if rest:
            for row, told in zip(rest, self._quantiles(asked, rest), strict=True):
                found[row] = told
                if row in known:
                    known[row].quantiles[asked] = told
        return found  # type: ignore[return-value]

    def _quantiles(self, qs: tuple[float, ...], rows: Sequence[int]) -> list[Quantiles]:
        counts = self.counts if len(rows) == len(self.totals) else self.counts[rows]
        if not (used := np.flatnonzero(counts.any(axis=0))).size:
            return [(None,) * len(qs)] * len(rows)
        # Where nobody has a value, no count changes.
        cumulated = np.cumsum(counts[:, used], axis=1)
        sizes = cumulated[:, -1]
        answers = np.array(self.scale.answers)[used]
        found: list[list[float | None]] = [[None] * len(qs) for _ in rows]
        for place, q in enumerate(qs):
            ranks = np.clip(np.ceil(q * sizes), 1, None)
            # The first bin up to which there are so many.
            bins = (cumulated < ranks[:, None]).sum(axis=1)
            for at in np.flatnonzero(sizes).tolist():
                one = sizes[at] == 1
                found[at][place] = float(self.totals[rows[at]] if one else answers[bins[at]])
        return list(map(tuple, found))

    @property
    def sizes(self) -> list[int]:
        """How many values each row holds."""
        return [int(each) for each in self.counts.sum(axis=1).tolist()]

    def _merge_at_once(self, rows: Sequence[int], stored: Sequence[bytes]) -> bool:
        """False, with nothing done, where one is unusual or looks damaged."""
        read = _read(self.scale, stored)
        if read is None:
            return False
        bins, sums = read
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


def _read(scale: Scale, stored: Sequence[bytes]) -> tuple[_Bins, Longs] | None:
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
