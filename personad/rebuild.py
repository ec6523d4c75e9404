"""Puts freshly folded tables in the place of the live ones, while questions and appends go on.

The fold itself is made elsewhere (see `refold`). Its tables are copied beside the live ones in
slices on the writer's thread, and catch up with what has been appended meanwhile; then one
transaction exchanges them. Rows that retention has made the truth are copied from the live tables.
"""

import re
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import apsw
from msgspec import Struct

from personad.carrying import checkpoint
from personad.catching_up import NEW, CatchUp, R, WithBook, Work
from personad.contract.errors import LedgerError
from personad.exchange import QUARTER_US, exchange
from personad.projections import (
    BUCKETS,
    PROJECTIONS,
    Projection,
    call_places,
    costs,
    quality,
)
from personad.projections.book import Book
from personad.projections.buckets import Packed, Tier, quarters_of
from personad.projections.cost_sums import COST
from personad.refold import beside, horizon_us, is_kept
from personad.retention import CHECKPOINT_EVERY, open_beside
from personad.store import open_for_reading
from personad.tidy import TIERS, days_of, work_rollups_in, work_sketches_in

SLICE_S = 0.008
FIRST_ROWS, LEAST_ROWS, MOST_ROWS = 500, 100, 20_000
FIRST_DAYS = 20
"""Of those that are a row each, however much is in it."""
PACKED = frozenset(f"{each.name}_day" for each in BUCKETS if isinstance(each, Packed))
TOGETHER: frozenset[Projection] = frozenset((costs, quality))
"""They share the sketches, so one is not rebuilt without the other."""

CALLS = "calls"
"""Names `costs`, and that it is noted anew where calls lie: in quiet moments, until which questions
about the calls of a large ledger take longer. So this has to be asked for."""

_LEFT = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB ?"
_SCHEMA = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?"
_INDEXES = """
SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql > ''
ORDER BY rowid
"""
_IS_ATTACHED = "SELECT 1 FROM pragma_database_list WHERE name = ?"
_IS_IN_FRESH = "SELECT 1 FROM fresh.sqlite_schema WHERE name = ?"
_REACHED = "SELECT seq, dropped, zone FROM fresh.reached"


class Adopted(Struct, frozen=True):
    rows: int
    last_seq: int


def chosen(names: Iterable[str]) -> list[Projection]:
    """The projections of these names, and those that go with them; without names, all.

    Raises:
        LedgerError: one that there isn't.
    """
    by_name = {each.NAME: each for each in PROJECTIONS}
    wanted = [costs.NAME if name == CALLS else name for name in names] or list(by_name)
    for name in wanted:
        if name not in by_name:
            known = ", ".join([*by_name, CALLS])
            raise LedgerError(
                "invalid", f"there is no projection {name!r}", hint=f"there are {known}"
            )
    found = {by_name[name] for name in wanted}
    if found & TOGETHER:
        found |= TOGETHER
    return [each for each in PROJECTIONS if each in found]


def tables_of(projections: Iterable[Projection]) -> list[str]:
    tables = [table for each in projections for table in each.TABLES]
    return [*tables, "sketch_quarter"] if set(projections) & TOGETHER else tables


def adopt(
    with_book: WithBook,
    path: Path,
    projections: Collection[Projection],
    *,
    places_anew: bool = False,
) -> Adopted:
    """Exchanges the tables of these projections for those in the file at `path`; with `places_anew`
    has it noted anew where calls lie.

    The old ones are left to `clear`, which takes as long again and which nobody need wait for.

    Raises:
        LedgerError: retention has dropped events since the fold began.
        apsw.Error: it can't be read, or the ledger not be written; everything is as it was.
    """
    file = with_book(lambda book: book.db.filename)
    with closing(open_beside(file)) as carrier:
        emptied = call_places.TABLES if places_anew else ()
        return _adopt(_carrying(with_book, carrier), path, projections, emptied)


def _carrying(with_book: WithBook, carrier: apsw.Connection) -> WithBook:
    """The same, with the write-ahead log carried over now and then: where the writer had to do all
    of it at once, an append would wait."""
    slices = count(1)

    def done(work: Work[R]) -> R:
        result = with_book(work)
        if next(slices) % CHECKPOINT_EVERY == 0:
            checkpoint(carrier)
        return result

    return done


