"""Percentiles of any range: a sketch for each quarter-hour and series, with hours and days over it.

A commit only puts its values down beside the sketches; once a second they are worked in. Whoever
asks adds both, so no answer depends on when that happens.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import apsw

from personad.projections.book import Book
from personad.projections.buckets import Piece, Tier
from personad.sketch import (
    LATENCIES,
    NUMPY_FROM_BYTES,
    SCORES,
    Scale,
    Sketch,
    add_many,
    encode,
    merge,
    remove_many,
)
from personad.sketch import update as updated

TIERS: tuple[Tier, ...] = ("quarter", "hour", "day")
TABLES: tuple[str, ...] = tuple(f"sketch_{tier}" for tier in TIERS)
ALL_SCHEMA = "".join(
    f"""
-- Of all series of one kind, measure and scorer together; under the number of the first of them.
CREATE TABLE sketch_all_{tier} (
  bucket INTEGER NOT NULL,
  series INTEGER NOT NULL REFERENCES series (key),
  data BLOB NOT NULL,
  PRIMARY KEY (bucket, series)
) STRICT, WITHOUT ROWID;
"""
    for tier in ("hour", "day")
)
SCHEMA = (
    "".join(
        f"""
CREATE TABLE sketch_{tier} (
  bucket INTEGER NOT NULL,
  series INTEGER NOT NULL REFERENCES series (key),
  data BLOB NOT NULL,
  PRIMARY KEY (bucket, series)
) STRICT, WITHOUT ROWID;
"""
        for tier in TIERS
    )
    + ALL_SCHEMA
    + """
