"""Puts freshly folded tables in the place of the live ones, while questions and appends go on.

The fold itself is made elsewhere (see `refold`). Its tables are copied beside the live ones in
slices on the writer's thread; then one transaction exchanges them, and folds in what has been
appended meanwhile. Rows that retention has made the truth are copied from the live tables.
"""

import re
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import apsw
import msgspec
from msgspec import Struct

from personad import log
from personad.contract.errors import LedgerError
from personad.projections import PROJECTIONS, Projection, costs, fold, quality
from personad.projections.book import Book
from personad.refold import horizon_us, is_kept
from personad.tidy import mark_all_stale

T = TypeVar("T", covariant=True)
R = TypeVar("R")

SLICE_S = 0.015
FIRST_ROWS = 500
MOST_ROWS = 20_000
CATCH_UP_EVENTS = 5_000
TOGETHER: frozenset[Projection] = frozenset((costs, quality))
"""They share the sketches, so one is not rebuilt without the other."""

_NEW, _OLD = "__new", "__old"
_LEFT = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB ?"
_SCHEMA = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?"
_INDEXES = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql > ''"
_REACHED = "SELECT seq, dropped FROM fresh.reached"


class WithBook(Protocol):
    """`Writer.with_book`: has the writer do something between two groups."""

    def __call__(self, work: "Work[R]", /) -> R: ...


class Work(Protocol[T]):
    def __call__(self, book: Book, /) -> T: ...


class Adopted(Struct, frozen=True):
    rows: int
    last_seq: int


def chosen(names: Iterable[str]) -> list[Projection]:
    """The projections of these names, and those that go with them; without names, all.

    Raises:
        LedgerError: one that there isn't.
    """
    by_name = {each.NAME: each for each in PROJECTIONS}
    wanted = list(names) or list(by_name)
    for name in wanted:
        if name not in by_name:
            known = ", ".join(by_name)
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


def adopt(with_book: WithBook, path: Path, projections: Collection[Projection]) -> Adopted:
    """Exchanges the tables of these projections for those in the file at `path`.

    Raises:
        LedgerError: retention has dropped events since the fold began.
        apsw.Error: it can't be read, or the ledger not be written; everything is as it was.
    """
    tables = tables_of(projections)
    with_book(lambda book: book.db.execute("ATTACH ? AS fresh", (str(path),)))
    try:
        clear(with_book)
        with_book(lambda book: _create(book.db, tables))
        rows = sum(_fill(with_book, table) for table in tables)
        last_seq = with_book(lambda book: _exchange(book, tables, projections))
    finally:
        with_book(lambda book: book.db.execute("DETACH fresh"))
        clear(with_book)
    return Adopted(rows=rows, last_seq=last_seq)


def clear(with_book: WithBook) -> None:
    """Removes what an exchange, finished or not, has left; in slices, as it may be large."""
    for suffix in (_NEW, _OLD):
        for table in with_book(lambda book, s=suffix: _left(book.db, s)):
            pace = _Pace()
            lower: tuple[Any, ...] | None = None
            while True:
                lower = with_book(lambda book, t=table, n=pace.rows: _thin(book.db, t, n))
                if lower is None:
                    break
                pace.took()
            with_book(lambda book, t=table: book.db.execute(f"DROP TABLE {t}"))


class _Pace:
    """How many rows fit a slice."""

    def __init__(self) -> None:
        self.rows = FIRST_ROWS
        self._began = time.perf_counter()

    def took(self) -> None:
        now = time.perf_counter()
        took_s, self._began = now - self._began, now
        scale = min(max(SLICE_S / max(took_s, 1e-6), 0.25), 2.0)
        self.rows = max(100, min(int(self.rows * scale), MOST_ROWS))


def _left(db: apsw.Connection, suffix: str) -> list[str]:
    return [str(name) for (name,) in db.execute(_LEFT, (f"*{suffix}",)).fetchall()]


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
            db.execute(name.sub(f'CREATE TABLE "{table}{_NEW}"', sql, count=1))
            for index, indexed in db.execute(_INDEXES, (table,)).fetchall():
                db.execute(_renamed(str(index), str(indexed), table))


def _renamed(index: str, sql: str, table: str) -> str:
    """The same index on the new table, under a name that isn't taken: indexes can't be renamed."""
    base, _, number = index.partition("__")
    fresh = f"{base}__{int(number or 0) + 1}"
    columns = re.sub(r'^CREATE INDEX "?\w+"? ON "?\w+"?', "", sql, count=1)
    return f'CREATE INDEX "{fresh}" ON "{table}{_NEW}"{columns}'


