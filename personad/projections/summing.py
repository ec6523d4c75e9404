"""Sums of a range out of the buckets that make it up: in all, by key, or by slices of time."""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import apsw

from personad.bulk import SUM_MAX
from personad.projections.asked import Asked, Slice
from personad.projections.batch_costs import exact_sum
from personad.projections.buckets import QUARTERS_AN_HOUR, Buckets, Family, Tier, cover

By = Literal["bucket", "key", "experiment", "batch"]
Sums = dict[int, list[int]]
"""By slice or key."""
_SHORTEST_DAY = 23 * QUARTERS_AN_HOUR
"""In less there is no whole day, or one that zones have on a change of their own."""
_SEEKS_MAX = 20_000
"""Up to so many (bucket, key) are looked up one by one; beyond that a scan is faster."""


Outcome = Literal["error", "unknown"]


class Only(NamedTuple):
    """Of the calls that had this outcome."""

    outcome: Outcome
    column: str


class Without(NamedTuple):
    """Of all other calls."""

    outcome: Outcome
    column: str


Sum = str | Only | Without
"""A column of all calls, or of some of them."""


class Columns(NamedTuple):
    """What is summed of a family's rows."""

    family: Family
    sums: tuple[Sum, ...]


class Run(NamedTuple):
    """Adjacent buckets of a tier, which may be of several slices."""

    tier: Tier
    low: int
    high: int
    lows: list[int]
    """Where each part begins,"""
    slices: list[int]
    """and of which slice it is."""


def runs(asked: Asked, tiers: Sequence[Tier], slices: Sequence[Slice]) -> list[Run]:
    """The fewest runs of buckets that make up the slices."""
    found: dict[tuple[Tier, int], Run] = {}
    for place, part in enumerate(slices):
        for tier, low, high in _pieces(asked, tiers, part):
            before = found.pop((tier, low), None)
            lows, places = (before.lows, before.slices) if before else ([], [])
            lows.append(low)
            places.append(place)
            found[tier, high] = Run(tier, before.low if before else low, high, lows, places)
    return list(found.values())


def _pieces(asked: Asked, tiers: Sequence[Tier], part: Slice) -> Iterator[tuple[Tier, int, int]]:
    end = min(part.end, asked.end)
    if end <= part.first:
        return
    if end - part.first <= QUARTERS_AN_HOUR:
        hour, into = divmod(part.first, QUARTERS_AN_HOUR)
        is_whole = not into and end - part.first == QUARTERS_AN_HOUR
        if is_whole and "hour" in tiers and hour // 24 not in asked.stale["hour"]:
            yield "hour", hour, hour + 1
        else:
            yield "quarter", part.first, end
    else:
        if end - part.first < _SHORTEST_DAY:
            tiers = [tier for tier in tiers if tier != "day"]
        yield from cover(part.first, end, tiers, asked.stale, asked.home)


def whole(asked: Asked) -> list[Slice]:
    """The range in one piece."""
    return [Slice("", asked.first, asked.end)]


def by_slice(
    db: apsw.Connection, asked: Asked, several: Sequence[Columns], slices: Sequence[Slice]
) -> list[list[list[int]]]:
    """The sums of each slice, of each of these."""
    tiers = buckets_of(asked, several[0].family, ()).tiers
    together = runs(asked, tiers, slices)
    return [_by_slice(db, asked, columns, len(slices), together) for columns in several]


def _by_slice(
    db: apsw.Connection, asked: Asked, columns: Columns, count: int, together: Sequence[Run]
) -> list[list[int]]:
    found = [[0] * len(columns.sums) for _ in range(count)]
    for place, (_, *sums) in _of_slices(db, asked, columns, together, ("bucket",)):
        _add(found[place], sums)
    return [_bounded(each) for each in found]


def by_slice_and_key(
    db: apsw.Connection, asked: Asked, columns: Columns, slices: Sequence[Slice]
) -> list[Sums]:
    """The sums of each slice, by the family's key."""
    found = [_sums_of(columns) for _ in slices]
    together = runs(asked, buckets_of(asked, columns.family, ()).tiers, slices)
    for place, (_, key, *sums) in _of_slices(db, asked, columns, together, ("bucket", "key")):
        _add(found[place][key], sums)
    return [_all_bounded(each) for each in found]


