"""Percentiles that add up: how many values fell into each bin of a fixed scale, and their sum.

Latencies lie on a logarithmic scale (the idea of DDSketch, Masson, Rim and Lee 2019, with γ = 1.02)
whose edges are integers, made by integer arithmetic: no machine rounds a value into another bin.
A quantile is within 1 % of the true value, and exact below 50 ms. Scores lie on 200 linear bins
of 0.005; a quantile is within 0.0025, and within 0.005 in the two outer bins, which answer 0 and 1.

A sketch is a function of its multiset of values alone: adding, taking back out and merging give
the same bytes in any order and grouping. That is why minimum and maximum are read off the outer
bins instead of being kept: a kept one could not be taken back.

Stored form: a byte for the scale, a byte for the length of the sum, the sum (big-endian), then
varints (LEB128) that walk the scale upward: `2·n+1` passes n empty bins, `2·(n-1)` is a bin with n
values. There is one such form of a sketch, and any other is refused.
"""

import math
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = Sequence[int] | NDArray[np.integer]

MAX = 2**63 - 1
NUMPY_FROM_VALUES = 1_000
NUMPY_FROM_BYTES = 4_000
"""From this size on numpy is imported and used; below, it would not be faster."""


_SMALL = 1 << 16
"""Values below are looked up: nearly all are, as no call takes a minute."""


class Scale(Struct, frozen=True, eq=False):
    """Bin i holds the integers `lows[i] ≤ value < lows[i + 1]`; quantiles name `answers[i]`."""

    kind: int
    name: str
    lows: tuple[int, ...]
    answers: tuple[float, ...]


class BadSketch(ValueError):
    """Bytes that are no sketch of this scale, or a value that can't be added or taken out."""


