"""Kills the daemon, or the command, in the midst of long works, and a migration:
`python -m tests.chaos.work_kills [kills] [seed]`, so many of each work.

Producers append all the while. After every kill the daemon is started again if need be, and every
table must be what a fresh fold makes; in the end nothing that was acknowledged may be lost, each
work must succeed undisturbed, and no half-made file or table may be left.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from personad import launch
from personad.contract.admin import Hello
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from personad.migrations import FORMAT, format_of
from tests.chaos.daemon_kills import PRODUCERS, Outcome, Producer, examine, start
from tests.ledgers import damage_of, fill, is_sound, rows

FIRST_CALLS = 20_000
"""So that every work takes long enough to be met in many places."""
REST_S = 0.25
"""Between a producer's appends: after every kill the whole ledger is folded, so it may not grow as
fast as it can."""
WORKS: dict[str, Callable[[Path], list[str]]] = {
    "rebuild": lambda _: ["rebuild"],
    "backup": lambda folder: ["backup", str(folder / "backup.db")],
}
"""The words of each command, for a folder that it may write to."""
MIGRATION = "migration"
_HALF_MADE = "SELECT name FROM sqlite_schema WHERE name GLOB '*__new' OR name GLOB '*__old'"
_MIGRATE = """
import sys
from personad import migrations
from personad.store import open_for_writing
from tests.personad.test_migrations import with_notes

