"""The log folded afresh, in a database beside the ledger: what every table ought to be.

`verify` compares it with what is there, and `rebuild` puts it in its place. It reads the ledger and
changes nothing of it, so it runs in a process of its own while the daemon goes on.
"""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import apsw
import msgspec

from personad import log, names, quarantine
from personad.contract.cost import CallStarted, CostCorrected, CostRecorded
from personad.kinds import event_of
from personad.log import Entry
from personad.projections import charts, fold, sketches
from personad.projections.book import Book
from personad.projections.buckets import QUARTERS_AN_HOUR
from personad.store import AHEAD_MAX, FOLDED, STATEMENTS
from personad.tidy import TIERS, add_up, days_of

CHUNK_EVENTS = 5_000
GRACE = timedelta(days=1)
"""So much younger than anything that was dropped are the oldest events that are taken: figures of
one call lie within it, so a second one finds the first."""

_ROWS = """
SELECT seq, at, kind, id, cost, body, delay, reason
FROM event LEFT JOIN anomaly USING (seq) WHERE seq > ? ORDER BY seq LIMIT ?
"""
_REACHED_SCHEMA = """
CREATE TABLE reached (seq INTEGER, dropped INTEGER, zone TEXT) STRICT;
CREATE TABLE misfit (seq INTEGER PRIMARY KEY, reason TEXT) STRICT;
"""
_KNOWN_CALLS = """
SELECT value FROM json_each(?)
WHERE value IN (SELECT call FROM call) OR value IN (SELECT call FROM open_call)
"""
_QUARTER_US = 900_000_000
_AHEAD_US = AHEAD_MAX // timedelta(microseconds=1)
_DAY_US = GRACE // timedelta(microseconds=1)


class Refold:
    """A fresh fold as far as it has come."""

    def __init__(self, live: apsw.Connection, path: Path, zone: ZoneInfo) -> None:
        """`live` reads the ledger; what is folded goes to `path`, which must not exist."""
        self.live = live
        self.path = path
        self.db = apsw.Connection(str(path), statementcachesize=STATEMENTS)
        # Nothing here outlives the process, so nothing of it needs to be safe.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -131072"):
            self.db.execute(f"PRAGMA {pragma}").fetchall()
        self.db.execute(names.SCHEMA + FOLDED)
        self.book = Book(self.db, zone, past=lambda seq: log.entry(live, seq))
        self.dropped = log.count_dropped(live)
        """How many events were gone when it began."""
        self.seq = 0
        """Up to here the log is folded."""
        self.misfits: dict[int, str] = {}
        """Events that fit nowhere, by seq."""
        self.marked: dict[int, str] = {}
        """Those of which the ledger says so."""
        self._take_charts_over()

    def close(self) -> None:
        self.db.close()

    def finish(self) -> None:
        """Makes the file one that can be put in the ledger's place."""
        zone = self.book.zone
        with self.db:
            while sketches.work_in(self.db, CHUNK_EVENTS):
                pass
            for tier in TIERS:
                for day in sorted(days_of(self.db, tier, zone)):
                    add_up(self.db, tier, day, zone)
            self.db.execute(_REACHED_SCHEMA)
            reached = (self.seq, self.dropped, zone.key)
            self.db.execute("INSERT INTO reached VALUES (?, ?, ?)", reached)
            self.db.executemany("INSERT INTO misfit VALUES (?, ?)", self.misfits.items())
        self.close()

    def advance(self) -> int:
        """Folds the next events; how many they were."""
        horizon = horizon_us(self.live)
        rows = list(self.live.execute(_ROWS, (self.seq, CHUNK_EVENTS)))
        if not rows:
            return 0
        text = names.texts_of(self.live).text
        fit: list[Entry] = []
        found: list[tuple[int, str]] = []
        for seq, at, code, event_id, cost, body, delay, reason in rows:
            if reason is not None:
                self.marked[seq] = reason
                if horizon is not None:
                    continue  # What it doesn't fit may be gone, so that now it would.
            if -delay > _AHEAD_US:
                found.append((seq, "happened over a day ahead of the daemon's clock"))
            else:
                fit.append((seq, at, event_of(code, event_id, at, body, text), cost))
        with self.db:
            self._take_names_over()
            trusted = self.marked.keys() if horizon is not None else None
            if horizon is not None:
                fit = self._of_known_calls(fit, horizon + _DAY_US)
            found += fold(self.book, fit, since=self.seq, misfits_known=trusted)
        self.misfits.update(found)
        self.seq = rows[-1][0]
        return len(rows)

    def _take_charts_over(self) -> None:
        """What scores led on that retention has dropped; later ones lead them on from there."""
        horizon = horizon_us(self.live)
        if horizon is None:
            return
        with self.db:
            for table in charts.TABLES:
                old = f"SELECT * FROM {table} WHERE first_at < ?"  # noqa: S608 - names of ours
                for row in self.live.execute(old, (horizon,)):
                    places = ", ".join("?" * len(row))
                    self.db.execute(f"INSERT INTO {table} VALUES ({places})", row)  # noqa: S608

    def _of_known_calls(self, entries: list[Entry], mark_us: int) -> list[Entry]:
        """Without what is left of calls whose figures retention has dropped: they are in the sums,
        and what was added to them then would be added again."""
        told = {
            seq: event.call
            for seq, at, event, _ in entries
            if isinstance(event, CostRecorded | CostCorrected)
            or (isinstance(event, CallStarted) and at < mark_us)
        }
        asked = msgspec.json.encode(list(told.values())).decode()
        known = {call for (call,) in self.live.execute(_KNOWN_CALLS, (asked,))}
        return [entry for entry in entries if entry[0] not in told or told[entry[0]] in known]

    def _take_names_over(self) -> None:
        """A name has the same number here as there, so that rows can be compared."""
        for table in names.TABLES:
            newest = self.db.execute(f"SELECT coalesce(max(key), 0) FROM {table}").get  # noqa: S608
            rows = list(self.live.execute(f"SELECT * FROM {table} WHERE key > ?", (newest,)))  # noqa: S608
            if rows:
                places = ", ".join("?" * len(rows[0]))
                self.db.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608


