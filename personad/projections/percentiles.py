"""Percentiles of ranges: the sketches of many slices and series, merged by slice and name."""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import apsw

from personad.projections import sketches
from personad.projections.asked import Asked, Slice
from personad.projections.summing import runs
from personad.sketch import Scale, Sketch, add_many, empty, merge, remove_many

_SERIES = "SELECT key, measure, provider, model, scorer FROM series WHERE kind = ?"
_FRESH = """
SELECT bucket, series, added, removed FROM sketch_fresh WHERE bucket >= ? AND bucket < ?
"""

G = TypeVar("G", bound=Hashable)


def series_of(db: apsw.Connection, asked: Asked, kind: str) -> dict[int, tuple[str, str, str, str]]:
    """Measure, provider, model and scorer of each series that the filter leaves in."""
    return {
        key: (measure, provider, model, scorer)
        for key, measure, provider, model, scorer in db.execute(_SERIES, (kind,))
        if (not asked.providers or provider in asked.providers)
        and (not asked.models or model in asked.models)
    }


def by_slice(
    db: apsw.Connection,
    asked: Asked,
    scale: Scale,
    slices: Sequence[Slice],
    groups: Mapping[int, G],
) -> list[dict[G, Sketch]]:
    """The values of each slice, by group; `groups` names that of each series."""
    stored: dict[tuple[int, G], list[bytes]] = defaultdict(list)
    for run in runs(asked, sketches.TIERS, slices):
        rows = db.execute(
            f"SELECT bucket, series, data FROM sketch_{run.tier} "  # noqa: S608 - a constant
            "WHERE bucket >= ? AND bucket < ? ORDER BY bucket",
            (run.low, run.high),
        )
        at = -1
        for bucket, series, data in rows:
            while at + 1 < len(run.lows) and run.lows[at + 1] <= bucket:
                at += 1
            if series in groups:
                stored[run.slices[at], groups[series]].append(data)
    found: list[dict[G, Sketch]] = [{} for _ in slices]
    for (place, group), some in stored.items():
        found[place][group] = merge(scale, some)
    _add_fresh(db, asked, scale, slices, groups, found)
    return found


def _add_fresh(
    db: apsw.Connection,
    asked: Asked,
    scale: Scale,
    slices: Sequence[Slice],
    groups: Mapping[int, G],
    found: list[dict[G, Sketch]],
) -> None:
    """Brings in what is noted and not worked in yet."""
    firsts = [each.first for each in slices]
    end = min(slices[-1].end, asked.end)
    late: dict[tuple[int, G], tuple[array[int], array[int]]] = {}
    for bucket, series, added, removed in db.execute(_FRESH, (firsts[0], end)):
        if series in groups:
            key = bisect_right(firsts, bucket) - 1, groups[series]
            pair = late.setdefault(key, (array("q"), array("q")))
            pair[0].frombytes(added)
            pair[1].frombytes(removed)
    for (place, group), (added, removed) in late.items():
        more = add_many(found[place].get(group, empty(scale)), added)
        found[place][group] = remove_many(more, removed) if removed else more


def together(scale: Scale, parts: Iterable[Sketch | None]) -> Sketch:
    """All values of all of them; None has none."""
    counts: dict[int, int] = defaultdict(int)
    total = 0
    for part in filter(None, parts):
        total += part.total
        for at, count in part.counts.items():
            counts[at] += count
    return Sketch(scale, counts, total)