def _adopt(
    with_book: WithBook,
    path: Path,
    projections: Collection[Projection],
    emptied: Sequence[str],
) -> Adopted:
    tables = tables_of(projections)
    summed = _summed(tables)
    fresh = {
        "sketch_quarter": "sketch_fresh",
        "call": "call_fresh",
        "persona_cost": "persona_cost_fresh",
        "cost_quarter": COST.fresh,
    }
    made = [*tables, *(fresh[each] for each in tables if each in fresh)]
    with_book(lambda book: _attach(book.db, path))
    try:
        clear(with_book)
        with_book(lambda book: _create(book.db, [*made, *summed, *emptied]))
        # What is kept must not lack what waits to be worked in.
        with_book(work_rollups_in)
        while with_book(work_sketches_in):
            pass
        rows = sum(_fill(with_book, table) for table in tables)
        late, dropped, zone = with_book(lambda book: _late(book, made, projections))
        is_home = with_book(lambda book: book.zone.key == zone)
        # Days of another zone may be some of which this one has nothing.
        right = [table for table in summed if is_home or not table.endswith("_day")]
        rows += sum(_copy(with_book, "", table, "", ()) for table in right)
        late.nearly(with_book)
        stale = _stale(with_book, is_home=is_home)
        late.nearly(with_book)
        filled = [*summed, *emptied]
        last_seq = with_book(lambda book: exchange(book, made, filled, late, dropped, stale))
    except BaseException:
        with_book(lambda book: _detach(book.db))
        clear(with_book)
        raise
    with_book(lambda book: _detach(book.db))
    return Adopted(rows=rows, last_seq=last_seq)


def _attach(db: apsw.Connection, path: Path) -> None:
    db.execute("ATTACH ? AS fresh", (str(path),))
    if beside(path).exists():
        db.execute("ATTACH ? AS fresh_beside", (str(beside(path)),))


def _detach(db: apsw.Connection) -> None:
    for schema in ("fresh_beside", "fresh"):
        if db.execute(_IS_ATTACHED, (schema,)).fetchone():
            db.execute(f"DETACH {schema}")


def _source(db: apsw.Connection, table: str) -> str:
    """The file in which a table was folded."""
    return "fresh" if db.execute(_IS_IN_FRESH, (table,)).fetchone() else "fresh_beside"


def _summed(tables: Collection[str]) -> list[str]:
    """The hours and days that are added up from these tables."""
    found = [
        f"{each.name}_{tier}"
        for each in BUCKETS
        if f"{each.source}_quarter" in tables
        for tier in each.tiers
        if tier != "quarter"
    ]
    if "sketch_quarter" in tables:
        found += [f"{name}_{tier}" for name in ("sketch", "sketch_all") for tier in TIERS]
    return found


def _late(
    book: Book, made: Sequence[str], projections: Collection[Projection]
) -> tuple[CatchUp, int, str]:
    seq, dropped, zone = book.db.execute(_REACHED).fetchone() or (0, 0, "")
    return CatchUp(book, made, projections, int(seq)), int(dropped), str(zone)


def _stale(with_book: WithBook, *, is_home: bool) -> list[tuple[Tier, int]]:
    """Days whose sums were not made of what will be there: those in which rows are kept, and all,
    where the ledger has another zone now. Read beside the writer, as they may be thousands."""
    file, zone = with_book(lambda book: (book.db.filename, book.zone))
    with closing(open_for_reading(file)) as db:
        horizon = horizon_us(db)
        return [
            (tier, day)
            for tier in TIERS
            if horizon is not None or (tier == "day" and not is_home)
            for day in sorted(days_of(db, tier, zone))
            if (tier == "day" and not is_home)
            or quarters_of(tier, day, zone)[0] * QUARTER_US < (horizon or 0)
        ]


def clear(with_book: WithBook) -> None:
    """Removes what an exchange, finished or not, has left; in slices, as it may be large."""
    for table in with_book(lambda book: _left(book.db)):
        pace = _Pace(table)
        lower: tuple[Any, ...] | None = None
        while True:
            lower = with_book(lambda book, t=table, n=pace.rows: _thin(book.db, t, n))
            if lower is None:
                break
            pace.took()
        with_book(lambda book, t=table: book.db.execute(f"DROP TABLE {t}"))


class _Pace:
    """How many rows of a table fit a slice."""

    def __init__(self, table: str) -> None:
        is_packed = table.removesuffix(NEW) in PACKED
        self.rows, self._least = (FIRST_DAYS, 1) if is_packed else (FIRST_ROWS, LEAST_ROWS)
        self._began = time.perf_counter()

    def took(self) -> None:
        now = time.perf_counter()
        took_s, self._began = now - self._began, now
        scale = min(max(SLICE_S / max(took_s, 1e-6), 0.25), 2.0)
        self.rows = max(self._least, min(int(self.rows * scale), MOST_ROWS))


def _left(db: apsw.Connection) -> list[str]:
    return [str(name) for (name,) in db.execute(_LEFT, (f"*{NEW}",)).fetchall()]


def _thin(db: apsw.Connection, table: str, count: int) -> tuple[Any, ...] | None:
    """Drops the first rows of a table that nobody reads; None: there are none left."""
    upper = _upper(db, f"main.{table}", _key(db, table), None, count, "", ())
    if upper is None:
        return None
    with db:
        _between(db, f'DELETE FROM "{table}"', _key(db, table), None, upper, "", ())  # noqa: S608
    return upper


