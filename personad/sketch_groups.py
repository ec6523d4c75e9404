"""The sketches of many groups at once, by numpy: byte for byte what `sketch` makes of each.

For folds afresh, where there are tens of thousands of them. What is out of the usual (sums beyond
what floats count exactly, damage) is left to those who make one after the other.
"""

from array import array
from collections.abc import Sequence

import numpy as np

from personad.sketch import Scale
from personad.sketch_arrays import EXACT, Bytes, Floats, Longs, fit, read_bins, tables

_LONGEST = 9
"""Bytes of a number."""


def merged(scale: Scale, groups: Sequence[int], stored: Sequence[bytes]) -> list[bytes] | None:
    """Of each group, the stored form of all its sketches together; `groups` names that of each
    sketch, and each of the numbers from 0 on has one. None: one by one."""
    read = read_bins(scale, stored)
    if read is None:
        return None
    bins, sums = read
    if not fit(scale, bins, sums.astype(np.float64)):
        return None
    of = np.asarray(groups, np.int64)
    totals = np.bincount(of, sums).astype(np.float64)
    filled = np.flatnonzero(bins.counts)
    keys = np.repeat(of, bins.lengths)[filled] * len(scale.answers) + bins.at[filled]
    return _stored(scale, keys, bins.counts[filled], totals)


def made_of(scale: Scale, values: "Sequence[array[int]]") -> list[bytes] | None:
    """Of each group of values, none of them empty, the stored form."""
    groups = np.repeat(np.arange(len(values)), [*map(len, values)])
    return made(scale, groups, np.frombuffer(b"".join(values), np.int64))


def made(scale: Scale, groups: Longs, values: Longs) -> list[bytes] | None:
    """Of each group, the stored form of its values; each of the numbers from 0 on has one."""
    table, _, _ = tables(scale)
    # Larger ones are rare, and their bins take longer to find.
    if values.min() < 0 or values.max() >= min(len(table), scale.lows[-1]):
        return None
    totals = np.bincount(groups, values).astype(np.float64)
    keys = groups * len(scale.answers) + table[values]
    return _stored(scale, keys, np.ones(len(keys)), totals)


def _stored(scale: Scale, keys: Longs, counts: Floats, totals: Floats) -> list[bytes] | None:
    """The stored form of each group; a key is a group and a bin, and may come several times."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    firsts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sums = np.add.reduceat(counts[order], firsts)
    if totals.max() >= EXACT or sums.max() >= EXACT:
        return None
    group, at = np.divmod(ordered[firsts], len(scale.answers))
    numbers = np.empty(2 * len(at), np.int64)
    is_next = np.concatenate(([False], group[1:] == group[:-1]))
    passed = at - np.where(is_next, np.concatenate(([0], at[:-1] + 1)), 0)
    numbers[0::2] = passed << 1 | 1
    numbers[1::2] = (sums.astype(np.int64) - 1) << 1
    is_said = np.ones(len(numbers), bool)
    is_said[0::2] = passed > 0
    data, lengths = _varints(numbers[is_said])
    ends = np.cumsum(np.bincount(np.repeat(group, 2)[is_said], lengths, len(totals)).astype(int))
    body = data.tobytes()
    found: list[bytes] = []
    start = 0
    for total, end in zip(totals.astype(np.int64).tolist(), ends.tolist(), strict=True):
        width = (total.bit_length() + 7) // 8
        head = bytes((scale.kind, width)) + total.to_bytes(width, "big")
        found.append(head + body[start:end])
        start = end
    return found


def _varints(numbers: Longs) -> tuple[Bytes, Longs]:
    """All of them in a row, and how many bytes each has."""
    lengths = np.ones(len(numbers), np.int64)
    for bits in range(7, 7 * _LONGEST, 7):
        lengths += numbers >> bits > 0
    starts = np.cumsum(lengths) - lengths
    data = np.zeros(int(lengths.sum()), np.uint8)
    for place in range(int(lengths.max(initial=0))):
        some = np.flatnonzero(lengths > place)
        goes_on = (lengths[some] > place + 1) * 128
        data[starts[some] + place] = (numbers[some] >> 7 * place) & 127 | goes_on
    return data, lengths
