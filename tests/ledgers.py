"""Ledgers to test with: filled, read out whole, and spoilt."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import apsw

from personad import tidy
from personad.changes import CHANGES, Context
from personad.contract.base import Event
from personad.contract.events import Append
from personad.leases import Leases
from personad.log import last_seq
from personad.projections import counted, fresh_sums, persona_costs
from personad.projections.book import Book
from personad.projections.cost_sums import BY_TABLE, COST
from personad.store import ledger_zone, open_for_reading, open_for_writing
from personad.transaction import transaction
from personad.verify import verify

from .personad.facts import NOON, cost, planned

UTC = ZoneInfo("UTC")
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'"


_TIDIED = ("_hour", "_day", "stale", "_fresh", "sketch_quarter")


def append(
    db: apsw.Connection, events: Sequence[Event], now: datetime = NOON + timedelta(seconds=1)
) -> None:
    """One commit."""
    with transaction(Book(db, UTC), last_seq(db), now) as txn:
        request: Any = Append(events=list(events))  # type: ignore[arg-type]
        CHANGES[Append](txn, request, Context(Leases(), 0.0))
        txn.fold()


def fill(path: Path, calls: int = 50) -> None:
    """A ledger with a batch and so many costs, closed as after a clean stop."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(open_for_writing(str(path))) as db:
        if not last_seq(db):
            append(db, planned())
        first = last_seq(db)
        append(db, [cost(f"call-{first + number}") for number in range(calls)])
    path.chmod(0o600)


def rows(path: Path, *, but: Sequence[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but those that a daemon tidies up whenever it has time to.

    `but` names rows of `meta` that are left out.
    """
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        tables = [str(name) for (name,) in db.execute(_TABLES)]
        names = sorted(each for each in tables if not each.endswith(_TIDIED))
        found = {
            name: sorted(db.execute(f'SELECT * FROM "{name}"'), key=repr)  # noqa: S608
            for name in names
        }
        if "cost_fresh" in tables:
            names = ["call", "persona_cost", *BY_TABLE]
            found |= {name: sorted(whole(db, name), key=repr) for name in names}
    found["meta"] = [row for row in found["meta"] if row[0] not in but]
    return found


def whole(db: apsw.Connection, table: str) -> list[tuple[Any, ...]]:
    """The rows of a table with what waits to be brought into it."""
    if table == "persona_cost":
        return list(persona_costs.rows(db, "", ()))
    if table in BY_TABLE:
        return list(fresh_sums.whole_rows(db, COST, BY_TABLE[table], "", ()))
    return list(db.execute(f"SELECT * FROM {counted.ALL if table == 'call' else table}"))  # noqa: S608


def work_in(db: apsw.Connection) -> None:
    """Brings what waits for it into the tables, but for sketches."""
    with db:
        tidy.work_in(Book(db, UTC))


@contextmanager
def struck(db: apsw.Connection, table: str) -> Iterator[None]:
    """Nothing can be put into that table meanwhile."""
    db.execute(
        f"CREATE TEMP TRIGGER struck BEFORE INSERT ON main.{table} "
        "BEGIN SELECT RAISE(ABORT, 'on purpose'); END"
    )
    yield
    db.execute("DROP TRIGGER struck")


def as_in_format_14(db: apsw.Connection) -> None:
    """Takes back what came later: all of it is in the tables that there were."""
    work_in(db)
    db.execute("DROP TABLE persona_cost_fresh; DROP TABLE cost_fresh")


def damage_of(path: Path) -> str | None:
    """What `verify` finds wrong."""
    with closing(open_for_reading(str(path))) as db:
        found = verify(db, path.parent, ledger_zone(db), lambda *_: None).damage
    return None if found is None else f"{found.what}: {found.message}"


def seq_of(path: Path) -> int:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return last_seq(db)


def is_sound(path: Path) -> bool:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return db.execute("PRAGMA integrity_check").get == "ok"


def spoil(path: Path, offset: int, size: int = 4_096) -> None:
    """Overwrites a piece of a file, as a dying disk does."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * size)


def killed_at(code: str, *words: str) -> int:
    """Runs Python in a process of its own; how it ended: -9 where it was killed."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode in (0, -9), ended.stderr
    return ended.returncode