def by_key(db: apsw.Connection, asked: Asked, columns: Columns, by: By) -> Sums:
    """The sums of the whole range, by the numbers of that dimension."""
    found: Sums = {}
    buckets = buckets_of(asked, columns.family, (by,))
    for run in runs(asked, buckets.tiers, whole(asked)):
        for key, *sums in rows(db, asked, columns, buckets, run, (by,)):
            known = found.setdefault(key, sums)
            if known is not sums:
                _add(known, sums)
    return _all_bounded(found)


def by_batch_and_key(
    db: apsw.Connection, asked: Asked, columns: Columns
) -> Iterator[tuple[int, ...]]:
    """The numbers of a batch and of the family's key, and then their sums: of the whole range where
    they come once, else they are to be added."""
    by: tuple[By, ...] = ("batch", "key")
    buckets = buckets_of(asked, columns.family, by)
    for run in runs(asked, buckets.tiers, whole(asked)):
        yield from rows(db, asked, columns, buckets, run, by)


def total(db: apsw.Connection, asked: Asked, columns: Columns) -> list[int]:
    """The sums of the whole range."""
    found = [0] * len(columns.sums)
    buckets = buckets_of(asked, columns.family, ())
    for run in runs(asked, buckets.tiers, whole(asked)):
        for sums in rows(db, asked, columns, buckets, run, ()):
            _add(found, sums)
    return _bounded(found)


