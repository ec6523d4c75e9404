"""Percentiles of any range: a sketch for each quarter-hour and series, with hours and days over it.

A commit only puts its values down beside the sketches; once a second they are worked in. Whoever
asks adds both, so no answer depends on when that happens.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import apsw

from personad import bulk
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

_INTO_FRESH = "sketch_fresh (bucket, series, added, removed)"
_NOTED = """
SELECT bucket, series, length(added) + length(removed) FROM sketch_fresh ORDER BY id LIMIT ?
"""
_FRESH = """
SELECT id, bucket, series, kind, added, removed
FROM sketch_fresh JOIN series ON series.key = series ORDER BY id LIMIT ?
"""
FRESH = """(
  SELECT bucket, series, added, removed FROM sketch_fresh
  UNION ALL SELECT bucket, duration_series AS series, duration_ms, x'' FROM cost_fresh
  WHERE duration_series IS NOT NULL
  UNION ALL SELECT bucket, ttft_series AS series, ttft_ms, x'' FROM cost_fresh
  WHERE ttft_series IS NOT NULL
)"""
"""SQL for all values that are in no sketch yet."""
_FRESH_WITHIN = f"SELECT series, added, removed FROM {FRESH} WHERE bucket >= ? AND bucket < ?"  # noqa: S608
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

SLICE_ROWS, SLICE_SKETCHES, SLICE_VALUES = 1_500, 40, 30_000
"""Of what is worked in at once, with others waiting; each takes about as long, some 8 ms."""
_VALUE_BYTES = 8

Key = tuple[int, int]
"""Quarter-hour and series."""
Noted = tuple[int, int, str]
"""The same, and the series' kind."""
Make = Callable[[Scale, Sequence["array[int]"]], list[bytes] | None]
"""Stored forms of several groups of values; None: to be made one by one."""
Merge = Callable[[Scale, Sequence[int], Sequence[bytes]], list[bytes] | None]
"""Stored forms of groups of sketches; the numbers say which is of which."""


def note(
    book: Book, added: Mapping[Key, Sequence[int]], removed: Mapping[Key, Sequence[int]]
) -> None:
    """Takes values in, and others back out."""
    values: list[bulk.Value] = []
    for key in {**added, **removed}:
        values += key
        values += [as_stored(told.get(key, ())) for told in (added, removed)]
    bulk.insert(book.db, _INTO_FRESH, 4, "", values)


def note_stored(book: Book, added: Mapping[Key, bytes]) -> None:
    """Takes values in that are stored already, as `as_stored` has them."""
    values: list[bulk.Value] = []
    for key, some in added.items():
        values += (*key, some, b"")
    bulk.insert(book.db, _INTO_FRESH, 4, "", values)


def as_stored(values: Sequence[int]) -> bytes:
    """As they lie beside the sketches."""
    return array("q", values).tobytes()


def values_of(stored: bytes) -> "array[int]":
    values = array("q")
    values.frombytes(stored)
    return values


def has_fresh(db: apsw.Connection) -> bool:
    return db.execute(_HAS_FRESH).fetchone() is not None


def work_slice_in(db: apsw.Connection) -> bool:
    """Brings noted rows into their sketches, as many as take but a moment; whether there are more.

    It is the sketches that take long, each as long as hundreds of values, so the more rows the
    better; but many rows may be of as many sketches.
    """
    keys: set[Key] = set()
    rows = size = 0
    for bucket, series, row_bytes in db.execute(_NOTED, (SLICE_ROWS,)):
        keys.add((bucket, series))
        size += row_bytes
        if rows and (len(keys) > SLICE_SKETCHES or size > SLICE_VALUES * _VALUE_BYTES):
            break
        rows += 1
    else:
        work_in(db, SLICE_ROWS)
        return rows == SLICE_ROWS
    work_in(db, rows)
    return True