def _latency_scale() -> Scale:
    lows = [0]
    while lows[-1] <= MAX:
        lows.append(min(lows[-1] * 51 // 50 + 1, MAX + 1))
    bounds = [(low, after - 1) for low, after in pairwise(lows)]
    answers = (2 * low * high / (low + high) if high else 0.0 for low, high in bounds)
    return Scale(1, "latencies", tuple(lows), tuple(answers))


def _score_scale() -> Scale:
    lows = (*range(0, 10_000, 50), 10_001)
    answers = [low + 24.5 for low in lows[:-1]]
    answers[0], answers[-1] = 0.0, 10_000.0
    return Scale(2, "scores", lows, tuple(answers))


LATENCIES = _latency_scale()
"""Whole milliseconds from 0 to 2⁶³-1."""
SCORES = _score_scale()
"""Whole numbers from 0 to 10,000: a score × 10⁴."""


class Sketch(Struct, frozen=True):
    """How many values each bin holds, where it holds any, and the sum of all."""

    scale: Scale
    counts: Mapping[int, int]
    total: int

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Least and greatest value: the outer edges of the outer bins, so up to 2 % (of a score
        0.005) too far out; exact below 50 ms and for a single value. None without values."""
        if self.count <= 1:
            return (self.total, self.total) if self.counts else None
        lows = self.scale.lows
        return lows[min(self.counts)], lows[max(self.counts) + 1] - 1

    def quantile(self, q: float) -> float | None:
        """The least value that at least the share `q` of all values does not exceed.

        That is numpy's `method="inverted_cdf"`, within the error of the scale; a single value is
        exact. None without values. Raises ValueError for q outside 0..1.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, qs: Sequence[float]) -> list[float | None]:
        """Several at once, in the order asked."""
        if wrong := [q for q in qs if not 0 <= q <= 1]:
            raise ValueError(f"a quantile is a share from 0 to 1, and {wrong[0]} is not")
        count = self.count
        if count <= 1:
            return [float(self.total) if count else None] * len(qs)
        bins, cumulated, seen = sorted(self.counts), [], 0
        for each in bins:
            seen += self.counts[each]
            cumulated.append(seen)
        # The first bin up to which there are at least q · count values.
        ranks = (min(max(math.ceil(q * count), 1), count) for q in qs)
        return [self.scale.answers[bins[bisect_right(cumulated, rank - 1)]] for rank in ranks]


def add_many(sketch: Sketch, values: "Values") -> Sketch:
    """With these values. Raises BadSketch for one that is no integer of the scale."""
    counts, total = _binned(sketch.scale, values)
    for each, count in sketch.counts.items():
        counts[each] = counts.get(each, 0) + count
    return Sketch(sketch.scale, counts, sketch.total + total)


def remove_many(sketch: Sketch, values: "Values") -> Sketch:
    """Without these values: what it was before they were added.

    Raises BadSketch where a bin holds fewer values than are to be taken out of it.
    """
    removed, total = _binned(sketch.scale, values)
    counts = dict(sketch.counts)
    for each, count in removed.items():
        counts[each] = counts.get(each, 0) - count
        if counts[each] < 0:
            near, name = sketch.scale.lows[each], sketch.scale.name
            raise BadSketch(f"can't take out {name} near {near} that were never added")
    counts = {each: count for each, count in counts.items() if count}
    return _consistent(Sketch(sketch.scale, counts, sketch.total - total))


def update(scale: Scale, stored: bytes | None, added: "Values", removed: "Values" = ()) -> bytes:
    """The stored form with `added`, then without `removed`; None is a bucket yet to be.

    Raises BadSketch.
    """
    sketch = add_many(empty(scale) if stored is None else decode(scale, stored), added)
    return encode(remove_many(sketch, removed) if len(removed) else sketch)


def empty(scale: Scale) -> Sketch:
    return Sketch(scale, {}, 0)


def merge(scale: Scale, stored: Sequence[bytes]) -> Sketch:
    """All values of all these sketches. Raises BadSketch, with the place of a damaged one."""
    if sum(map(len, stored)) >= NUMPY_FROM_BYTES:
        from personad import sketch_arrays

        merged = sketch_arrays.merged(scale, stored)
        if merged is not None:
            return merged
    counts: dict[int, int] = {}
    total = 0
    for place, data in enumerate(stored):
        try:
            each = decode(scale, data)
        except BadSketch as damage:
            raise BadSketch(f"sketch {place} of {len(stored)}: {damage}") from None
        total += each.total
        for at, count in each.counts.items():
            counts[at] = counts.get(at, 0) + count
    return Sketch(scale, counts, total)


def encode(sketch: Sketch) -> bytes:
    """The stored form: the same bytes for the same values, however they came together."""
    width = (sketch.total.bit_length() + 7) // 8
    head = bytes((sketch.scale.kind, width)) + sketch.total.to_bytes(width, "big")
    numbers: list[int] = []
    following = 0
    for at, count in sorted(sketch.counts.items()):
        if at != following:
            numbers.append((at - following) << 1 | 1)
        numbers.append((count - 1) << 1)
        following = at + 1
    if max(numbers, default=0) <= 127:
        return head + bytes(numbers)
    out = bytearray(head)
    for number in numbers:
        _put(out, number)
    return bytes(out)


def decode(scale: Scale, data: bytes) -> Sketch:
    """The reverse of `encode`. Raises BadSketch, with the reason, for any bytes it can't give."""
    start = body_start(scale, data)
    counts: dict[int, int] = {}
    at, passed = 0, False
    body = data[start:]
    # Nearly always each byte is a number.
    for number in body if max(body, default=0) <= 127 else _varints(body):
        if number & 1:
            if passed or number == 1:
                raise BadSketch("damaged: empty bins are passed in two steps, or none are")
            at += number >> 1
            passed = True
            continue
        if at >= len(scale.answers):
            raise BadSketch(f"damaged: there is no bin {at}")
        counts[at] = (number >> 1) + 1
        at, passed = at + 1, False
    if passed:
        raise BadSketch("cut off: a bin is missing at the end")
    return _consistent(Sketch(scale, counts, int.from_bytes(data[2:start], "big")))


def _put(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _varints(body: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in body:
        number |= (byte & 127) << shift
        if byte > 127:
            shift += 7
        elif (shift and not byte) or shift > 56:
            raise BadSketch("damaged: a number is not in its shortest form, or over 63 bits")
        else:
            yield number
            number = shift = 0
    if shift:
        raise BadSketch("cut off: the last number goes on")


def body_start(scale: Scale, data: bytes) -> int:
    """Where the bins begin, behind a sum whose form is checked."""
    if len(data) < 2 or len(data) < 2 + data[1]:
        raise BadSketch(f"cut off: {len(data)} bytes are no sketch")
    if data[0] != scale.kind:
        known = {each.kind: each.name for each in (LATENCIES, SCORES)}
        found = known.get(data[0], f"something unknown (kind {data[0]})")
        raise BadSketch(f"it holds {found}, not {scale.name}")
    if data[1] and not data[2]:
        raise BadSketch("damaged: the sum begins with a zero byte")
    return 2 + data[1]


def _consistent(sketch: Sketch) -> Sketch:
    """The same, if its sum is one that values in its bins can have."""
    lows = sketch.scale.lows
    least = most = 0
    for at, count in sketch.counts.items():
        least += lows[at] * count
        most += (lows[at + 1] - 1) * count
    if not least <= sketch.total <= most:
        raise BadSketch(
            f"damaged: {sketch.count} {sketch.scale.name} of these bins sum up to {least} at least "
            f"and {most} at most, not to {sketch.total}"
        )
    return sketch


def out_of_range(scale: Scale, number: int) -> BadSketch:
    return BadSketch(f"{number} is out of range: {scale.name} lie from 0 to {scale.lows[-1] - 1}")


def _binned(scale: Scale, values: "Values") -> tuple[dict[int, int], int]:
    """Bins with their numbers of values, and the sum."""
    if isinstance(values, array):
        return _binned_array(scale, values)
    if len(values) >= NUMPY_FROM_VALUES:
        from personad import sketch_arrays

        return sketch_arrays.binned(scale, values)
    lows, highest = scale.lows, scale.lows[-1] - 1
    counts: dict[int, int] = {}
    total = 0
    for value in values:
        try:
            number = index(value)
        except TypeError:
            raise BadSketch(f"{value!r} is no whole number") from None
        if not 0 <= number <= highest:
            raise out_of_range(scale, number)
        at = bisect_right(lows, number) - 1
        counts[at] = counts.get(at, 0) + 1
        total += number
    return counts, total


def _binned_array(scale: Scale, values: "array[int]") -> tuple[dict[int, int], int]:
    """The same of 64-bit integers, without numpy: a writer must not wait until it is loaded."""
    if not values:
        return {}, 0
    greatest = max(values)
    for number in (min(values), greatest):
        if not 0 <= number < scale.lows[-1]:
            raise out_of_range(scale, number)
    bins = _bins(scale)
    end = len(bins)
    if greatest < end:
        return dict(Counter(map(bins.__getitem__, values))), sum(values)
    counts = Counter([bins[number] for number in values if number < end])
    counts.update([bisect_right(scale.lows, each) - 1 for each in values if each >= end])
    return dict(counts), sum(values)


@cache
def _bins(scale: Scale) -> list[int]:
    """The bin of each small value."""
    bins: list[int] = []
    for number, (low, after) in enumerate(pairwise(scale.lows)):
        if low >= _SMALL:
            break
        bins += [number] * (min(after, _SMALL) - low)
    return bins