migrations.MIGRATIONS = (*migrations.MIGRATIONS, with_notes)
print("ready", flush=True)
open_for_writing(sys.argv[1]).close()
"""


@dataclass
class Stock:
    """What the kills came to."""

    kills: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    """Kills while the work was going on."""
    slowest_start_s: float = 0.0
    """The longest that a daemon took after a kill, its process included."""
    wrong: list[str] = field(default_factory=list)
    ledger: Outcome = field(default_factory=Outcome)

    @property
    def is_good(self) -> bool:
        return not self.wrong and all(self.met[each] for each in self.kills) and self.ledger.is_good


def storm(folder: Path, kills: int, rng: random.Random, first_calls: int = FIRST_CALLS) -> Stock:
    """So many kills of each work, on a ledger in `folder`."""
    paths = resolve_paths(DEFAULTS, ledger=str(folder / "L"), environ=os.environ)
    fill(paths.database, first_calls)
    stock = Stock()
    producers = [Producer(paths, number, REST_S) for number in range(PRODUCERS)]
    start(paths.data_dir)
    for each in producers:
        each.start()
    try:
        takes_s = {name: _undisturbed(paths, words(folder)) for name, words in WORKS.items()}
        for _ in range(kills):
            for name, words in WORKS.items():
                _strike(stock, paths, name, words(folder), rng.uniform(0, takes_s[name]), rng)
    finally:
        for each in producers:
            each.done.set()
        for each in producers:
            each.join()
    for words in WORKS.values():
        _undisturbed(paths, words(folder))
    # The old tables are cleared away when a rebuild is done; what then is left is too much.
    deadline = time.monotonic() + 30
    while _left_over(paths) and time.monotonic() < deadline:
        time.sleep(0.1)
    launch.stop(paths, 30)
    stock.ledger = examine(paths, set().union(*(each.acknowledged for each in producers)))
    stock.wrong += _left_over(paths)
    migrations(stock, folder / "M", kills, rng, first_calls)
    return stock


def _command(paths: Paths, words: list[str]) -> list[str]:
    return [sys.executable, "-m", "personad", "--ledger", str(paths.data_dir), *words]


def _undisturbed(paths: Paths, words: list[str]) -> float:
    """How long the work takes, in seconds."""
    began = time.monotonic()
    subprocess.run(_command(paths, words), check=True, stdout=subprocess.DEVNULL, timeout=120)
    return time.monotonic() - began


def _strike(
    stock: Stock, paths: Paths, name: str, words: list[str], later_s: float, rng: random.Random
) -> None:
    """Has the work begin, and so much later kills the daemon or the command."""
    pid = launch.ask(paths, Hello(), timeout_s=10).pid
    stock.kills[name] += 1
    with subprocess.Popen(
        _command(paths, words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as working:
        try:
            working.wait(later_s)
        except subprocess.TimeoutExpired:
            stock.met[name] += 1
        if rng.random() < 0.5:
            os.kill(pid, signal.SIGKILL)
        else:
            working.kill()
            working.wait()
        stock.slowest_start_s = max(stock.slowest_start_s, start(paths.data_dir))
        try:
            working.wait(0.5)
        except subprocess.TimeoutExpired:
            # It asks the daemon that there was, and would notice some seconds from now.
            working.kill()
    if found := damage_of(paths.database):
        stock.wrong.append(f"after a kill in {name}: {found}")


def _left_over(paths: Paths) -> list[str]:
    files = [each.name for each in paths.data_dir.glob(".refold-*")]
    with closing(apsw.Connection(str(paths.database), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        tables = [str(name) for (name,) in db.execute(_HALF_MADE)]
    return [f"{each} was left behind" for each in (*files, *tables)]


def migrations(
    stock: Stock, folder: Path, kills: int, rng: random.Random, first_calls: int
) -> None:
    """Kills whoever leads a ledger to a next format, then lets another one do it."""
    pristine, path = folder / "pristine.db", folder / "ledger.db"
    fill(pristine, first_calls)
    events = rows(pristine)["event"]
    # The longest it takes, the first time; what was read before is in the page cache.
    shutil.copyfile(pristine, path)
    takes_s = _migrate(path, None)[0]
    for _ in range(kills):
        for each in folder.glob("ledger.db*"):
            each.unlink()
        shutil.copyfile(pristine, path)
        stock.kills[MIGRATION] += 1
        stock.met[MIGRATION] += _migrate(path, rng.uniform(0, takes_s))[1]
        stock.wrong += _torn(path, events)
        _migrate(path, None)
        stock.wrong += _unmigrated(path, events)


def _migrate(path: Path, later_s: float | None) -> tuple[float, bool]:
    """How long it took, in seconds, and whether it was killed, so long after it began."""
    with subprocess.Popen(
        [sys.executable, "-c", _MIGRATE, str(path)], stdout=subprocess.PIPE
    ) as migrating:
        assert migrating.stdout is not None
        migrating.stdout.readline()
        began = time.monotonic()
        try:
            migrating.wait(later_s)
        except subprocess.TimeoutExpired:
            migrating.kill()
    assert migrating.returncode in (0, -signal.SIGKILL), migrating.returncode
    return time.monotonic() - began, migrating.returncode != 0


def _torn(path: Path, events: list[tuple[object, ...]]) -> list[str]:
    """One format or the other, whole."""
    with closing(apsw.Connection(str(path))) as db:
        number = format_of(db)
    columns = len(rows(path)["event"][0]) - len(events[0])
    is_whole = is_sound(path) and (number, columns) in ((FORMAT, 0), (FORMAT + 1, 1))
    return [] if is_whole else [f"format {number} with {columns} columns more"]


def _unmigrated(path: Path, events: list[tuple[object, ...]]) -> list[str]:
    found = rows(path)["event"]
    kept = rows(path.with_name(f"{path.name}.format-{FORMAT}"))["event"]
    wrong = [] if [row[:-1] for row in found] == events else ["a migration lost an event"]
    wrong += [] if kept == events else ["the copy from before a migration is another"]
    damage = damage_of(path)
    return [*wrong, *([f"after a migration: {damage}"] if damage else [])]


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{kills} kills in each of {', '.join(WORKS)} and {MIGRATION}, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        stock = storm(Path(folder), kills, random.Random(seed))
    print(stock)
    return 0 if stock.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
