"""What a daemon process holds, seen from outside, and a ledger of its own to attack."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import apsw

from personad import launch
from personad.civil import find_zone
from personad.contract.admin import Hello
from personad.contract.errors import LedgerError
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from personad.store import open_for_reading
from personad.verify import verify

SETTLE_S = 30.0


@dataclass(frozen=True)
class Vitals:
    """A process at a moment."""

    rss_mib: float
    descriptors: int
    threads: int


def vitals(pid: int) -> Vitals:
    process = Path("/proc") / str(pid)
    pages = int((process / "statm").read_text().split()[1])
    return Vitals(
        rss_mib=round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1),
        descriptors=len(os.listdir(process / "fd")),
        threads=len(os.listdir(process / "task")),
    )


def settled(pid: int, descriptors: int) -> Vitals:
    """The vitals once no more descriptors are open than there were, or after a long wait.

    Whoever hung up is still held for a moment, until the daemon has noticed.
    """
    until = time.monotonic() + SETTLE_S
    while (found := vitals(pid)).descriptors > descriptors and time.monotonic() < until:
        time.sleep(0.05)
    return found


def wal_mib(paths: Paths) -> float:
    file = paths.database.with_name(paths.database.name + "-wal")
    return round(file.stat().st_size / 2**20, 1) if file.exists() else 0.0


def start(paths: Paths) -> int:
    """Starts a daemon, and returns its process id once it answers."""
    command = [sys.executable, "-m", "personad", "--ledger", str(paths.data_dir), "start"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return launch.ask(paths, Hello(), timeout_s=10).pid


@contextmanager
def ledger(data_dir: Path) -> Iterator[tuple[Paths, int]]:
    """A daemon of an own ledger, and its process id; it is drained in the end."""
    paths = resolve_paths(DEFAULTS, ledger=str(data_dir), environ=os.environ)
    pid = start(paths)
    try:
        yield paths, pid
    finally:
        launch.stop(paths, 60)


def retried(do: Callable[[], object], pause_s: float = 0.005) -> int:
    """Does it again for as long as no daemon is there to take it; how often it had to."""
    tries = 0
    while True:
        try:
            do()
        except LedgerError as error:
            if error.code != "unavailable":
                raise
            tries += 1
            time.sleep(pause_s)
        else:
            return tries


def integrity(paths: Paths) -> str:
    """What is wrong with the file, or with the first table that a fresh fold makes otherwise; `ok`
    if nothing."""
    db = open_for_reading(str(paths.database))
    try:
        zone = find_zone(DEFAULTS.daemon.timezone)
        damage = verify(db, paths.data_dir, zone, lambda *_: None).damage
        return "ok" if damage is None else f"{damage.what}: {damage.message}"
    finally:
        db.close()


def ids(paths: Paths) -> set[UUID]:
    """The ids of all events that the ledger has; no daemon may have it open."""
    db = apsw.Connection(str(paths.database))
    try:
        return {UUID(bytes=event_id) for (event_id,) in db.execute("SELECT id FROM event")}
    finally:
        db.close()
