"""The moment at which the new tables are the tables."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import apsw
import msgspec

from personad import log
from personad.catching_up import NEW, CatchUp
from personad.contract.errors import LedgerError
from personad.projections import call_places
from personad.projections.book import Book
from personad.projections.buckets import Tier
from personad.refold import horizon_us, is_kept
from personad.tidy import mark_stale

QUARTER_US = 900_000_000
_ROOTS = "SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0"
_TREES = "SELECT name FROM sqlite_schema WHERE tbl_name = ? AND rootpage > 0 ORDER BY rowid"
_FITS = """
DELETE FROM anomaly WHERE seq <= (SELECT seq FROM fresh.reached)
  AND seq NOT IN (SELECT seq FROM fresh.misfit)
"""
_FITS_NOT = "INSERT OR IGNORE INTO anomaly (seq, reason) SELECT seq, reason FROM fresh.misfit"


def exchange(
    book: Book,
    tables: Sequence[str],
    summed: Sequence[str],
    late: CatchUp,
    dropped: int,
    stale: Iterable[tuple[Tier, int]],
) -> int:
    """One transaction: the new tables are the tables, and hold every event there is.

    Args:
        book: of the ledger.
        tables: those that hold what follows from the log.
        summed: hours and days, added up from them; or, emptied, where calls lie.
        late: how far the new ones have come.
        dropped: how many events retention had dropped when they were begun.
        stale: days of which the new sums are not right.
    """
    db = book.db
    db.execute("BEGIN IMMEDIATE")
    try:
        if log.count_dropped(db) != dropped:
            message = "retention dropped events while they were folded; everything is as it was"
            raise LedgerError("conflict", message, hint="run the same command again")
        late.rest()
        _keep_old(db, tables, late)
        if horizon_us(db) is None:
            # Beyond it, what an event didn't fit, or what it fitted, may be gone.
            db.execute(_FITS)
            db.execute(_FITS_NOT)
        mark_stale(db, stale)
        mark_stale(db, late.days())
        _swap(db, [*tables, *summed])
        if set(call_places.TABLES) & set(summed):
            call_places.begin_again(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    finally:
        # Until now this connection looks for the tables where they were.
        db.execute("PRAGMA writable_schema = RESET")
        book.forget()
    # Whoever is just adding a day up has read what was there before.
    book.touched.update((tier, day) for tier, days in book.stale.items() for day in days)
    return log.last_seq(db)


def _swap(db: apsw.Connection, tables: Iterable[str]) -> None:
    """Has each table begin where the new one of its name does, and the other way round: one change
    of the schema, where renaming them would be forty, each of two milliseconds."""
    pairs = [pair for table in tables for pair in _alike(db, table)]
    roots: dict[str, int] = dict(db.execute(_ROOTS))
    moved = [(roots[theirs], ours) for ours, theirs in pairs]
    moved += [(roots[ours], theirs) for ours, theirs in pairs]
    db.execute("PRAGMA writable_schema = ON")
    db.executemany("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", moved)
    # Every connection reads the schema anew.
    db.pragma("schema_version", int(db.pragma("schema_version")) + 1)


def _alike(db: apsw.Connection, table: str) -> list[tuple[str, str]]:
    """A table and its indexes, each with the new one that is like it."""
    ours, theirs = (
        [str(name) for (name,) in db.execute(_TREES, (each,)).fetchall()]
        for each in (table, f"{table}{NEW}")
    )
    for live, new in zip(ours[1:], theirs[1:], strict=True):
        if not _columns(db, live) == _columns(db, new):
            raise AssertionError(f"{new} is not made as {live} is")
    return list(zip(ours, theirs, strict=True))


def _columns(db: apsw.Connection, index: str) -> list[tuple[Any, ...]]:
    return list(db.execute(f'PRAGMA main.index_xinfo("{index}")'))


def _keep_old(db: apsw.Connection, tables: Collection[str], late: CatchUp) -> None:
    """Takes what retention has made the truth as it was: what came lately is in the rows that were
    copied from the live tables, and has just been folded in once more."""
    horizon = horizon_us(db)
    if horizon is None:
        return
    kept = is_kept(("batch",), "batch")
    told = msgspec.json.encode(sorted(late.batches)).decode()
    old = f"SELECT value AS batch FROM json_each(?) WHERE {kept}"  # noqa: S608 - of ours
    names = [str(name) for (name,) in db.execute(old, (told, horizon)).fetchall()]
    if names:
        among = "batch IN (SELECT value FROM json_each(?))"
        keyed = f"batch IN (SELECT key FROM batch_key WHERE {among})"  # noqa: S608 - constants
        told = msgspec.json.encode(names).decode()
        by_name = dict.fromkeys(("batch", "persona"), among)
        by_number = dict.fromkeys(("persona_cost", "persona_cost_fresh"), keyed)
        for table, where in (by_name | by_number).items():
            if table in tables:
                _take_back(db, table, where, told)
    quarters = [each for each in late.book.quarters if each * QUARTER_US < horizon]
    if quarters:
        told = msgspec.json.encode(quarters).decode()
        for table in tables:
            if "bucket" in _names(db, table):
                _take_back(db, table, "bucket IN (SELECT value FROM json_each(?))", told)


def _take_back(db: apsw.Connection, table: str, where: str, told: str) -> None:
    columns = ", ".join(f'"{name}"' for name in _names(db, table) if name != "id")
    db.execute(f"DELETE FROM {table}{NEW} WHERE {where}", (told,))  # noqa: S608 - of ours
    db.execute(
        f"INSERT INTO {table}{NEW} ({columns}) SELECT {columns} FROM {table} WHERE {where}",  # noqa: S608
        (told,),
    )


def _names(db: apsw.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in db.execute(f"PRAGMA main.table_info({table})")]
