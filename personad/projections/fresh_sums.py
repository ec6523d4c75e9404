"""What calls did that is not in the tables yet: what a commit puts down of them, in one place.

Added to the sums in all, by experiment and by batch at once, calls of one kind would be three rows
to be found and written anew, on pages of their own; and what they took, two more. So of each kind
there is one row, as it is, one after the other; they are brought into the tables together once they
are many, or when nothing else is to be done. Whoever asks adds both.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import apsw

from personad import bulk
from personad.bulk import SUM_MAX
from personad.projections import sketches
from personad.projections.book import Book
from personad.projections.buckets import Buckets, Family, Groups, Place, collect

FRESH_MOST, CALLS_MOST = 1_000, 16_000
"""So many rows are put down, or of so many calls, before they are brought into the tables, which
takes some 3 ms; whoever asks goes through them."""
DIRECT_FROM = 250
"""So many of one commit are brought into the tables at once: they are of as many rows there."""
_TOOK = ("duration_series", "duration_ms", "ttft_series", "ttft_ms")

Values = tuple[int, bytes] | tuple[None, None]
"""A series, and what belongs into its sketch; see `sketches`."""
NOTHING: Values = (None, None)


class Row(NamedTuple):
    """Calls of one kind."""

    place: Place
    sums: Sequence[int]
    durations: Values = NOTHING
    firsts: Values = NOTHING


def schema(family: Family) -> str:
    sums = "".join(f"  {each} INTEGER NOT NULL,\n" for each in family.sums)
    return f"""
-- What is not in the tables by quarter-hour yet, nor noted for sketches.
CREATE TABLE {family.fresh} (
  id INTEGER PRIMARY KEY,
  bucket INTEGER NOT NULL,
  {family.key} INTEGER NOT NULL,
  experiment INTEGER,
  batch INTEGER,
{sums}  duration_series INTEGER,
  duration_ms BLOB,                   -- 64-bit integers of this machine
  ttft_series INTEGER,
  ttft_ms BLOB                        -- likewise
) STRICT;
"""


def are_many(book: Book, family: Family) -> bool:
    """Whether they had better be worked in soon; twice as many are not kept."""
    return _times(_waiting(book, family), 1)


def add(book: Book, family: Family, rows: Sequence[Row]) -> None:
    """Takes rows in, none of which takes anything back."""
    if not rows:
        return
    if len(rows) >= DIRECT_FROM:
        groups: dict[Place, Sequence[int]] = {}
        for row in rows:
            collect(groups, row.place, row.sums)
        family.add(book, groups)
        _note(book, [(row.place[0], *some) for row in rows for some in row[2:]])
        return
    before = _waiting(book, family)
    values: list[bulk.Value] = []
    for place, sums, durations, firsts in rows:
        if max(sums) > SUM_MAX:
            sums = [min(each, SUM_MAX) for each in sums]
        values += (*place, *sums, *durations, *firsts)
    bulk.insert(book.db, _into(family), _width(family), "", values)
    book.touch({row.place[0] for row in rows})
    _are(book, family, before, len(rows), sum([row.sums[0] for row in rows]))


def add_one(book: Book, family: Family, row: Row) -> None:
    """The same for one, whose sums are in bounds."""
    before = _waiting(book, family)
    place, sums, durations, firsts = row
    statement = bulk.statement(_into(family), _width(family), "", 1)
    book.db.execute(statement, (*place, *sums, *durations, *firsts))
    book.touch(place[:1])
    _are(book, family, before, 1, sums[0])


def take_back(book: Book, family: Family, groups: Groups) -> None:
    """Adds sums that are less than nothing, too: all that they may be taken from has to be there.
    What they took is for `sketches` to take back."""
    work_in(book, family)
    family.add(book, groups)


def work_in(book: Book, family: Family) -> None:
    """Brings all into the tables, and has what they took noted for the sketches."""
    if _waiting(book, family) == (0, 0):
        return
    keys = f"bucket, {family.key}, experiment, batch"
    try:
        sums = ", ".join(f"sum({each})" for each in family.sums)
        rows: list[Any] = book.db.execute(
            f"SELECT {keys}, {sums} FROM {family.fresh} GROUP BY {keys}"  # noqa: S608 - of ours
        ).fetchall()
    except apsw.SQLError as error:
        # SQL's own sum fails beyond 63 bits.
        if "integer overflow" not in str(error):
            raise
        columns = ", ".join(family.sums)
        rows = book.db.execute(f"SELECT {keys}, {columns} FROM {family.fresh}").fetchall()  # noqa: S608
    groups: dict[Place, Sequence[int]] = {}
    for row in rows:
        collect(groups, row[:4], row[4:])
    family.spread(book, groups)
    took = f"SELECT bucket, {', '.join(_TOOK)} FROM {family.fresh}"  # noqa: S608
    found: list[Any] = book.db.execute(took).fetchall()
    _note(book, [(row[0], *row[place : place + 2]) for row in found for place in (1, 3)])
    book.db.execute(f"DELETE FROM {family.fresh}")  # noqa: S608
    book.fresh_sums[family.name] = 0, 0


def of_both(
    family: Family, buckets: Buckets, columns: str, where: str, late: str | None = None
) -> str:
    """SQL for columns of those rows by quarter-hour for which a condition holds, of which some may
    be of one key; `where` may be about the key, but for the family's own, and about the bucket.
    `late` has what is not in the table yet, if it isn't to be looked for among all of that."""
    some = f"SELECT {columns} FROM {buckets.name}_quarter WHERE {where}"  # noqa: S608 - of ours
    return f"({some} UNION ALL SELECT {columns} FROM {late or family.fresh} WHERE {where})"  # noqa: S608