def _of_slices(
    db: apsw.Connection, asked: Asked, columns: Columns, together: Sequence[Run], by: Sequence[By]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Rows with the place of their slice; the bucket is a row's first column."""
    buckets = buckets_of(asked, columns.family, by)
    for run in together:
        for row in rows(db, asked, columns, buckets, run, by):
            yield run.slices[bisect_right(run.lows, row[0]) - 1], row


def _sums_of(columns: Columns) -> Sums:
    return defaultdict(lambda: [0] * len(columns.sums))


def buckets_of(asked: Asked, family: Family, by: Sequence[By]) -> Buckets:
    """The table family that knows all that is asked for."""
    if asked.batches is not None or "batch" in by:
        return family.batch
    if asked.experiments is not None or "experiment" in by:
        return family.experiment
    return family.total


def _add(sums: list[int], more: Sequence[int | None]) -> None:
    for place, each in enumerate(more):
        if each:
            sums[place] += each


def _bounded(sums: list[int]) -> list[int]:
    """What the wire can carry."""
    return sums if max(sums) <= SUM_MAX else [min(each, SUM_MAX) for each in sums]


def _all_bounded(found: Sums) -> Sums:
    # Nearly always nothing is beyond, and to look at each takes as long as adding them up did.
    if max(map(max, found.values()), default=0) <= SUM_MAX:
        return found
    return {key: _bounded(sums) for key, sums in found.items()}


def rows(
    db: apsw.Connection,
    asked: Asked,
    columns: Columns,
    buckets: Buckets,
    run: Run,
    by: Sequence[By],
) -> Iterator[tuple[int, ...]]:
    """What each row is by, and then its sums, of a run of buckets; it may come twice."""
    yield from _rows(db, asked, columns, _source(asked, buckets, run), by)
    if asked.has_fresh and columns.family.has_fresh and run.tier == "quarter":
        yield from _rows(db, asked, columns, _fresh_source(asked, columns.family, buckets, run), by)


def _rows(
    db: apsw.Connection, asked: Asked, columns: Columns, source: "_Source", by: Sequence[By]
) -> Iterator[tuple[int, ...]]:
    for sums in ("sum({})".format, exact_sum):
        sql, values = _query(asked, columns, source, by, sums)
        try:
            yield from db.execute(sql, values).fetchall()  # type: ignore[misc]
            return
        except apsw.SQLError as error:
            # SQL's own sum fails beyond 63 bits, and one that doesn't takes twice as long.
            if "integer overflow" not in str(error):
                raise


class _Source(NamedTuple):
    """Where rows are: SQL for them as `s`, and more that is wanted of them."""

    tables: str
    where: str
    values: dict[str, str | int]


def _query(
    asked: Asked,
    columns: Columns,
    source: _Source,
    by: Sequence[By],
    summed: Callable[[str], str],
) -> tuple[str, dict[str, str | int]]:
    values = dict(source.values)
    key = columns.family.key
    where = f"s.bucket >= :low AND s.bucket < :high{source.where}"
    if key in asked.kinds:
        values["kinds"] = asked.kinds[key]
        where += f" AND s.{key} IN (SELECT value FROM json_each(:kinds))"  # noqa: S608
    sums = []
    for each in columns.sums:
        outcome = None if isinstance(each, str) else each.outcome
        # Of one that no call ever had, nothing need be looked up.
        if outcome in asked.outcomes:
            values[outcome] = asked.outcomes[outcome]
        sums.append(summed(_value(each, key, outcome in asked.outcomes)))
    selected = ", ".join([*(f"s.{key if each == 'key' else each}" for each in by), *sums])
    places = ", ".join(map(str, range(1, len(by) + 1)))
    grouped = f" GROUP BY {places} ORDER BY {places}" if by else ""
    return f"SELECT {selected} FROM {source.tables} WHERE {where}{grouped}", values  # noqa: S608


def _value(each: Sum, key: str, is_known: bool) -> str:
    """SQL for what is summed, of a row `s`."""
    if isinstance(each, str):
        return f"s.{each}"
    column = f"s.{each.column}"
    if not is_known:
        return "0" if isinstance(each, Only) else column
    condition = f"s.{key} IN (SELECT value FROM json_each(:{each.outcome}))"  # noqa: S608
    return (
        f"iif({condition}, {column}, 0)"
        if isinstance(each, Only)
        else f"iif({condition}, 0, {column})"
    )


def _source(asked: Asked, buckets: Buckets, run: Run) -> _Source:
    """Those of wanted experiments or batches are looked up by their key."""
    table = f"{buckets.name}_{run.tier}"
    values: dict[str, str | int] = {"low": run.low, "high": run.high}
    if "batch" in buckets.keys and asked.batches is not None:
        values["batches"] = json.dumps(asked.batches)
        index = buckets.name.removesuffix("_batch") + "_of_batch"
        wanted = "json_each(:batches) AS b CROSS JOIN"
        return _Source(f"{wanted} {table} AS s INDEXED BY {index} ON s.batch = b.value", "", values)
    if "experiment" in buckets.keys and asked.experiments is not None:
        values["experiments"] = json.dumps(asked.experiments)
        if len(asked.experiments) * (run.high - run.low) > _SEEKS_MAX:
            wanted = "SELECT value FROM json_each(:experiments)"
            some = f"(SELECT * FROM {table} WHERE experiment IN ({wanted})) AS s"  # noqa: S608
            return _Source(some, "", values)
        wanted = "json_each(:experiments) AS e CROSS JOIN"
        values["buckets"] = json.dumps(list(range(run.low, run.high)))
        tables = (
            f"json_each(:buckets) AS t CROSS JOIN {wanted} {table} AS s "
            "ON s.bucket = t.value AND s.experiment = e.value"
        )
        return _Source(tables, "", values)
    return _Source(f"{table} AS s", "", values)


def _fresh_source(asked: Asked, family: Family, buckets: Buckets, run: Run) -> _Source:
    """The same of what is not in the table yet: all in one place, of which there is little."""
    values: dict[str, str | int] = {"low": run.low, "high": run.high}
    where = ""
    for name, wanted in (("batch", asked.batches), ("experiment", asked.experiments)):
        if name in buckets.keys:
            if wanted is None:
                where += f" AND s.{name} IS NOT NULL"
            else:
                values[name] = json.dumps(wanted)
                where += f" AND s.{name} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608
    return _Source(f"{family.fresh} AS s", where, values)
