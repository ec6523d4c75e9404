"""A ledger in this process, driven without threads or sockets; and a daemon as a real process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4
from zoneinfo import ZoneInfo

import apsw
import pytest

from personad import launch
from personad.changes import CHANGES, Context, expire
from personad.contract.admin import Hello
from personad.contract.base import Event, Request
from personad.contract.batch import BatchState
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Appended
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from personad.leases import Leases
from personad.locks import lock
from personad.log import last_seq
from personad.projections import PROJECTIONS
from personad.projections.batch_questions import Told, change, show
from personad.projections.batch_rows import BatchRow
from personad.projections.book import Book
from personad.store import open_for_writing
from personad.transaction import Transaction, transaction
from tests.ledgers import whole

from .facts import NOON

if TYPE_CHECKING:
    from .alerted import Watched

R = TypeVar("R")


FOLDED_ALIKE = [table for each in PROJECTIONS for table in each.TABLES if table != "batch"]
"""Tables that are the same however their events were cut into commits."""


@cache
def new_ledger() -> bytes:
    """The file of a ledger without an event: a copy of it takes a seventh of making its tables."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        open_for_writing(str(path)).close()
        return path.read_bytes()


class Core:
    """The writer's part of a daemon, one request a transaction, with a clock that one sets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        is_new = not path.exists()
        if is_new:
            path.write_bytes(new_ledger())
        self.db = open_for_writing(str(path))
        self.db.execute("PRAGMA synchronous = OFF")
        if is_new:
            self.db.execute("UPDATE meta SET value = ? WHERE name = 'ledger'", (str(uuid4()),))
        self.book = Book(self.db, ZoneInfo("UTC"))
        self.txn: Transaction | None = None
        """The newest that was committed."""
        self.leases = Leases()
        self.clock = 0.0
        self.leases.load(self.db, self.clock)

    @property
    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.clock)

    def do(self, request: Request[R]) -> R:
        """What the request is answered; a refusal is raised, with nothing done."""
        with transaction(self.book, last_seq(self.db), self.now) as txn:
            answer: Any = CHANGES[type(request)](txn, request, Context(self.leases, self.clock))
            txn.fold()
            reply: R = answer()
        self.txn = txn
        return reply

    def append(self, *events: Event) -> Appended:
        return self.do(Append(events=list(events)))  # type: ignore[arg-type]

    def keep_time(self) -> None:
        for batch in self.leases.expired(self.clock):
            with transaction(self.book, last_seq(self.db), self.now) as txn:
                expire(txn, batch, Context(self.leases, self.clock))

    def show(self, batch: str = "batch-a") -> BatchState:
        return show(self.db, batch, self.now)

    def change(self, told: Told | None = None) -> tuple[BatchState, Told]:
        """What a frame tells of `batch-a` now, with what an earlier one told."""
        rows = self.book.rows
        row = rows.batch("batch-a")
        assert row is not None
        return change(rows, row, self.now, told=told, is_cost_moved=True)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that was folded, without what tells how it was cut into commits."""
        found = {table: self.named(table) for table in (*FOLDED_ALIKE, "anomaly")}
        kept = ", ".join(each.name for each in fields(BatchRow) if each.name != "previous_seq")
        found["batch"] = list(self.db.execute(f"SELECT {kept} FROM batch ORDER BY 1"))  # noqa: S608
        return found

    def named(self, table: str) -> list[tuple[Any, ...]]:
        """A table's rows with names for their numbers, which depend on who was seen first."""
        columns = [name for _, name, *_ in self.db.pragma("table_info", table)]
        names = {
            column: {row[0]: row[1:] for row in self.db.execute(f"SELECT * FROM {of}")}  # noqa: S608
            for column, of in (("dim", "dim"), ("series", "series"), ("experiment", "experiment"))
        }
        names["batch"] = {
            key: (name,) for key, name, _ in self.db.execute("SELECT * FROM batch_key")
        }
        return sorted(
            (
                tuple(
                    names.get(column, {}).get(value, value)
                    for column, value in zip(columns, row, strict=True)
                )
                for row in whole(self.db, table)
            ),
            key=repr,
        )


@pytest.fixture
def open_core(house: Path) -> Iterator[Callable[[], Core]]:
    """Opens ledgers: each call another one."""
    opened: list[Core] = []

    def open_one() -> Core:
        opened.append(Core(house / f"ledger-{len(opened)}.db"))
        return opened[-1]

    yield open_one
    for each in opened:
        each.db.close()


@pytest.fixture
def core(open_core: Callable[[], Core]) -> Core:
    return open_core()


@pytest.fixture
def open_watched(house: Path) -> "Iterator[Callable[[], Watched]]":
    """Opens ledgers that tell of alerts: each call another one."""
    from .alerted import Watched

    opened: list[Watched] = []

    def open_one() -> Watched:
        opened.append(Watched(house / f"watched-{len(opened)}.db"))
        return opened[-1]

    yield open_one
    for each in opened:
        each.db.close()


@pytest.fixture
def watched(open_watched: "Callable[[], Watched]") -> "Watched":
    return open_watched()


class Running:
    """A daemon as a process of its own."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        program = [sys.executable, "-m", "personad", "--ledger", str(self.paths.data_dir)]
        return subprocess.run([*program, *words], capture_output=True, text=True, timeout=60)

    def start(self) -> "Running":
        started = self.command("start")
        assert started.returncode == 0, started.stderr
        return self

    def ask(self, request: Request[R], timeout_s: float = 10.0) -> R:
        return launch.ask(self.paths, request, timeout_s)

    def append(self, *events: Event) -> Appended:
        return self.ask(Append(events=list(events)))  # type: ignore[arg-type]

    @property
    def pid(self) -> int:
        return self.ask(Hello()).pid

    def kill(self) -> None:
        """Ends it as a power cut would, and returns once it is gone."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        self.wait_until_gone()

    def wait_until_gone(self) -> None:
        with lock(self.paths.life_lock, wait_s=10):
            pass

    def stop(self) -> None:
        launch.stop(self.paths, 20)


@pytest.fixture
def paths(house: Path) -> Paths:
    """Those of a ledger that no daemon has opened yet."""
    return resolve_paths(DEFAULTS, ledger=str(house / "L"), environ=os.environ)


@pytest.fixture
def stopped(paths: Paths) -> Iterator[Running]:
    """A daemon that is not running yet; it is ended in the end."""
    daemon = Running(paths)
    yield daemon
    try:
        daemon.stop()
    except LedgerError:
        daemon.kill()


@pytest.fixture
def daemon(stopped: Running) -> Running:
    return stopped.start()


@pytest.fixture
def sqlite() -> Iterator[Callable[[Path], apsw.Connection]]:
    """Opens databases to look into."""
    opened: list[apsw.Connection] = []

    def open_one(path: Path) -> apsw.Connection:
        opened.append(apsw.Connection(str(path)))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