def whole_rows(
    db: apsw.Connection, family: Family, buckets: Buckets, where: str, values: Sequence[Any]
) -> Iterator[tuple[Any, ...]]:
    """A table by quarter-hour as it will be once all is brought into it, in its order; of the
    buckets of which the condition tells."""
    keys = ("bucket", *buckets.keys)
    names = ", ".join((*keys, *family.sums))
    some = " AND ".join([f"{each} IS NOT NULL" for each in keys])
    late = f"SELECT {names} FROM {family.fresh} {where or 'WHERE TRUE'} AND {some}"  # noqa: S608
    order = ", ".join(keys)
    there = f"SELECT {names} FROM {buckets.name}_quarter {where} ORDER BY {order}"  # noqa: S608
    key = itemgetter(*range(len(keys)))
    more = sorted(db.execute(late, values), key=key)
    if not more:
        yield from db.execute(there, values)
        return
    for which, found in groupby(merge(db.execute(there, values), more, key=key), key):
        columns = zip(*[row[len(keys) :] for row in found], strict=True)
        yield (*which, *(min(sum(each), SUM_MAX) for each in columns))


@cache
def _into(family: Family) -> str:
    keys = ("bucket", family.key, "experiment", "batch")
    return f"{family.fresh} ({', '.join((*keys, *family.sums, *_TOOK))})"


def _width(family: Family) -> int:
    return 4 + len(family.sums) + len(_TOOK)


def _note(book: Book, took: Sequence[tuple[int, int | None, bytes | None]]) -> None:
    """Quarter-hours, series and values."""
    found: dict[sketches.Key, list[bytes]] = {}
    for quarter, series, values in took:
        if series is not None and values is not None:
            found.setdefault((quarter, series), []).append(values)
    sketches.note_stored(book, {key: b"".join(values) for key, values in found.items()})


def _waiting(book: Book, family: Family) -> tuple[int, int]:
    """Rows, and calls in them."""
    found = book.fresh_sums.get(family.name)
    if found is None:
        counted = f"SELECT count(*), total({family.sums[0]}) FROM {family.fresh}"  # noqa: S608
        rows, calls = book.db.execute(counted).fetchone() or (0, 0)
        found = book.fresh_sums[family.name] = int(rows), int(calls)
    return found


def _times(waiting: tuple[int, int], times: int) -> bool:
    rows, calls = waiting
    return rows >= times * FRESH_MOST or calls >= times * CALLS_MOST


def _are(book: Book, family: Family, before: tuple[int, int], rows: int, calls: int) -> None:
    """So many more wait now."""
    waiting = before[0] + rows, before[1] + calls
    book.fresh_sums[family.name] = waiting
    if _times(waiting, 2):
        work_in(book, family)
