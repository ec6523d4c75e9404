"""The rows that events become on disk, for a bare loop that inserts nothing else."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import apsw

from personad import names
from personad.contract.events import AnyEvent
from personad.kinds import CODE_OF, body_of, microseconds
from personad.log import SCHEMA as SCHEMA

Row = tuple[int, bytes, int, int, int, int, int | None, int | None, bytes]

INSERT = (
    "INSERT INTO event (seq, id, kind, at, recorded_at, batch, cost, price, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def bare_database(path: Path) -> apsw.Connection:
    """A new database with the log's tables, as durable as the ledger."""
    db = apsw.Connection(str(path))
    # A statement that answers holds back those that follow it, until it is read to its end.
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("PRAGMA synchronous = FULL")
    db.execute(names.SCHEMA + SCHEMA)
    return db


def rows_of(events: Iterable[AnyEvent]) -> Iterator[Row]:
    for seq, event in enumerate(events, start=1):
        at = microseconds(event.at)
        cost = getattr(event, "cost_nanousd", None)
        yield seq, event.id.bytes, CODE_OF[type(event)], at, at, 1, cost, None, body_of(event)