def _create(db: apsw.Connection, tables: Iterable[str]) -> None:
    with db:
        for table in tables:
            sql = str(db.execute(_SCHEMA, (table,)).get)
            name = re.compile(rf'^CREATE TABLE "?{table}"?')
            db.execute(name.sub(f'CREATE TABLE "{table}{NEW}"', sql, count=1))
            for index, indexed in db.execute(_INDEXES, (table,)).fetchall():
                db.execute(_renamed(str(index), str(indexed), table))


def _renamed(index: str, sql: str, table: str) -> str:
    """The same index on the new table, under a name that isn't taken: indexes can't be renamed."""
    base, _, number = index.partition("__")
    fresh = f"{base}__{int(number or 0) + 1}"
    columns = re.sub(r'^CREATE INDEX "?\w+"? ON "?\w+"?', "", sql, count=1)
    return f'CREATE INDEX "{fresh}" ON "{table}{NEW}"{columns}'


def _fill(with_book: WithBook, table: str) -> int:
    """Copies a table: what retention has kept from the live one, the rest from the fresh one."""
    kept, horizon = with_book(lambda book: _kept(book.db, table))
    if kept is None or horizon is None:
        return _copy(with_book, "", table, "", ())
    old = _copy(with_book, "main", table, f"({kept})", (horizon,))
    return old + _copy(with_book, "", table, f"NOT ({kept})", (horizon,))


def _kept(db: apsw.Connection, table: str) -> tuple[str | None, int | None]:
    columns = [str(row[1]) for row in db.execute(f"PRAGMA main.table_info({table})")]
    return is_kept(columns, table), horizon_us(db)


def _copy(with_book: WithBook, schema: str, table: str, where: str, values: tuple[int, ...]) -> int:
    """From that schema; "" is the one in which it was folded."""
    rows, pace = 0, _Pace(table)
    lower: tuple[Any, ...] | None = None
    source = schema or with_book(lambda book: _source(book.db, table))
    while True:
        lower, copied = with_book(
            lambda book, low=lower, n=pace.rows: _copy_some(
                book.db, source, table, low, n, where, values
            )
        )
        if lower is None:
            return rows
        rows += copied
        pace.took()


def _copy_some(
    db: apsw.Connection,
    schema: str,
    table: str,
    lower: tuple[Any, ...] | None,
    count: int,
    where: str,
    values: tuple[int, ...],
) -> tuple[tuple[Any, ...] | None, int]:
    key = _key(db, table)
    upper = _upper(db, f"{schema}.{table}", key, lower, count, where, values)
    if upper is None:
        return None, 0
    before = db.total_changes()
    with db:
        insert = f'INSERT INTO "{table}{NEW}" SELECT * FROM {schema}.{table}'  # noqa: S608
        _between(db, insert, key, lower, upper, where, values)
    return upper, db.total_changes() - before


def _key(db: apsw.Connection, table: str) -> tuple[str, ...]:
    rows = sorted(db.execute(f'PRAGMA main.table_info("{table}")'), key=lambda row: int(row[5]))
    return tuple(f'"{row[1]}"' for row in rows if row[5])


def _upper(
    db: apsw.Connection,
    source: str,
    key: tuple[str, ...],
    lower: tuple[Any, ...] | None,
    count: int,
    where: str,
    values: tuple[int, ...],
) -> tuple[Any, ...] | None:
    """The key of the last of the next `count` rows; None: there is none."""
    names, places = ", ".join(key), ", ".join("?" * len(key))
    tests = [*([f"({names}) > ({places})"] if lower is not None else []), *([where] * bool(where))]
    test = f"WHERE {' AND '.join(tests)}" if tests else ""
    given = (*(lower or ()), *values)
    rows = f"SELECT {names} FROM {source} {test} ORDER BY {names}"  # noqa: S608 - names of ours
    row = db.execute(f"{rows} LIMIT 1 OFFSET ?", (*given, count - 1)).fetchone()
    if row is None:
        # There are fewer, if any.
        backwards = ", ".join(f"{name} DESC" for name in key)
        last = f"SELECT {names} FROM {source} {test} ORDER BY {backwards} LIMIT 1"  # noqa: S608
        row = db.execute(last, given).fetchone()
    return None if row is None else tuple(row)


def _between(
    db: apsw.Connection,
    what: str,
    key: tuple[str, ...],
    lower: tuple[Any, ...] | None,
    upper: tuple[Any, ...],
    where: str,
    values: tuple[int, ...],
) -> None:
    names, places = ", ".join(key), ", ".join("?" * len(key))
    tests = [f"({names}) <= ({places})"]
    if lower is not None:
        tests.append(f"({names}) > ({places})")
    if where:
        tests.append(where)
    db.execute(f"{what} WHERE {' AND '.join(tests)}", (*upper, *(lower or ()), *values))
