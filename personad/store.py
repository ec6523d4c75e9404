"""The database: opening it, and transactions that hold an append and every fold of it.

A `Transaction` is the only way to change the ledger. It is used by one thread, the writer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import apsw

from personad import log, migrations
from personad.contract.base import VERSION
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Appended, Recorded
from personad.projections import PROJECTIONS, fold

AHEAD_MAX = timedelta(days=1)
"""How far ahead of the daemon's clock an event's time may lie and still be folded."""

_META = """
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who runs which batch. Not a fold: a fence must outlive every rebuild.
CREATE TABLE lease (
  batch TEXT PRIMARY KEY,
  runner TEXT,                        -- NULL: nobody
  fence INTEGER NOT NULL,
  ttl_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
_SET_META = "INSERT INTO meta (name, value) VALUES (?, ?)"
_TRY_META = "INSERT OR REPLACE INTO meta (name, value) VALUES ('written_to_try', ?)"
_GET_META = "SELECT value FROM meta WHERE name = ?"

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
        db = apsw.Connection(path)
    except apsw.Error as error:
        raise _unusable(path, error) from None
    try:
        db.set_busy_timeout(5_000)
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


def _create(db: apsw.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    for schema in (_META, log.SCHEMA, *(each.SCHEMA for each in PROJECTIONS)):
        db.execute(schema)
    db.executemany(_SET_META, [("ledger", str(uuid4())), ("created_by", VERSION)])
    db.pragma("user_version", migrations.FORMAT)
    db.execute("COMMIT")


def _no_ledger(path: str) -> LedgerError:
    hint = "move it away, or name another folder with --ledger"
    return LedgerError("internal", f"{path} is not a ledger", hint=hint)


def _unusable(path: str, error: apsw.Error) -> LedgerError:
    hint = "`personad doctor` looks at its folder, its permissions and its disk"
    return LedgerError("unavailable", f"the ledger {path} can't be opened: {error}", hint=hint)


class Transaction:
    """What is done to the ledger between one BEGIN and its COMMIT."""

    def __init__(self, db: apsw.Connection, last_seq: int, now: datetime) -> None:
        self.db = db
        self.now = now
        self.last_seq = self._since = last_seq
        self.recorded: list[Recorded] = []
        """Everything that was added, anomalies marked."""
        self._unfolded: list[Recorded] = []
        self._anomalies: dict[int, str] = {}

    def add(self, events: Sequence[AnyEvent]) -> Callable[[], Appended]:
        """Adds events; what comes back tells, after `fold`, what became of them."""
        added = log.insert(self.db, events, after=self.last_seq, now=self.now)
        self.last_seq += len(added)
        self._unfolded += added
        first = added[0].seq if added else None
        last = added[-1].seq if added else None
        duplicates = len(events) - len(added)

        def appended() -> Appended:
            misfits = sum(first <= seq <= last for seq in self._anomalies) if first and last else 0
            return Appended(
                first_seq=first,
                last_seq=last,
                duplicates=duplicates,
                anomalies=misfits,
                quarantined=0,
            )

        return appended

    def write_something(self) -> None:
        """Fails where the disk takes nothing: a transaction that changes nothing never would."""
        self.db.execute(_TRY_META, (f"{self.now:%FT%T}",))

    def knows(self, event_id: UUID) -> bool:
        return log.knows(self.db, event_id)

    def fold(self) -> None:
        """Brings every projection up to the newest event."""
        if not self._unfolded:
            return
        limit = self.now + AHEAD_MAX
        early = [
            (each.seq, f"happened over a day ahead of the daemon's clock ({self.now:%F %T} UTC)")
            for each in self._unfolded
            if each.event.at > limit
        ]
        misfits = {seq for seq, _ in early}
        fit = [each for each in self._unfolded if each.seq not in misfits]
        found = early + fold(self.db, fit, since=self._since)
        if found:
            log.mark(self.db, found)
            self._anomalies.update(found)
        self.recorded += [
            Recorded(
                seq=each.seq,
                recorded_at=each.recorded_at,
                event=each.event,
                anomaly=self._anomalies.get(each.seq),
            )
            if each.seq in self._anomalies
            else each
            for each in self._unfolded
        ]
        self._unfolded = []


@contextmanager
def transaction(db: apsw.Connection, last_seq: int, now: datetime) -> Iterator[Transaction]:
    """Commits at the end, to the disk; an exception takes everything back."""
    db.execute("BEGIN IMMEDIATE")
    try:
        txn = Transaction(db, last_seq, now)
        yield txn
        txn.fold()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
