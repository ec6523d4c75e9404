"""Kills a daemon while it drops old events: `python -m tests.chaos.retention_kills [kills] [seed]`.

Producers append all the while, and before each kill another day has become old enough. In the end
what was acknowledged and is young is there once, what is old is gone, the sums still hold all of
it, and the rows are those that a fresh fold of the log gives.
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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import apsw

from personad import launch
from personad.contract.admin import Hello
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from personad.kinds import KINDS, RAW_KINDS, microseconds
from personad.projections import fresh_sums
from personad.projections.cost_sums import COST
from personad.quarantine import pruned_before
from personad.retention import horizon_of
from personad.store import open_for_writing
from tests.chaos.daemon_kills import PRODUCERS, Outcome, Producer, examine, start
from tests.ledgers import append
from tests.personad.facts import cost

A_DAY = 2_000
"""Old events, so that dropping them takes long enough to be met."""
FIRST_DAYS = 900
_RAW_DAYS = "PERSONA_RETENTION_RAW_DAYS"
_CODES = ", ".join(str(KINDS[kind]) for kind in RAW_KINDS)
_OLD = f"SELECT count(*) FROM event WHERE at < ? AND kind IN ({_CODES})"  # noqa: S608
_OF_ALL = fresh_sums.of_both(COST, COST.total, "dim, calls", "TRUE")
_COUNTED = f"SELECT sum(calls) FROM {_OF_ALL} JOIN dim ON key = dim WHERE provider = 'old'"  # noqa: S608


@dataclass
class Remains:
    """What the kills came to."""

    kills: int = 0
    met: int = 0
    """Kills before the daemon had answered that it was done."""
    left: int = 0
    """Old events that are still there."""
    counted: int = 0
    wanted: int = 0
    """Old calls in the sums, and how many there were."""
    ledger: Outcome = field(default_factory=Outcome)

    @property
    def is_good(self) -> bool:
        ledger = self.ledger
        is_whole = not (ledger.lost or ledger.duplicates or ledger.damage)
        return is_whole and not self.left and self.counted == self.wanted and self.met > 0


def storm(data_dir: Path, kills: int, rng: random.Random) -> Remains:
    """Kills the daemon of a ledger in `data_dir` so often, each time with retention begun."""
    paths = resolve_paths(DEFAULTS, ledger=str(data_dir), environ=os.environ)
    now = datetime.now(UTC)
    _fill(paths.database, now, kills)
    remains = Remains(kills=kills, wanted=kills * A_DAY)
    producers = [Producer(paths, number) for number in range(PRODUCERS)]
    before = os.environ.get(_RAW_DAYS)
    try:
        _start(data_dir, FIRST_DAYS)
        for each in producers:
            each.start()
        for number in range(kills):
            remains.met += _kill_at_work(paths, rng.uniform(0, 0.1) if number else 0.0)
            _start(data_dir, FIRST_DAYS - number - 1)
    finally:
        for each in producers:
            each.done.set()
        for each in producers:
            each.join()
        os.environ.pop(_RAW_DAYS)
        if before is not None:
            os.environ[_RAW_DAYS] = before
    subprocess.run(_command(paths), check=True, stdout=subprocess.DEVNULL)
    launch.stop(paths, 30)
    acknowledged: set[UUID] = set().union(*(each.acknowledged for each in producers))
    remains.ledger = examine(paths, acknowledged)
    with closing(apsw.Connection(str(paths.database), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        horizon = microseconds(horizon_of(now, FIRST_DAYS - kills))
        assert pruned_before(db) is not None
        remains.left = int(db.execute(_OLD, (horizon,)).get)
        remains.counted = int(db.execute(_COUNTED).get)
    return remains


def _fill(path: Path, now: datetime, days: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(open_for_writing(str(path))) as db:
        for day in range(days):
            at = now - timedelta(days=FIRST_DAYS - day + 1.5)
            calls = range(day * A_DAY, (day + 1) * A_DAY)
            append(db, [cost(f"old-{call}", at=at, provider="old") for call in calls])
    path.chmod(0o600)


def _start(data_dir: Path, raw_days: int) -> None:
    os.environ[_RAW_DAYS] = str(raw_days)
    start(data_dir)


def _command(paths: Paths) -> list[str]:
    return [sys.executable, "-m", "personad", "--ledger", str(paths.data_dir), "retention"]


def _kill_at_work(paths: Paths, later_s: float) -> bool:
    """Whether it was at work when it was killed, so long after it had moved the mark."""
    pid = launch.ask(paths, Hello(), timeout_s=10).pid
    with closing(apsw.Connection(str(paths.database), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        mark = pruned_before(db)
        with subprocess.Popen(
            _command(paths), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as asking:
            while pruned_before(db) == mark and asking.poll() is None:
                time.sleep(0.001)
            time.sleep(later_s)
            os.kill(pid, signal.SIGKILL)
            try:
                asking.wait(0.5)
            except subprocess.TimeoutExpired:
                # It would look whether the daemon is there some seconds from now.
                asking.kill()
    return asking.returncode != 0


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{kills} kills while old events are dropped, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        remains = storm(Path(folder) / "L", kills, random.Random(seed))
    print(remains)
    return 0 if remains.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
