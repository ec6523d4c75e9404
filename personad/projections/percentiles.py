"""Percentiles of ranges: the sketches of many slices and series, merged by slice and group."""

import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import apsw

from personad.projections import sketches
from personad.projections.asked import Asked, Slice
from personad.projections.summing import runs
from personad.sketch import Scale, add_many, empty

if TYPE_CHECKING:
    from personad.sketch_grid import Grid

_SERIES = "SELECT key, measure, provider, model, scorer FROM series WHERE kind = ?"
_FRESH = f"""
SELECT bucket, series, added, removed FROM {sketches.FRESH} WHERE bucket >= ? AND bucket < ?
"""  # noqa: S608 - a constant of ours
_CELLS_AT_ONCE = 500_000
"""Counts that are held at a time, in eight bytes each."""

G = TypeVar("G")
H = TypeVar("H")
K = TypeVar("K")


class Told(NamedTuple):
    """What is told of some values."""

    n: int
    total: int
    quantiles: Sequence[float | None]

    @property
    def mean(self) -> float | None:
        return self.total / self.n if self.n else None


@dataclass(frozen=True)
class Wanted(Generic[G, H]):
    """Which sketches, and what of them."""

    scale: Scale
    groups: Mapping[int, G]
    """What each series belongs to; others are left out."""
    quantiles: Sequence[float]
    metric: Callable[[G], H]
    """What a group is of: in all together, groups of one metric are one."""
    leaders: Set[int] = frozenset()
    """Where groups are whole classes, see `leaders_of`."""


def series_of(db: apsw.Connection, asked: Asked, kind: str) -> dict[int, tuple[str, str, str, str]]:
    """Measure, provider, model and scorer of each series that the filter leaves in."""
    return {
        key: (measure, provider, model, scorer)
        for key, measure, provider, model, scorer in db.execute(_SERIES, (kind,))
        if (not asked.providers or provider in asked.providers)
        and (not asked.models or model in asked.models)
    }


def leaders_of(db: apsw.Connection, kind: str, groups: Mapping[int, object]) -> Set[int]:
    """The first series of each measure and scorer, where a group has all series of such a class or
    none: hours and days of classes are kept merged, so that how many models there are slows nobody
    down who asks about all of them. Else none."""
    classes: dict[tuple[str, str], list[int]] = {}
    for key, measure, _, _, scorer in db.execute(_SERIES, (kind,)):
        classes.setdefault((measure, scorer), []).append(key)
    found = set()
    for keys in classes.values():
        of = {groups.get(key) for key in keys}
        if len(of) > 1:
            return frozenset()
        if None not in of:
            found.add(min(keys))
    return found


def of_slices(
    db: apsw.Connection, asked: Asked, slices: Sequence[Slice], wanted: Wanted[G, H]
) -> tuple[list[dict[G, Told]], dict[H, Told]]:
    """What is told of each slice, by group, and of all slices together, by metric; only of those
    with values."""
    from personad.sketch_grid import Grid  # numpy: a daemon starts without it

    groups = list(dict.fromkeys(wanted.groups.values()))
    metrics = list(dict.fromkeys(map(wanted.metric, groups)))
    whole = Grid(wanted.scale, len(metrics))
    found: list[dict[G, Told]] = []
    at_once = max(1, _CELLS_AT_ONCE // (len(groups) * len(wanted.scale.answers) or 1))
    for first in range(0, len(slices), at_once):
        part = slices[first : first + at_once]
        grid = Grid(wanted.scale, len(part) * len(groups))
        _fill(grid, db, asked, part, wanted, groups)
        told = _told(grid, wanted.quantiles)
        found += [
            _with_values(groups, told[begin : begin + len(groups)])
            for begin in range(0, len(told), len(groups) or 1)
        ]
        for column, group in enumerate(groups):
            row = metrics.index(wanted.metric(group))
            whole.counts[row] += grid.counts[column :: len(groups)].sum(axis=0)
            whole.totals[row] += sum(grid.totals[column :: len(groups)])
    found += [{} for _ in slices[len(found) :]]
    return found, _with_values(metrics, _told(whole, wanted.quantiles))


def _with_values(names: Sequence[K], told: Sequence[Told]) -> dict[K, Told]:
    return {name: each for name, each in zip(names, told, strict=True) if each.n}


def _told(grid: "Grid", quantiles: Sequence[float]) -> list[Told]:
    rows = zip(grid.sizes, grid.totals, grid.quantiles(quantiles), strict=True)
    return [Told(*row) for row in rows]


def _fill(
    grid: "Grid",
    db: apsw.Connection,
    asked: Asked,
    slices: Sequence[Slice],
    wanted: Wanted[G, H],
    groups: Sequence[G],
) -> None:
    """Brings in what is stored, and what is noted and not worked in yet."""
    rank = {group: place for place, group in enumerate(groups)}
    columns = {series: rank[group] for series, group in wanted.groups.items()}
    rows: list[int] = []
    stored: list[bytes] = []
    for place, series, data in _stored(db, asked, slices, columns, wanted.leaders):
        rows.append(place * len(groups) + columns[series])
        stored.append(data)
    grid.merge(rows, stored)
    late: dict[int, tuple[array[int], array[int]]] = {}
    firsts, end = [each.first for each in slices], min(slices[-1].end, asked.end)
    for bucket, series, added, removed in db.execute(_FRESH, (firsts[0], end)):
        if series in columns:
            row = (bisect_right(firsts, bucket) - 1) * len(groups) + columns[series]
            pair = late.setdefault(row, (array("q"), array("q")))
            pair[0].frombytes(added)
            pair[1].frombytes(removed)
    nothing = empty(wanted.scale)
    for row, (added, removed) in late.items():
        grid.add(row, add_many(nothing, added))
        grid.add(row, add_many(nothing, removed), -1)


def _stored(
    db: apsw.Connection,
    asked: Asked,
    slices: Sequence[Slice],
    wanted: Iterable[int],
    leaders: Set[int],
) -> Iterator[tuple[int, int, bytes]]:
    """Slice, series and sketch of the wanted series."""
    each, all_ = (json.dumps(list(some)) for some in (wanted, leaders))
    for run in runs(asked, sketches.TIERS, slices):
        are_merged = leaders and run.tier != "quarter"
        table = f"sketch_all_{run.tier}" if are_merged else f"sketch_{run.tier}"
        rows = db.execute(
            f"SELECT bucket, series, data FROM {table} "  # noqa: S608 - a constant
            "WHERE bucket >= ? AND bucket < ? AND series IN (SELECT value FROM json_each(?)) "
            "ORDER BY bucket",
            (run.low, run.high, all_ if are_merged else each),
        )
        at = -1
        for bucket, series, data in rows:
            while at + 1 < len(run.lows) and run.lows[at + 1] <= bucket:
                at += 1
            yield run.slices[at], series, data
