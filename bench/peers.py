"""What others make of the same events: inserted, as durably, in commits of the same size.

Everything is prepared before the clock starts: rows, stored events and requests. What is counted is
events a second until the last commit is on disk.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from personad import log
from personad.contract.codec import codec, encode
from personad.contract.events import AnyEvent, Append, check_request
from personad.contract.schema import AnyRequest, tag
from personad.projections.book import Book
from personad.projections.prices import price_call
from personad.quarantine import parted
from personad.store import open_for_writing

from .rows import INSERT, SCHEMA, Row, bare_database, rows_of

T = TypeVar("T")

Events = Sequence[AnyEvent]
_TOPICS = "personad.contract.events:{}"


def bare_apsw(folder: Path, events: Events, at_once: int) -> float:
    """The limit: the rows of the log into the log's table, and nothing else."""
    rows = list(rows_of(events))
    db = bare_database(folder / "apsw.db")

    def commit(part: Sequence[Row]) -> None:
        with db:
            db.executemany(INSERT, part)

    rate = _rate(rows, at_once, commit)
    db.close()
    return rate


def one_row_commits(folder: Path, events: Events) -> list[float]:
    """Milliseconds of each: one row, one commit."""
    db = bare_database(folder / "one-row.db")
    took_ms = []
    for row in rows_of(events):
        began_ns = time.perf_counter_ns()
        db.execute(INSERT, row)
        took_ms.append((time.perf_counter_ns() - began_ns) / 1e6)
    db.close()
    return took_ms


def bare_sqlite3(folder: Path, events: Events, at_once: int) -> float:
    """The same rows with Python's own `sqlite3`."""
    db = _sqlite3(folder / "sqlite3.db")

    def commit(part: Sequence[Row]) -> None:
        with db:
            db.executemany(INSERT, part)

    rate = _rate(list(rows_of(events)), at_once, commit)
    db.close()
    return rate


def service_on_sqlite3(folder: Path, events: Events, at_once: int) -> float:
    """What a service without projections does with `sqlite3`: from each request's bytes, in this
    process, to its rows on disk."""
    requests = [encode(Append(events=list(part))) for part in _parts(events, at_once)]
    decode = codec(Append).decode
    db = _sqlite3(folder / "service.db")
    seq = 0
    began = time.perf_counter()
    for request in requests:
        rows = [(seq := seq + 1, *row[1:]) for row in rows_of(decode(request).events)]
        with db:
            db.executemany(INSERT, rows)
    took_s = time.perf_counter() - began
    db.close()
    return len(events) / took_s


def log_alone(folder: Path, events: Events, at_once: int) -> float:
    """No peer, but ours on the same terms as the service above: from each request's bytes, in this
    process, to its rows on disk by the ledger's own code, without any projection."""
    requests = [encode(Append(events=list(part))) for part in _parts(events, at_once)]
    decode = codec(AnyRequest, check_request).decode
    db = open_for_writing(str(folder / "log.db"))
    book = Book(db, ZoneInfo("UTC"))
    seq = 0
    began = time.perf_counter()
    for request in requests:
        fresh, _ = parted(db, decode(request).events)
        db.execute("BEGIN IMMEDIATE")
        now, priced = datetime.now(UTC), partial(price_call, book)
        seq += len(log.insert(db, book.names, fresh, after=seq, now=now, priced=priced))
        db.execute("COMMIT")
    took_s = time.perf_counter() - began
    db.close()
    if seq != len(events):
        raise RuntimeError(f"{seq} of {len(events)} events are in the log")
    return len(events) / took_s


def eventsourcing_recorder(folder: Path, events: Events, at_once: int) -> float:
    """The recorder of the package `eventsourcing` with the same bytes, each under its own id."""
    store, recorder = _recorder(folder / "recorder.db")
    stored = [
        StoredEvent(UUID(bytes=row[1]), 1, _TOPICS.format(tag(type(event))), row[-1])
        for event, row in zip(events, rows_of(events), strict=True)
    ]
    rate = _rate(stored, at_once, recorder.insert_events)
    store.close()
    return rate


def eventsourcing_whole(folder: Path, events: Events, at_once: int) -> float:
    """The same from events of its own that hold the same fields, by its mapper, to the recorder."""
    store, recorder = _recorder(folder / "eventsourcing.db")
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    mapper = Mapper[UUID](transcoder=transcoder)
    theirs = [
        Fact(event.id, 1, event.at, tag(type(event)), msgspec.to_builtins(event))
        for event in events
    ]
    rate = _rate(
        theirs,
        at_once,
        lambda part: recorder.insert_events([mapper.to_stored_event(each) for each in part]),
    )
    store.close()
    return rate


@dataclass(frozen=True)
class Fact(DomainEvent):
    """An event as the package `eventsourcing` has them."""

    kind: str
    fields: dict[str, object]


def _recorder(path: Path) -> tuple[SQLiteDatastore, SQLiteApplicationRecorder]:
    """Its WAL is on and its commits are synchronous as it comes; this is checked."""
    store = SQLiteDatastore(str(path))
    recorder = SQLiteApplicationRecorder(store)
    recorder.create_table()
    with store.transaction(commit=False) as cursor:
        modes = []
        for pragma in ("journal_mode", "synchronous"):
            cursor.execute(f"PRAGMA {pragma}")
            modes.append(cursor.fetchone()[0])
    if modes != ["wal", 2]:
        raise RuntimeError(f"not as durable as the ledger: {modes}")
    return store, recorder


def _sqlite3(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(SCHEMA)
    return db


def _rate(items: Sequence[T], at_once: int, commit: Callable[[Sequence[T]], object]) -> float:
    parts = _parts(items, at_once)
    began = time.perf_counter()
    for part in parts:
        commit(part)
    return len(items) / (time.perf_counter() - began)


def _parts(items: Sequence[T], at_once: int) -> list[Sequence[T]]:
    return [items[n : n + at_once] for n in range(0, len(items), at_once)]