-- Values that are not in their quarter-hour's sketch yet: 64-bit integers of this machine.
CREATE TABLE sketch_fresh (
  id INTEGER PRIMARY KEY,
  bucket INTEGER NOT NULL,
  series INTEGER NOT NULL REFERENCES series (key),
  added BLOB NOT NULL,
  removed BLOB NOT NULL
) STRICT;
"""
)
SCALES: dict[str, Scale] = {"latency": LATENCIES, "score": SCORES}
"""By the kind of a series."""

_NOTE = "INSERT INTO sketch_fresh (bucket, series, added, removed) VALUES (?, ?, ?, ?)"
_FRESH = """
SELECT id, bucket, series, kind, added, removed
FROM sketch_fresh JOIN series ON series.key = series ORDER BY id LIMIT ?
"""
_FRESH_WITHIN = """
SELECT series, added, removed FROM sketch_fresh WHERE bucket >= ? AND bucket < ?
"""
_HAS_FRESH = "SELECT 1 FROM sketch_fresh LIMIT 1"
_WORKED_IN = "DELETE FROM sketch_fresh WHERE id <= ?"
_GET = "SELECT data FROM sketch_quarter WHERE bucket = ? AND series = ?"
_PUT = """
INSERT INTO sketch_quarter (bucket, series, data) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET data = excluded.data
"""
_DROP = "DELETE FROM sketch_quarter WHERE bucket = ? AND series = ?"
_KIND = "SELECT kind FROM series WHERE key = ?"
_OF_DAY = """
SELECT bucket >> 2, series, kind, data FROM sketch_quarter JOIN series ON series.key = series
WHERE bucket >= ? AND bucket < ?
"""
_CLASSES = "SELECT key, kind, measure, scorer FROM series ORDER BY key"

_LARGE = """
SELECT 1 FROM sketch_quarter WHERE bucket >= ? AND bucket < ?
GROUP BY series HAVING sum(length(data)) >= ? LIMIT 1
"""

Key = tuple[int, int]
"""Quarter-hour and series."""


def note(
    book: Book, added: Mapping[Key, Sequence[int]], removed: Mapping[Key, Sequence[int]]
) -> None:
    """Takes values in, and others back out."""
    book.db.executemany(
        _NOTE,
        [
            (
                *key,
                array("q", added.get(key, ())).tobytes(),
                array("q", removed.get(key, ())).tobytes(),
            )
            for key in {**added, **removed}
        ],
    )


def values_of(stored: bytes) -> "array[int]":
    values = array("q")
    values.frombytes(stored)
    return values


def has_fresh(db: apsw.Connection) -> bool:
    return db.execute(_HAS_FRESH).fetchone() is not None


def work_in(db: apsw.Connection, most: int) -> int:
    """Brings up to so many noted rows into their sketches; how many it were."""
    rows = list(db.execute(_FRESH, (most,)))
    values: dict[tuple[int, int, str], tuple[array[int], array[int]]] = {}
    for _, bucket, series, kind, added, removed in rows:
        pair = values.setdefault((bucket, series, kind), (array("q"), array("q")))
        pair[0].frombytes(added)
        pair[1].frombytes(removed)
    empty = {kind: updated(scale, None, ()) for kind, scale in SCALES.items()}
    for (bucket, series, kind), (added, removed) in values.items():
        found = db.execute(_GET, (bucket, series)).fetchone()
        data = updated(SCALES[kind], found[0] if found else None, added, removed)
        if data == empty[kind]:
            db.execute(_DROP, (bucket, series))
        else:
            db.execute(_PUT, (bucket, series, data))
    if rows:
        db.execute(_WORKED_IN, (rows[-1][0],))
    return len(rows)


def are_large(db: apsw.Connection, first: int, end: int) -> bool:
    """Whether numpy will be used to merge what these quarter-hours hold."""
    return db.execute(_LARGE, (first, end, NUMPY_FROM_BYTES)).fetchone() is not None


def refold(db: apsw.Connection, tier: Tier, day: int, first: int, end: int) -> None:
    """Merges the sketches of these quarter-hours anew: a stale day's, or those of some hours."""
    found: dict[tuple[int, int, str], list[bytes]] = defaultdict(list)
    for hour, series, kind, data in db.execute(_OF_DAY, (first, end)):
        found[hour if tier == "hour" else day, series, kind].append(data)
    leaders = _leaders(db)
    classes: dict[tuple[int, int], Sketch] = {}
    merged: list[tuple[int, int, bytes]] = []
    for (bucket, series, kind), some in found.items():
        sketch = merge(SCALES[kind], some)
        # There is one form of a sketch.
        merged.append((bucket, series, some[0] if len(some) == 1 else encode(sketch)))
        together = bucket, leaders[series]
        known = classes.get(together)
        classes[together] = sketch if known is None else _both(known, sketch)
    low, high = (first // 4, end // 4) if tier == "hour" else (day, day + 1)
    rows = [(*key, encode(sketch)) for key, sketch in classes.items()]
    for table, some_rows in ((f"sketch_{tier}", merged), (f"sketch_all_{tier}", rows)):
        db.execute(f"DELETE FROM {table} WHERE bucket >= ? AND bucket < ?", (low, high))  # noqa: S608
        db.executemany(
            f"INSERT INTO {table} (bucket, series, data) VALUES (?, ?, ?)",  # noqa: S608
            some_rows,
        )


def _leaders(db: apsw.Connection) -> dict[int, int]:
    """Of each series, the first of its kind, measure and scorer."""
    first: dict[tuple[str, str, str], int] = {}
    return {key: first.setdefault(tuple(what), key) for key, *what in db.execute(_CLASSES)}


def _both(one: Sketch, other: Sketch) -> Sketch:
    counts = dict(one.counts)
    for at, count in other.counts.items():
        counts[at] = counts.get(at, 0) + count
    return Sketch(one.scale, counts, one.total + other.total)


def within(
    db: apsw.Connection, pieces: Iterable[Piece], first: int, end: int, series: Mapping[int, str]
) -> dict[int, Sketch]:
    """The values of a range, by series; `series` names the kind of each that is asked for.

    `pieces` make up the quarter-hours from `first` on and before `end`.
    """
    stored: dict[int, list[bytes]] = defaultdict(list)
    for tier, low, high in pieces:
        rows = db.execute(
            f"SELECT series, data FROM sketch_{tier} WHERE bucket >= ? AND bucket < ?",  # noqa: S608
            (low, high),
        )
        for key, data in rows:
            if key in series:
                stored[key].append(data)
    found = {key: merge(SCALES[series[key]], some) for key, some in stored.items()}
    late: dict[int, tuple[array[int], array[int]]] = {}
    for key, added, removed in db.execute(_FRESH_WITHIN, (first, end)):
        if key in series:
            pair = late.setdefault(key, (array("q"), array("q")))
            pair[0].frombytes(added)
            pair[1].frombytes(removed)
    for key, (added, removed) in late.items():
        base = found.get(key) or Sketch(SCALES[series[key]], {}, 0)
        found[key] = (
            remove_many(add_many(base, added), removed) if removed else add_many(base, added)
        )
    return found
