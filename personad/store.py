"""The database: making it, and opening it for writing or for reading."""

from uuid import uuid4
from zoneinfo import ZoneInfo

import apsw

from personad import log, migrations, names, news, quarantine
from personad.contract.base import VERSION
from personad.contract.errors import LedgerError
from personad.projections import PROJECTIONS, book, call_places, sketches

_META = """
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projection (
  name TEXT PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who runs which batch. Not a fold: a fence must outlive every rebuild.
CREATE TABLE lease (
  batch TEXT PRIMARY KEY,
  runner TEXT,                        -- NULL: nobody
  fence INTEGER NOT NULL,
  ttl_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
FOLDED = "".join((book.SCHEMA, sketches.SCHEMA, *(each.SCHEMA for each in PROJECTIONS)))
"""All tables that follow from the log."""

_SET_META = "INSERT INTO meta (name, value) VALUES (?, ?)"
_SET_WEEK = "INSERT OR REPLACE INTO meta (name, value) VALUES ('week_start', ?)"
_GET_META = "SELECT value FROM meta WHERE name = ?"

STATEMENTS = 512
"""The most that apsw takes. It keeps so many uses of prepared statements, not so many statements:
with its usual hundred, a commit of a thousand events had each of its statements prepared anew."""
BUSY_MS = 5_000
"""How long the writer waits for another one, as `sqlite3` on the same file might be."""

_PRAGMAS: dict[str, str | int] = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": 0,
    "wal_autocheckpoint": 4_000,
    "journal_size_limit": 64 << 20,
    "cache_size": -8_192,
    "temp_store": "MEMORY",
}


def open_for_writing(path: str) -> apsw.Connection:
    """The ledger at `path`, made there if there is none.

    Raises:
        LedgerError: it was made by a newer program, or is no ledger.
        apsw.CorruptError: it is damaged.
    """
    try:
        db = apsw.Connection(path, statementcachesize=STATEMENTS)
    except apsw.Error as error:
        raise _unusable(path, error) from None
    try:
        db.set_busy_timeout(BUSY_MS)
        fresh = db.pragma("user_version") == 0 and not db.execute("SELECT 1 FROM sqlite_schema").get
        if fresh:
            # Only a database without tables can begin to vacuum step by step.
            db.pragma("auto_vacuum", "INCREMENTAL")
        for name, value in _PRAGMAS.items():
            db.pragma(name, value)
        if fresh:
            _create(db)
        if migrations.format_of(db) == 0:
            raise _no_ledger(path)
        migrations.bring_up(db, path)
    except apsw.NotADBError:
        db.close()
        raise _no_ledger(path) from None
    except apsw.CorruptError:
        db.close()
        raise
    except apsw.Error as error:
        db.close()
        raise _unusable(path, error) from None
    except BaseException:
        db.close()
        raise
    return db


def open_for_reading(path: str) -> apsw.Connection:
    """A connection that sees every commit and can change nothing."""
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    db.set_busy_timeout(5_000)
    db.execute("PRAGMA query_only = ON; PRAGMA cache_size = -2048")
    return db


def ledger_id(db: apsw.Connection) -> str:
    return str(db.execute(_GET_META, ("ledger",)).get)


def ledger_zone(db: apsw.Connection) -> ZoneInfo:
    """The zone whose days the ledger's sums are kept in."""
    row = db.execute(_GET_META, ("timezone",)).fetchone()
    return ZoneInfo(str(row[0]) if row else "UTC")


def begin_weeks_on(db: apsw.Connection, day: str) -> None:
    """From now on weeks begin on that day, wherever the ledger is asked."""
    if db.execute(_GET_META, ("week_start",)).get != day:
        db.execute(_SET_WEEK, (day,))


def _create(db: apsw.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    beside = (quarantine.SCHEMA, news.SCHEMA, *call_places.SCHEMAS)
    for schema in (_META, names.SCHEMA, log.SCHEMA, *beside, FOLDED):
        db.execute(schema)
    versions = [(each.NAME, each.VERSION) for each in PROJECTIONS]
    db.executemany("INSERT INTO projection (name, version) VALUES (?, ?)", versions)
    db.executemany(_SET_META, [("ledger", str(uuid4())), ("created_by", VERSION)])
    db.pragma("user_version", migrations.FORMAT)
    db.execute("COMMIT")
    # Which ledger it is stands in the file itself from the beginning: where the write-ahead log of
    # a young one is lost, the mark can then tell that events are missing (see `mark`).
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _no_ledger(path: str) -> LedgerError:
    hint = "move it away, or name another folder with --ledger"
    return LedgerError("internal", f"{path} is not a ledger", hint=hint)


def _unusable(path: str, error: apsw.Error) -> LedgerError:
    hint = "`personad doctor` looks at its folder, its permissions and its disk"
    return LedgerError("unavailable", f"the ledger {path} can't be opened: {error}", hint=hint)
