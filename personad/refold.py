"""The log folded afresh, in a database beside the ledger: what every table ought to be.

`verify` compares it with what is there, and `rebuild` puts it in its place. It reads the ledger and
changes nothing of it, so it runs in a process of its own while the daemon goes on; of a large
ledger another process folds `BESIDE` meanwhile (see `halves`).
"""

import gc
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from zoneinfo import ZoneInfo

import apsw
import msgspec

from personad import log, names, quarantine
from personad.contract.batch import BatchInterrupted
from personad.contract.cost import CallStarted, CostCorrected, CostRecorded
from personad.kinds import CODE_OF, fields_read
from personad.log import Entry
from personad.projections import (
    BUCKETS,
    PROJECTIONS,
    Projection,
    batches,
    book,
    charts,
    costs,
    fold,
    personas,
    plain_costs,
    quality,
    sketches,
)
from personad.projections.book import Book
from personad.projections.buckets import QUARTERS_AN_HOUR
from personad.store import FOLDED, STATEMENTS
from personad.tidy import TIERS, add_up, work_in
from personad.transaction import AHEAD_MAX

CHUNK_EVENTS = 20_000
GRACE = timedelta(days=1)
"""So much younger than anything that was dropped are the oldest events that are taken: figures of
one call lie within it, so a second one finds the first."""

BESIDE: tuple[Projection, ...] = (costs, quality, charts)
"""These can be folded without the others: half of the work. They need to know of the others which
`batch.interrupted` fit, which nearly always is as marked; and the others of them only which events
of theirs were the newest of a batch."""
_OF_OTHERS = personas.PERSONA.buckets
_OF_BESIDE = tuple(each for each in BUCKETS if each not in _OF_OTHERS)
_INTERRUPTED = CODE_OF[BatchInterrupted]
_COST = CODE_OF[CostRecorded]

_NEXT = "SELECT min(seq), (SELECT max(seq) FROM event) FROM event WHERE seq > ?"
_ROWS = """
SELECT seq, at, kind, id, cost, body, delay FROM event WHERE seq > ? AND seq <= ?
"""
_MARKS = "SELECT seq, reason FROM anomaly WHERE seq > ? AND seq <= ?"
_UNFIT = "SELECT seq FROM event WHERE kind = ? AND seq IN (SELECT value FROM json_each(?))"
_REACHED_SCHEMA = """
CREATE TABLE reached (seq INTEGER, dropped INTEGER, zone TEXT) STRICT;
CREATE TABLE misfit (seq INTEGER PRIMARY KEY, reason TEXT) STRICT;
"""
_HALF_SCHEMA = """
CREATE TABLE misfit (seq INTEGER PRIMARY KEY, reason TEXT) STRICT;
CREATE TABLE marked (seq INTEGER PRIMARY KEY, reason TEXT) STRICT;
CREATE TABLE noticed (batch TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
_NOTICE = "INSERT INTO noticed VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq"
_NOTICED = """
UPDATE batch SET seq = noticed.seq FROM beside.noticed
WHERE noticed.batch = batch.batch AND noticed.seq > batch.seq
"""
_TABLES = "SELECT name FROM {}.sqlite_schema WHERE type = 'table'"
_KNOWN_CALLS = """
SELECT value FROM json_each(?)
WHERE value IN (SELECT call FROM call) OR value IN (SELECT call FROM call_fresh)
  OR value IN (SELECT call FROM open_call)
