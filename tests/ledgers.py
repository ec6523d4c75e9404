"""Ledgers to test with: filled, read out whole, and spoilt."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw

from personad.changes import CHANGES, Context
from personad.contract.base import Event
from personad.contract.events import Append
from personad.leases import Leases
from personad.log import last_seq
from personad.store import open_for_writing, transaction

from .personad.facts import NOON, cost, planned

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'"

_COLUMNS = "SELECT name FROM pragma_table_info(?)"
_NOT_FOLDED = ("meta", "lease", "event", "batch_key", "anomaly", "sqlite_sequence")
_OF_COMMITS = ("previous_seq",)


def append(db: apsw.Connection, events: Sequence[Event]) -> None:
    """One commit."""
    with transaction(db, last_seq(db), NOON + timedelta(seconds=1)) as txn:
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
    """Every row of every table; `but` names rows of `meta` that are left out."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        names = sorted(str(name) for (name,) in db.execute(_TABLES))
        found = {
            name: sorted(db.execute(f'SELECT * FROM "{name}"'), key=repr)  # noqa: S608
            for name in names
        }
    found["meta"] = [row for row in found["meta"] if row[0] not in but]
    return found


def folded_rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every fold, without what tells how events were cut into commits."""
    found = {}
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        for (table,) in list(db.execute(_TABLES)):
            if table in _NOT_FOLDED:
                continue
            names = [name for (name,) in db.execute(_COLUMNS, (table,)) if name not in _OF_COMMITS]
            columns = ", ".join(f'"{name}"' for name in names)
            found[str(table)] = sorted(db.execute(f'SELECT {columns} FROM "{table}"'), key=repr)  # noqa: S608
    return found


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
