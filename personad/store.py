"""The database: opening it, and transactions that hold an append and every fold of it.

A `Transaction` is the only way to change the ledger. It is used by one thread, the writer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import accumulate, pairwise
from operator import itemgetter
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import apsw

from personad import log, migrations, names, news, quarantine
from personad.contract.base import VERSION
from personad.contract.budget import PriceSet
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Appended
from personad.kinds import body_of, check_size, microseconds
from personad.log import Entry, Priced
from personad.projections import PROJECTIONS, book, call_places, fold, sketches
from personad.projections.book import Book
from personad.projections.call_passing import BLOCKS
from personad.projections.prices import price_call

AHEAD_MAX = timedelta(days=1)
"""How far ahead of the daemon's clock an event's time may lie and still be folded."""

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
_TRY_META = "INSERT OR REPLACE INTO meta (name, value) VALUES ('written_to_try', ?)"
_SET_WEEK = "INSERT OR REPLACE INTO meta (name, value) VALUES ('week_start', ?)"
_GET_META = "SELECT value FROM meta WHERE name = ?"

STATEMENTS = 512
"""The most that apsw takes. It keeps so many uses of prepared statements, not so many statements:
with its usual hundred, a commit of a thousand events had each of its statements prepared anew."""
BUSY_MS = 5_000
"""How long the writer waits for another one, as `sqlite3` on the same file might be."""

_time_of: Callable[[Entry], int] = itemgetter(1)
_event_of: Callable[[Entry], AnyEvent] = itemgetter(2)

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


class Transaction:
    """What is done to the ledger between one BEGIN and its COMMIT."""

    def __init__(self, book: Book, last_seq: int, now: datetime) -> None:
        self.book = book
        self.db = book.db
        self.now = now
        self.last_seq = self._since = last_seq
        self.entries: list[Entry] = []
        """Everything that was added."""
        self.kinds: set[type[AnyEvent]] = set()
        """The kinds of it."""
        self.silent: list[tuple[int, int]] = []
        """The seqs, first and last, of what nobody is to be alarmed by."""
        self.refused: set[str] = set()
        """Scopes of budgets that let a call not start."""
        self.anomalies: dict[int, str] = {}
        self._unfolded: list[Entry] = []

    def conclude(self, events: Sequence[AnyEvent], *, priced: Priced | None = None) -> None:
        """Adds what the daemon itself says, which is never too old: it happens now, even where a
        clock that was ahead had the mark moved past now, and whoever asks knows it from a repeat.
        """
        self._add(events, (), priced)

    def add(
        self,
        events: Sequence[AnyEvent],
        *,
        priced: Priced | None = None,
        silent: bool = False,
    ) -> Callable[[], Appended]:
        """Adds what a client says; what comes back tells, after `fold`, what became of it.

        `priced` tells what calls cost that don't say it; the prices in force, if not given.
        `silent` events raise no alerts.
        """
        before = self.last_seq
        appended = self._add(*self._parted(events), priced)
        if silent:
            self.silent.append((before + 1, self.last_seq))
        return appended

    def add_together(
        self, events: Sequence[AnyEvent], counts: Sequence[int]
    ) -> list[Callable[[], Appended]] | None:
        """The same for several clients' events at once, with what became of each one's; `counts`
        are how many each of them said. None, with nothing added, where one is old or was known.
        """
        if self._parted(events)[1]:
            return None
        added = log.insert_new(
            self.db,
            self.book.names,
            events,
            after=self.last_seq,
            now=self.now,
            priced=partial(price_call, self.book),
        )
        if added is None:
            return None
        firsts = [*accumulate(counts, initial=self.last_seq + 1)]
        self.last_seq += len(added)
        self._unfolded += added
        return [
            partial(self._appended, first, first + count - 1)
            for first, count in zip(firsts, counts, strict=False)
        ]

    def _parted(self, events: Sequence[AnyEvent]) -> tuple[Sequence[AnyEvent], Sequence[AnyEvent]]:
        if self.book.takes_all is None:
            self.book.takes_all = quarantine.pruned_before(self.db) is None
        return (events, ()) if self.book.takes_all else quarantine.parted(self.db, events)

    def _appended(
        self, first: int, last: int, duplicates: int = 0, quarantined: int = 0
    ) -> Appended:
        return Appended(
            first_seq=first if last >= first else None,
            last_seq=last if last >= first else None,
            duplicates=duplicates,
            anomalies=sum(first <= seq <= last for seq in self.anomalies),
            quarantined=quarantined,
        )

    def _add(
        self, fresh: Sequence[AnyEvent], old: Sequence[AnyEvent], priced: Priced | None
    ) -> Callable[[], Appended]:
        parts = [fresh]
        if PriceSet in set(map(type, fresh)):
            for index, event in enumerate(fresh):
                check_size(body_of(event, self.book.names.word), index)
            parts = _after_each_price(fresh)
        before = self.last_seq
        for number, part in enumerate(parts):
            if number:
                self.fold()
            added = log.insert(
                self.db,
                self.book.names,
                part,
                after=self.last_seq,
                now=self.now,
                priced=priced or partial(price_call, self.book),
            )
            self.last_seq += len(added)
            self._unfolded += added
        if old:
            quarantine.put(self.db, self.book.names, old, self.now)
        duplicates = len(fresh) - (self.last_seq - before)
        return partial(self._appended, before + 1, self.last_seq, duplicates, len(old))

    @property
    def news(self) -> list[Entry]:
        """What was added and folded, but for what was added silently."""
        if not self.silent:
            return self.entries
        return [
            entry
            for entry in self.entries
            if not any(first <= entry[0] <= last for first, last in self.silent)
        ]

    def write_something(self) -> None:
        """Fails where the disk takes nothing: a transaction that changes nothing never would."""
        self.db.execute(_TRY_META, (f"{self.now:%FT%T}",))

    def knows(self, event_id: UUID) -> bool:
        return log.knows(self.db, event_id)

    def fold(self) -> None:
        """Brings every projection up to the newest event."""
        if not self._unfolded:
            return
        limit_us = microseconds(self.now + AHEAD_MAX)
        early: list[tuple[int, str]] = []
        fit = self._unfolded
        if max(map(_time_of, fit)) > limit_us:
            why = f"happened over a day ahead of the daemon's clock ({self.now:%F %T} UTC)"
            early = [(seq, why) for seq, at, _, _ in fit if at > limit_us]
            misfits = {seq for seq, _ in early}
            fit = [entry for entry in fit if entry[0] not in misfits]
        found = early + fold(self.book, fit, since=self._since)
        if found:
            log.mark(self.db, found)
            self.anomalies.update(found)
        self.entries += self._unfolded
        self.kinds.update(map(type, map(_event_of, self._unfolded)))
        self._unfolded = []


def _after_each_price(events: Sequence[AnyEvent]) -> list[Sequence[AnyEvent]]:
    """Parts that end with a `price.set` each: what follows it is priced by it."""
    ends = [n for n, event in enumerate(events, 1) if isinstance(event, PriceSet)]
    places = [0, *ends, len(events)]
    return [events[begin:end] for begin, end in pairwise(places)]


@contextmanager
def transaction(book: Book, last_seq: int, now: datetime) -> Iterator[Transaction]:
    """Commits at the end, to the disk; an exception takes everything back."""
    db = book.db
    db.execute("BEGIN IMMEDIATE")
    try:
        # Here, as it is little once it was seen, and needs no commit of its own.
        if book.passing.are_many:
            call_places.place(db, BLOCKS, book.passing.take)
        txn = Transaction(book, last_seq, now)
        yield txn
        txn.fold()
        db.execute("COMMIT")
    except BaseException:
        book.forget()
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    if txn.entries:
        book.passing.see(txn.entries, txn.kinds)
