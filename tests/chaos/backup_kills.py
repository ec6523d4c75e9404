"""Kills a daemon while it makes backups: `python -m tests.chaos.backup_kills [kills] [seed]`.

Producers append all the while. After every kill the file under the backup's name is a whole ledger
with everything that was acknowledged before the backup that it came from began, or there is none
yet; in the end the ledger itself has lost nothing, and the last backup restores.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import apsw

from personad import launch
from personad.contract.admin import Hello
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from tests.chaos.daemon_kills import PRODUCERS, Outcome, Producer, examine, start
from tests.ledgers import fill, is_sound, rows

FIRST_CALLS = 20_000
"""So that a backup takes long enough to be met."""


@dataclass
class Stock:
    """What the kills came to."""

    kills: int = 0
    met: int = 0
    """Kills while a backup was being made."""
    made: int = 0
    wrong: list[str] = field(default_factory=list)
    ledger: Outcome = field(default_factory=Outcome)

    @property
    def is_good(self) -> bool:
        return not self.wrong and self.met > 0 and self.ledger.is_good


def storm(data_dir: Path, kills: int, rng: random.Random) -> Stock:
    """Kills the daemon of a ledger in `data_dir` so often, each time with a backup begun."""
    paths = resolve_paths(DEFAULTS, ledger=str(data_dir), environ=os.environ)
    fill(paths.database, FIRST_CALLS)
    target = data_dir.with_name("backup.db")
    stock = Stock(kills=kills)
    producers = [Producer(paths, number) for number in range(PRODUCERS)]
    start(data_dir)
    for each in producers:
        each.start()
    held: set[UUID] = set()
    try:
        for number in range(kills):
            before = _acknowledged(producers)
            # The first is met for certain, at its very beginning.
            later_s = rng.uniform(0, 0.05) if number else 0.0
            if _kill_in_a_backup(stock, paths, target, later_s):
                held = before
            stock.wrong += _wrong(target, held)
            start(data_dir)
        held = _acknowledged(producers)
        subprocess.run(_command(paths, target), check=True, stdout=subprocess.DEVNULL)
        stock.wrong += _wrong(target, held)
    finally:
        for each in producers:
            each.done.set()
        for each in producers:
            each.join()
    launch.stop(paths, 30)
    stock.ledger = examine(paths, _acknowledged(producers))
    stock.ledger.kills = kills
    stock.wrong += _unrestored(paths, target)
    return stock


def _acknowledged(producers: list[Producer]) -> set[UUID]:
    return set().union(*(each.acknowledged.copy() for each in producers))


def _command(paths: Paths, target: Path) -> list[str]:
    program = [sys.executable, "-m", "personad", "--ledger", str(paths.data_dir)]
    return [*program, "backup", str(target)]


def _kill_in_a_backup(stock: Stock, paths: Paths, target: Path, later_s: float) -> bool:
    """Whether the backup was made before the kill, which comes so long after its beginning."""
    unfinished = target.with_name(f"{target.name}.partial")
    pid = launch.ask(paths, Hello(), timeout_s=10).pid
    with subprocess.Popen(
        _command(paths, target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as asking:
        while not unfinished.exists() and asking.poll() is None:
            time.sleep(0.001)
        time.sleep(later_s)
        met = unfinished.exists()
        os.kill(pid, signal.SIGKILL)
        try:
            asking.wait(0.5)
        except subprocess.TimeoutExpired:
            # It would look whether the daemon is there some seconds from now.
            asking.kill()
    stock.met += met
    stock.made += asking.returncode == 0
    return asking.returncode == 0


def _wrong(target: Path, held: set[UUID]) -> list[str]:
    if not target.exists():
        return [f"{target} is gone"] if held else []
    if not is_sound(target):
        return [f"{target} is not sound"]
    with closing(apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        found = {bytes(event_id) for (event_id,) in db.execute("SELECT id FROM event")}
    lost = sum(each.bytes not in found for each in held)
    return [f"{target} lacks {lost} events that were acknowledged before it"] if lost else []


def _unrestored(paths: Paths, target: Path) -> list[str]:
    command = [sys.executable, "-m", "personad", "--ledger", str(paths.data_dir)]
    ended = subprocess.run([*command, "restore", str(target), "--force"], check=False)
    if ended.returncode:
        return [f"the last backup can't be restored: {ended.returncode}"]
    return [] if rows(paths.database) == rows(target) else ["a restored row is another"]


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{kills} kills while a backup is made, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        stock = storm(Path(folder) / "L", kills, random.Random(seed))
    print(stock)
    return 0 if stock.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
