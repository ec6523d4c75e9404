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
    "INSERT INTO event (seq, id, kind, at, delay, batch, cost, price, body) "
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


def rows_of(events: Iterable[AnyEvent], words: dict[str, int] | None = None) -> Iterator[Row]:
    """`words` is given the texts that bodies have numbers for."""
    known = {} if words is None else words

    def number(text: str) -> int:
        return known.setdefault(text, len(known) + 1)

    for seq, event in enumerate(events, start=1):
        at, cost = microseconds(event.at), getattr(event, "cost_nanousd", None)
        body = body_of(event, number)
        yield seq, event.id.bytes, CODE_OF[type(event)], at, 0, 1, cost, None, body
