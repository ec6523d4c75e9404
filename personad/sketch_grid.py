"""Grids of sketches: many rows of them side by side, merged and asked for their quantiles at once.

Days that are over are asked about again and again. So of sketches that come a few together it is
remembered what their bytes say: the same bytes always say the same, so nothing ever has to be
forgotten because it changed.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain

import numpy as np

from personad.sketch import Scale, Sketch, decode
from personad.sketch_arrays import (
    EXACT,
    TOGETHER,
    Bins,
    Floats,
    Longs,
    between,
    fit,
    read_bins,
    tables,
)

Quantiles = tuple[float | None, ...]
_Key = bytes | tuple[bytes, ...]

FEW = 1_000
"""Of so many it is remembered what each says. Of more, as of a month by quarter-hours, each would
have gone before it is asked for again: there it is remembered what those of a row say together, if
it isn't too many rows."""
_REMEMBERED_BYTES = 8 << 20
_OVERHEAD_BYTES = 400
_EACH_BYTES = 48
"""What Python takes to remember one, about, beside its bytes and counts; and one of a pile."""


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
    read = read_bins(scale, stored)
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


def _is_exact(scale: Scale, bins: Bins, sums: Longs) -> bool:
    return bool(bins.counts.max() < EXACT) and fit(scale, bins, sums.astype(np.float64))


def _known_alone(sketch: Sketch) -> _Known:
    bins = sorted(sketch.counts)
    counts = np.array([sketch.counts[each] for each in bins], np.int64)
    return _Known(np.array(bins, np.int64), counts, sketch.total)


class _Memory:
    """The sketches of a scale that were read lately; any thread may ask."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._known: dict[_Key, _Known] = {}
        self.size_bytes = 0
        self._lock = threading.Lock()

    def __contains__(self, data: _Key) -> bool:
        return data in self._known

    def read(self, stored: Sequence[bytes]) -> list[_Known]:
        """What each of them says. Raises BadSketch."""
        found = list(map(self._known.get, stored))
        if None not in found:
            return found  # type: ignore[return-value]
        fresh = [data for data, known in zip(stored, found, strict=True) if known is None]
        read: dict[_Key, _Known] = dict(zip(fresh, _known(self._scale, fresh), strict=True))
        self._keep(read)
        return [
            known if known is not None else read[data]
            for data, known in zip(stored, found, strict=True)
        ]

    def read_piles(self, piles: Sequence[tuple[bytes, ...]]) -> list[_Known]:
        """What the sketches of each pile say together. Raises BadSketch."""
        found = list(map(self._known.get, piles))
        fresh = [pile for pile, known in zip(piles, found, strict=True) if known is None]
        grid = Grid(self._scale, len(fresh))
        rows = [row for row, pile in enumerate(fresh) for _ in pile]
        grid.merge_all(rows, list(chain(*fresh)))
        read: dict[_Key, _Known] = {}
        for pile, counts, total in zip(fresh, grid.counts, grid.totals, strict=True):
            bins = np.flatnonzero(counts)
            read[pile] = _Known(bins, counts[bins], total)
        self._keep(read)
        return [
            known if known is not None else read[pile]
            for pile, known in zip(piles, found, strict=True)
        ]

    def _keep(self, read: Mapping[_Key, _Known]) -> None:
        with self._lock:
            for data, known in read.items():
                if data not in self._known:
                    self._known[data] = known
                    self.size_bytes += _size_of(data, known)
            while self.size_bytes > _REMEMBERED_BYTES:
                oldest = next(iter(self._known))
                self.size_bytes -= _size_of(oldest, self._known.pop(oldest))


def _size_of(data: _Key, known: _Known) -> int:
    size = len(data) if isinstance(data, bytes) else sum(map(len, data)) + _EACH_BYTES * len(data)
    return _OVERHEAD_BYTES + size + known.counts.nbytes


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
        memory = _memory(self.scale)
        if len(stored) <= FEW:
            read = memory.read(stored)
        else:
            piles: dict[int, list[bytes]] = {}
            for row, data in zip(rows, stored, strict=True):
                piles.setdefault(row, []).append(data)
            if len(piles) > FEW:
                self.merge_all(rows, stored)
                return
            rows, read = list(piles), memory.read_piles(list(map(tuple, piles.values())))
        for row, known in zip(rows, read, strict=True):
            self.counts[row, known.low : known.low + len(known.counts)] += known.counts
            self.totals[row] += known.total
            self._alone[row] = known if row not in self._alone else None

    def merge_all(self, rows: Sequence[int], stored: Sequence[bytes]) -> None:
        """As `merge`, without remembering any."""
        self._alone.update(dict.fromkeys(rows))
        for first in range(0, len(stored), TOGETHER):
            part = slice(first, first + TOGETHER)
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
        read = read_bins(self.scale, stored)
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
        if found.max() >= EXACT or not self._fit(counts, totals):
            return False
        part += counts.astype(np.int64)
        for row, total in enumerate(totals.tolist(), first):
            self.totals[row] += int(total)
        return True

    def _fit(self, counts: Floats, totals: Floats) -> bool:
        """Whether rows can have these sums, which is quicker to tell than of each sketch."""
        edges = tables(self.scale)[2]
        # Not by `@`, which would start threads of its own.
        least, most = (np.einsum("ij,j->i", counts, each) for each in (edges[:-1], edges[1:] - 1))
        return between(least, totals, most)