@contextmanager
def refold(live: apsw.Connection, folder: Path, zone: ZoneInfo) -> Iterator[Refold]:
    """A fresh fold in a file of its own in `folder`, gone afterwards."""
    sweep(folder)
    path = folder / f".refold-{os.getpid()}.db"
    path.unlink(missing_ok=True)
    made = Refold(live, path, zone)
    # Nothing in here is a cycle, and looking for some takes a third of the time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield made
    finally:
        if was_enabled:
            gc.enable()
        made.close()
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes the files of those that were killed."""
    for path in folder.glob(".refold-*.db*"):
        maker = path.name.split(".")[1].removeprefix("refold-")
        if maker.isdecimal() and not _lives(int(maker)):
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def to_the_end(fresh: Refold, progress: Callable[[int], None]) -> None:
    """Folds until nothing is left; `progress` is told the seq that was reached."""
    while fresh.advance():
        progress(fresh.seq)


def horizon_us(db: apsw.Connection) -> int | None:
    """Raw events from before this moment may be gone; None: none are."""
    before = quarantine.pruned_before(db)
    return None if before is None else before - _DAY_US


def is_kept(columns: Sequence[str], table: str) -> str | None:
    """SQL for the rows of a rollup that retention has made the truth; None: the log has them all.

    It has one place, for the horizon in microseconds.
    """
    if "bucket" in columns:
        per = _QUARTER_US * (QUARTERS_AN_HOUR if table.endswith("_hour") else 1)
        return f"bucket < ? / {per}"
    # All events of a batch lie within a day before its start and ever after.
    young = f"SELECT batch FROM batch WHERE started_at >= ? + {_DAY_US}"  # noqa: S608 - constants
    if table in ("batch", "persona"):
        return f"batch NOT IN ({young})"
    if table == "persona_cost":
        return f"batch NOT IN (SELECT key FROM batch_key WHERE batch IN ({young}))"  # noqa: S608
    return None
