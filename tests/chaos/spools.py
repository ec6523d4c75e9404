"""Sixteen producers while daemons come and go: `python -m tests.chaos.spools [rounds] [seed]`.

In each round the daemon is killed, stopped or kept from writing, and a producer is killed in the
middle of whatever it does. In the end everything that was acknowledged is in the ledger once, each
producer's events in its own order, and nothing is left in the spool or in quarantine.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from personad import launch
from personad.contract.admin import Hello, Status
from personad.contract.errors import LedgerError
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from tests.chaos.spooler import NEXT
from tests.chaos.vitals import integrity, retried, start

PRODUCERS = 16
WITHIN_S = 60.0


@dataclass
class Outcome:
    """What was found when everything had come to rest."""

    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    twice: int = 0
    out_of_order: list[str] = field(default_factory=list)
    """Producers whose events came to lie in another order than they were recorded in."""
    read_only: int = 0
    """How often the daemon found that it can't write."""
    largest_backlog: int = 0
    """The most that `status` told of."""
    backlog: int = 0
    quarantined: int = 0
    failed: list[str] = field(default_factory=list)
    """What producers said that ended by themselves."""
    integrity: str = ""

    @property
    def is_good(self) -> bool:
        faults = self.lost or self.twice or self.out_of_order or self.failed
        left = self.backlog or self.quarantined
        return not faults and not left and self.acknowledged > 0 and self.integrity == "ok"


class Producer:
    """A process of `tests.chaos.spooler`."""

    def __init__(self, paths: Paths, folder: Path, name: str) -> None:
        self.name = name
        self.notes = folder / f"{name}.ids"
        command = [sys.executable, "-m", "tests.chaos.spooler", str(paths.data_dir)]
        self.process = subprocess.Popen(
            [*command, str(self.notes), name],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> str:
        """Has it finish; what it complained of."""
        return self.process.communicate(timeout=WITHIN_S)[1].decode()

    def acknowledged(self) -> list[list[bytes]]:
        """The ids that each of its producers was acknowledged."""
        noted = self.notes.read_bytes() if self.notes.exists() else b""
        found: list[list[bytes]] = [[]]
        for at in range(0, len(noted), 16):
            event_id = noted[at : at + 16]
            if event_id == NEXT:
                found.append([])
            else:
                found[-1].append(event_id)
        return found


def storm(folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """So many rounds on a ledger in `folder`."""
    paths = resolve_paths(DEFAULTS, ledger=str(folder / "L"), environ=os.environ)
    outcome = Outcome(rounds=rounds)
    producers = [Producer(paths, folder, f"producer-{n}") for n in range(PRODUCERS)]
    ended: list[Producer] = []
    blows = rng.sample([_kill, _stop, _stop_writing], k=3)
    try:
        for number in range(rounds):
            start(paths)
            time.sleep(rng.uniform(0.05, 1.0))
            blows[number % len(blows)](paths, outcome)
            place = rng.randrange(PRODUCERS)
            producers[place].kill()
            ended.append(producers[place])
            producers[place] = Producer(paths, folder, f"producer-{PRODUCERS + number}")
            time.sleep(rng.uniform(0.05, 0.5))
    finally:
        outcome.failed = [f"{each.name}: {said}" for each in producers if (said := each.end())]
    start(paths)
    _take_stock(paths, [*ended, *producers], outcome)
    return outcome


def _kill(paths: Paths, outcome: Outcome) -> None:
    os.kill(_pid(paths), signal.SIGKILL)


def _stop(paths: Paths, outcome: Outcome) -> None:
    launch.stop(paths, WITHIN_S)


def _stop_writing(paths: Paths, outcome: Outcome) -> None:
    """Another writer holds the database until the daemon has given up, and takes only questions.

    And until something waits in the spools: on a busy machine producers may only just be loading.
    """
    db = apsw.Connection(str(paths.database))
    db.set_busy_timeout(10_000)
    db.execute("BEGIN IMMEDIATE")
    mode, until = "normal", time.monotonic() + WITHIN_S
    while (mode != "read-only" or not outcome.largest_backlog) and time.monotonic() < until:
        time.sleep(0.05)
        status = launch.ask(paths, Status(), WITHIN_S)
        mode = status.mode
        outcome.largest_backlog = max(outcome.largest_backlog, status.spool_backlog)
    outcome.read_only += mode == "read-only"
    db.execute("ROLLBACK")
    db.close()


def _pid(paths: Paths) -> int:
    return launch.ask(paths, Hello(), WITHIN_S).pid


def _take_stock(paths: Paths, producers: list[Producer], outcome: Outcome) -> None:
    def taken() -> None:
        status = launch.ask(paths, Status(), WITHIN_S)
        if status.spool_backlog:
            raise LedgerError("unavailable", f"{status.spool_backlog} still wait")

    retried(taken, pause_s=0.1)
    status = launch.ask(paths, Status(), WITHIN_S)
    outcome.backlog, outcome.quarantined = status.spool_backlog, status.quarantined
    launch.stop(paths, WITHIN_S)
    kept = _kept(paths)
    seqs = {event_id: seq for seq, event_id in kept}
    outcome.twice = len(kept) - len(seqs)
    for each in producers:
        for noted in each.acknowledged():
            found = [seqs[event_id] for event_id in noted if event_id in seqs]
            outcome.acknowledged += len(noted)
            outcome.lost += len(noted) - len(found)
            if found != sorted(found):
                outcome.out_of_order.append(each.name)
    outcome.integrity = integrity(paths)


def _kept(paths: Paths) -> list[tuple[int, bytes]]:
    db = apsw.Connection(str(paths.database))
    try:
        return list(db.execute("SELECT seq, id FROM event ORDER BY seq"))
    finally:
        db.close()


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{rounds} rounds, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        outcome = storm(Path(folder), rounds, random.Random(seed))
    print(outcome)
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