"""
_QUARTER_US = 900_000_000
_AHEAD_US = AHEAD_MAX // timedelta(microseconds=1)
_DAY_US = GRACE // timedelta(microseconds=1)


class Refold:
    """A fresh fold as far as it has come."""

    def __init__(
        self,
        live: apsw.Connection,
        path: Path,
        zone: ZoneInfo,
        only: Collection[Projection] | None = None,
        unfit: Collection[int] | None = None,
    ) -> None:
        """`live` reads the ledger; what is folded goes to `path`, which must not exist.

        With `only`, that is nothing but these; `unfit` are the `batch.interrupted` that don't fit,
        those that are marked unless it is given.
        """
        self.live = live
        self.path = path
        self.db = apsw.Connection(str(path), statementcachesize=STATEMENTS)
        # Nothing here outlives the process, so nothing of it needs to be safe.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -131072"):
            self.db.execute(f"PRAGMA {pragma}").fetchall()
        self._is_half = only is not None
        self._unfit = unfit
        if only is None:
            self.db.execute(names.SCHEMA + FOLDED)
        else:
            of_half = "".join(each.SCHEMA for each in PROJECTIONS if each in only)
            self.db.execute(names.SCHEMA + book.SCHEMA + sketches.SCHEMA + of_half + _HALF_SCHEMA)
        self.narrow(only)
        self.book = Book(self.db, zone, past=lambda seq: log.entry(live, seq))
        self.dropped = log.count_dropped(live)
        """How many events were gone when it began."""
        self.seq = 0
        """Up to here the log is folded."""
        self.misfits: dict[int, str] = {}
        """Events that fit nowhere, by seq."""
        self.marked: dict[int, str] = {}
        """Those of which the ledger says so."""
        self._is_summed = False
        """Whether hours and days of `BESIDE` are added up, but for what was touched since."""
        if only is None or charts in only:
            self._take_charts_over()

    def narrow(self, only: Collection[Projection] | None) -> None:
        """From now on folds only these, and reads only their events; None: all."""
        self._only = only
        self._rows = _ROWS
        if only is not None:
            codes = {CODE_OF[kind] for each in only for kind in each.WANTS}
            self._rows += f" AND kind IN ({', '.join(map(str, sorted(codes)))})"
        self._rows += " ORDER BY seq"

    def close(self) -> None:
        self.db.close()

    def finish(self) -> None:
        """Makes the file one that can be put in the ledger's place."""
        zone = self.book.zone
        with self.db:
            work_in(self.book)
            while sketches.work_in(self.db, CHUNK_EVENTS):
                pass
            for tier in TIERS:
                for day in sorted(self.book.stale[tier]):
                    if self._is_summed and (tier, day) not in self.book.touched:
                        add_up(self.db, tier, day, zone, _OF_OTHERS, of_sketches=False)
                    else:
                        add_up(self.db, tier, day, zone)
            self.db.execute(_REACHED_SCHEMA)
            reached = (self.seq, self.dropped, zone.key)
            self.db.execute("INSERT INTO reached VALUES (?, ?, ?)", reached)
            self.db.executemany("INSERT INTO misfit VALUES (?, ?)", self.misfits.items())
        self.close()

    def finish_half(self, progress: Callable[[int, int], None] | None) -> None:
        """Makes the file one that can be joined; with `progress`, adds hours and days up."""
        with self.db:
            # Here, as numpy takes a tenth of a second to load.
            from personad import sketch_groups

            work_in(self.book)
            while sketches.work_in(self.db, CHUNK_EVENTS, sketch_groups.made_of):
                pass
            self.db.executemany("INSERT INTO misfit VALUES (?, ?)", self.misfits.items())
            self.db.executemany("INSERT INTO marked VALUES (?, ?)", self.marked.items())
            if progress is not None:
                due = [(tier, day) for tier in TIERS for day in sorted(self.book.stale[tier])]
                for done, (tier, day) in enumerate(due, 1):
                    many = sketch_groups.merged
                    add_up(self.db, tier, day, self.book.zone, _OF_BESIDE, together=many)
                    progress(done, len(due))
        self.close()

    def join(self, path: Path, *, is_summed: bool) -> None:
        """Takes what another one has folded of `BESIDE`, up to the same event; goes on with all."""
        self.db.execute("ATTACH ? AS beside", (str(path),))
        theirs = {name for (name,) in self.db.execute(_TABLES.format("beside"))}
        with self.db:
            # Now every table is in one of the two files, and found without saying in which.
            for name in theirs - {*names.TABLES, "stale", "misfit", "marked", "noticed"}:
                self.db.execute(f"DROP TABLE main.{name}")
            self.db.execute("INSERT OR IGNORE INTO main.stale SELECT * FROM beside.stale")
            self.db.execute(_NOTICED)
        self.misfits.update(self.db.execute("SELECT * FROM beside.misfit"))
        self.marked.update(self.db.execute("SELECT * FROM beside.marked"))
        self.book.forget()
        self.book.touched.clear()
        self._is_summed = is_summed
        self.narrow(None)

    def unfit(self) -> list[int] | None:
        """The `batch.interrupted` that don't fit, where others are marked than these."""
        if horizon_us(self.live) is not None:
            return None
        told = msgspec.json.encode([*(self.marked.keys() ^ self.misfits.keys())]).decode()
        if self.live.execute(_UNFIT, (_INTERRUPTED, told)).fetchone() is None:
            return None
        told = msgspec.json.encode([*self.misfits]).decode()
        return [seq for (seq,) in self.live.execute(_UNFIT, (_INTERRUPTED, told))]

    def advance(self, until: int | None = None) -> int:
        """Folds the next events, up to that one; how far that was."""
        first, last = self.live.execute(_NEXT, (self.seq,)).fetchone() or (None, 0)
        if first is None or (until is not None and first > until):
            return 0
        before, end = self.seq, min(int(first) + CHUNK_EVENTS - 1, until or int(last))
        horizon = horizon_us(self.live)
        text = names.texts_of(self.live).text
        fit: list[Entry] = []
        costs_read: list[plain_costs.Row] = []
        numbered = _COST if self._is_half and horizon is None else None
        found: list[tuple[int, str]] = []
        # Few, and one by one beside the events they take a tenth of the time of these.
        marks = dict(self.live.execute(_MARKS, (before, end)))
        for seq, at, code, event_id, cost, body, delay in self.live.execute(
            self._rows, (before, end)
        ):
            if (reason := marks.get(seq)) is not None:
                self.marked[seq] = reason
                if horizon is not None:
                    continue  # What it doesn't fit may be gone, so that now it would.
            if code == _INTERRUPTED and horizon is None and self._leaves_out(seq, reason):
                continue
            if -delay > _AHEAD_US:
                found.append((seq, "happened over a day ahead of the daemon's clock"))
            elif code == numbered:
                costs_read.append((seq, at, plain_costs.read(body), cost, event_id, body))
            else:
                fit.append((seq, at, fields_read(code, event_id, body, text), cost))
        with self.db:
            self._take_names_over()
            trusted = self.marked.keys() if horizon is not None else None
            if horizon is not None:
                fit = self._of_known_calls(fit, horizon + _DAY_US)
            only = self._only
            plain, odd = plain_costs.parted(self.book, costs_read, (e[2] for e in fit), text)
            if odd:
                fit += [(o[0], o[1], fields_read(_COST, *o[4:], text), o[3]) for o in odd]
                fit.sort(key=itemgetter(0))
            found += fold(self.book, fit, since=self.seq, misfits_known=trusted, only=only)
            plain_costs.apply(self.book, plain, text)
            if self._is_half:
                misfits = {seq for seq, _ in found}
                self._note(fit, misfits, plain_costs.newest_of_batches(plain, text))
        self.misfits.update(found)
        self.seq = end
        return end - before

    def _leaves_out(self, seq: int, reason: str | None) -> bool:
        """Whether this `batch.interrupted` is one that doesn't fit, as others say."""
        if not self._is_half:
            return False
        return reason is not None if self._unfit is None else seq in self._unfit

    def _note(
        self, entries: Sequence[Entry], misfits: Collection[int], plain: Mapping[str, int]
    ) -> None:
        """What `batches.notice` would have seen of these, and of plain costs by their batch."""
        newest = {
            event.batch: seq  # type: ignore[union-attr]
            for seq, _, event, _ in entries
            if type(event) in batches.NOTICED and seq not in misfits
        }
        newest.pop(None, None)
        for batch, seq in plain.items():
            newest[batch] = max(seq, newest.get(batch, 0))
        self.db.executemany(_NOTICE, newest.items())

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
        beside(path).unlink(missing_ok=True)


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


def beside(path: Path) -> Path:
    """Where the tables of `BESIDE` are, if not in the file itself."""
    return path.with_name(f"{path.name}.beside")


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