def work_in(db: apsw.Connection, most: int, make: "Make | None" = None) -> int:
    """Brings up to so many noted rows into their sketches; how many it were. `make` makes those of
    a scale that there weren't, all at once, where it can."""
    rows = list(db.execute(_FRESH, (most,)))
    values: dict[tuple[int, int, str], tuple[array[int], array[int]]] = {}
    for _, bucket, series, kind, added, removed in rows:
        pair = values.setdefault((bucket, series, kind), (array("q"), array("q")))
        pair[0].frombytes(added)
        pair[1].frombytes(removed)
    empty = {kind: updated(scale, None, ()) for kind, scale in SCALES.items()}
    made = _made(db, values, make) if make is not None else {}
    db.executemany(_PUT, [(*key[:2], data) for key, data in sorted(made.items())])
    for (bucket, series, kind), (added, removed) in values.items():
        if (bucket, series, kind) in made:
            continue
        found = db.execute(_GET, (bucket, series)).fetchone()
        data = updated(SCALES[kind], found[0] if found else None, added, removed)
        if data == empty[kind]:
            db.execute(_DROP, (bucket, series))
        else:
            db.execute(_PUT, (bucket, series, data))
    if rows:
        db.execute(_WORKED_IN, (rows[-1][0],))
    return len(rows)


def _made(
    db: apsw.Connection, values: "Mapping[Noted, tuple[array[int], array[int]]]", make: "Make"
) -> dict["Noted", bytes]:
    found: dict[Noted, bytes] = {}
    for kind, scale in SCALES.items():
        new = {
            key: added
            for key, (added, removed) in values.items()
            if key[2] == kind and added and not removed
            if db.execute(_GET, key[:2]).fetchone() is None
        }
        made = make(scale, list(new.values())) if new else None
        if made is not None:
            found.update(zip(new, made, strict=True))
    return found


def are_large(db: apsw.Connection, first: int, end: int) -> bool:
    """Whether numpy will be used to merge what these quarter-hours hold."""
    return db.execute(_LARGE, (first, end, NUMPY_FROM_BYTES)).fetchone() is not None


def refold(
    db: apsw.Connection,
    tier: Tier,
    day: int,
    first: int,
    end: int,
    together: Merge | None = None,
) -> None:
    """Merges the sketches of these quarter-hours anew: a stale day's, or those of some hours.
    `together` does it for many at once, where it can."""
    found: dict[str, list[tuple[int, int, bytes]]] = defaultdict(list)
    for hour, series, kind, data in db.execute(_OF_DAY, (first, end)):
        found[kind].append((hour if tier == "hour" else day, series, data))
    leaders = _leaders(db)
    low, high = (first // 4, end // 4) if tier == "hour" else (day, day + 1)
    for name in ("sketch", "sketch_all"):
        db.execute(f"DELETE FROM {name}_{tier} WHERE bucket >= ? AND bucket < ?", (low, high))  # noqa: S608
    for kind, some in found.items():
        scale = SCALES[kind]
        merged = _merged(scale, some, together)
        if merged is None:
            merged, classes = _one_by_one(scale, some, leaders)
        else:
            led = [(bucket, leaders[series], data) for bucket, series, data in merged]
            both = _merged(scale, led, together)
            classes = both if both is not None else _one_by_one(scale, led, leaders)[1]
        for table, rows in ((f"sketch_{tier}", merged), (f"sketch_all_{tier}", classes)):
            into = f"INSERT INTO {table} (bucket, series, data) VALUES (?, ?, ?)"  # noqa: S608
            db.executemany(into, sorted(rows))


def _merged(
    scale: Scale, stored: Sequence[tuple[int, int, bytes]], together: Merge | None
) -> list[tuple[int, int, bytes]] | None:
    if together is None:
        return None
    numbers: dict[Key, int] = {}
    groups = [numbers.setdefault((bucket, series), len(numbers)) for bucket, series, _ in stored]
    done = together(scale, groups, [data for *_, data in stored])
    if done is None:
        return None
    return [(*key, data) for key, data in zip(numbers, done, strict=True)]


def _one_by_one(
    scale: Scale, stored: Sequence[tuple[int, int, bytes]], leaders: Mapping[int, int]
) -> tuple[list[tuple[int, int, bytes]], list[tuple[int, int, bytes]]]:
    """By series, and by what leads them."""
    found: dict[Key, list[bytes]] = defaultdict(list)
    for bucket, series, data in stored:
        found[bucket, series].append(data)
    classes: dict[Key, Sketch] = {}
    merged: list[tuple[int, int, bytes]] = []
    for (bucket, series), some in found.items():
        sketch = merge(scale, some)
        # There is one form of a sketch.
        merged.append((bucket, series, some[0] if len(some) == 1 else encode(sketch)))
        together = bucket, leaders[series]
        known = classes.get(together)
        classes[together] = sketch if known is None else _both(known, sketch)
    return merged, [(*key, encode(sketch)) for key, sketch in classes.items()]


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
