"""Writes tests/data/ledger-v1.db: `python -m tests.make_v1_ledger`, once, from the first release.

A ledger of format 1 with an event of every kind, a batch that was completed, one that is open, an
anomaly and a claim. Beside it lies what it holds, as JSON lines that no release has to read a
database for. Every later release has to open the file, so that it is never made again once a
release is out.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw

from personad.changes import CHANGES, Context
from personad.contract import batch as b
from personad.contract.base import Event, Request
from personad.contract.codec import encode
from personad.contract.events import Exported, Import
from personad.leases import Leases
from personad.log import last_seq, read
from personad.migrations import FORMAT
from personad.projections import batch_questions
from personad.projections.book import Book
from personad.store import open_for_writing
from personad.transaction import transaction

from .ledgers import UTC
from .personad.facts import NOON, SPECIMENS, cost, happened, planned

DATABASE = Path(__file__).parent / "data" / "ledger-v1.db"
EVENTS = DATABASE.with_suffix(".jsonl")
ANSWERS = DATABASE.with_suffix(".json")
NOW = NOON + timedelta(days=1)


def commits() -> list[list[Event]]:
    """What it holds, in the commits that it was recorded in."""
    done = happened(b.BatchFinished, batch="batch-done")
    return [
        planned("batch-done", 2),
        [happened(b.PersonaGenerating, "batch-done", f"p{number}") for number in (1, 2)],
        [cost(f"done-{number}", batch="batch-done", persona=f"p{number}") for number in (1, 2)],
        [happened(b.PersonaCompleted, "batch-done", f"p{number}") for number in (1, 2)],
        [done],
        [happened(b.PersonaCompleted, "batch-done", "p1")],
        planned("batch-open", 3),
        [happened(b.PersonaGenerating, "batch-open"), cost("unpriced", None, batch="batch-open")],
        list(SPECIMENS.values()),
    ]


def ask(db: apsw.Connection, request: Request[Any]) -> None:
    with transaction(Book(db, UTC), last_seq(db), NOW) as txn:
        CHANGES[type(request)](txn, request, Context(Leases(), 0.0))
        txn.fold()


def answers(db: apsw.Connection) -> list[bytes]:
    """What it answers, for ever."""
    batches = batch_questions.list_batches(db, b.BatchList()).batches
    shown = [batch_questions.show(db, each.batch, NOW) for each in batches]
    return [encode(each, "json") for each in (*batches, *shown)]


def make(path: Path) -> Sequence[bytes]:
    """Writes the ledger; gives its lines of JSON."""
    with closing(open_for_writing(str(path))) as db:
        for events in commits():
            ask(db, Import(items=[Exported(event=event) for event in events]))  # type: ignore[arg-type]
        ask(db, b.Claim(batch="batch-open", runner="runner-1"))
        db.execute("UPDATE meta SET value = 'ledger-of-format-1' WHERE name = 'ledger'")
        # One file that needs nothing beside it, as small as can be.
        db.pragma("journal_mode", "DELETE")
        db.execute("VACUUM")
        lines = [encode(each, "json") for each in read(db)]
        ANSWERS.write_bytes(b"\n".join(answers(db)) + b"\n")
    return lines


def main() -> int:
    if FORMAT != 1:
        print(f"this release makes format {FORMAT}; the file has to come from one that makes 1")
        return 1
    DATABASE.unlink(missing_ok=True)
    EVENTS.write_bytes(b"\n".join(make(DATABASE)) + b"\n")
    print(f"{DATABASE}: {DATABASE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