def _fill(with_book: WithBook, table: str) -> int:
    """Copies a table: what retention has kept from the live one, the rest from the fresh one."""
    kept, horizon = with_book(lambda book: _kept(book.db, table))
    if kept is None or horizon is None:
        return _copy(with_book, "fresh", table, "", ())
    old = _copy(with_book, "main", table, f"({kept})", (horizon,))
    return old + _copy(with_book, "fresh", table, f"NOT ({kept})", (horizon,))


def _kept(db: apsw.Connection, table: str) -> tuple[str | None, int | None]:
    columns = [str(row[1]) for row in db.execute(f"PRAGMA main.table_info({table})")]
    return is_kept(columns, table), horizon_us(db)


def _copy(with_book: WithBook, schema: str, table: str, where: str, values: tuple[int, ...]) -> int:
    rows, pace = 0, _Pace()
    lower: tuple[Any, ...] | None = None
    while True:
        lower, copied = with_book(
            lambda book, low=lower, n=pace.rows: _copy_some(
                book.db, schema, table, low, n, where, values
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
        insert = f'INSERT INTO "{table}{_NEW}" SELECT * FROM {schema}.{table}'  # noqa: S608
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
    sql = (
        f"SELECT {names} FROM (SELECT {names} FROM {source} {test} "  # noqa: S608 - names of ours
        f"ORDER BY {names} LIMIT ?) ORDER BY {', '.join(f'{name} DESC' for name in key)} LIMIT 1"
    )
    row = db.execute(sql, (*(lower or ()), *values, count)).fetchone()
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


def _exchange(book: Book, tables: Collection[str], projections: Collection[Projection]) -> int:
    """One transaction: the new tables are the tables, and hold every event there is."""
    db = book.db
    db.execute("BEGIN IMMEDIATE")
    try:
        last_seq, dropped = map(int, db.execute(_REACHED).fetchone() or ())
        if log.count_dropped(db) != dropped:
            message = "retention dropped events while they were folded; everything is as it was"
            raise LedgerError("conflict", message, hint="run the same command again")
        for table in tables:
            db.execute(f'ALTER TABLE "{table}" RENAME TO "{table}{_OLD}"')
            db.execute(f'ALTER TABLE "{table}{_NEW}" RENAME TO "{table}"')
        if "sketch_quarter" in tables:
            db.execute("DELETE FROM sketch_fresh")
        mark_all_stale(db, book.zone)
        book.forget()
        # Whoever is just adding a day up has read what was there before.
        book.touched.update((tier, day) for tier, days in book.stale.items() for day in days)
        batches: set[str] = set()
        while some := log.entries(db, after=last_seq, limit=CATCH_UP_EVENTS):
            batches.update(e[2].batch for e in some if getattr(e[2], "batch", None))  # type: ignore[union-attr, misc]
            # All of these fitted when they came: only what does not is marked, and left out here.
            fold(book, some, since=last_seq, misfits_known=frozenset(), only=projections)
            last_seq = some[-1][0]
        _keep_old(book, tables, batches)
        db.execute("COMMIT")
    except BaseException:
        book.forget()
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return log.last_seq(db)


def _keep_old(book: Book, tables: Collection[str], touched: Collection[str]) -> None:
    """Takes batches that retention has made the truth as they were: what came lately is in the
    rows that were copied from the live tables, and has just been folded in once more."""
    db, horizon = book.db, horizon_us(book.db)
    if horizon is None or not touched:
        return
    kept = is_kept(("batch",), "batch")
    told = msgspec.json.encode(sorted(touched)).decode()
    old = f"SELECT value AS batch FROM json_each(?) WHERE {kept}"  # noqa: S608 - of ours
    names = [str(name) for (name,) in db.execute(old, (told, horizon)).fetchall()]
    among = "IN (SELECT value FROM json_each(?))"
    keyed = f"IN (SELECT key FROM batch_key WHERE batch {among})"  # noqa: S608 - constants
    told = msgspec.json.encode(names).decode()
    for table, which in (("batch", among), ("persona", among), ("persona_cost", keyed)):
        if table in tables:
            db.execute(f"DELETE FROM {table} WHERE batch {which}", (told,))  # noqa: S608
            db.execute(
                f"INSERT INTO {table} SELECT * FROM {table}{_OLD} WHERE batch {which}",  # noqa: S608
                (told,),
            )
    book.forget()
