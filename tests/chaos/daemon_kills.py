"""Kills a daemon at random moments under load: `python -m tests.chaos.daemon_kills [kills] [seed]`.

Producers append all the while, and send again what was not acknowledged. In the end nothing that
was acknowledged may be lost, nothing may be there twice, and the rows must be those that a fresh
fold of the log gives.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

from personad import launch
from personad.contract.admin import Hello
from personad.contract.base import Event
from personad.contract.batch import (
    BatchStarted,
    PersonaCompleted,
    PersonaGenerating,
    PersonaQueued,
    SegmentRef,
    Source,
)
from personad.contract.cost import CostRecorded
from personad.contract.errors import LedgerError
from personad.contract.events import Append
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from personad.kinds import moment_of
from personad.log import last_seq, read
from personad.store import open_for_writing
from tests.ledgers import damage_of

BILLS = 120
"""In one append."""
HELPERS_KILLED = 0.3
"""Of the processes that prepare, a moment before their daemon."""
ENDS_WITHIN_S = 5.0
BACK_WITHIN_S = 0.5
"""The median, under load and with two programs' own start in it; for the long form alone."""
PRODUCERS = 4
AT = moment_of(1_790_000_000_000_000)


@dataclass
class Outcome:
    """What was found after the last kill."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicates: int = 0
    gaps: int = 0
    damage: str | None = None
    """What `verify` finds wrong."""
    helped: int = 0
    """Kills of a daemon that had another process at work."""
    left: int = 0
    """Such processes that did not end with it."""
    starts_s: list[float] = field(default_factory=list, repr=False, compare=False)
    """How long `personad start` took after each kill, its own process included."""

    @property
    def is_good(self) -> bool:
        faults = self.lost or self.duplicates or self.gaps or self.damage or self.left
        return not faults and self.acknowledged > 0


class Producer(threading.Thread):
    """Appends the story of one persona after another, and repeats what was not acknowledged."""

    def __init__(self, paths: Paths, number: int, rest_s: float = 0.0) -> None:
        super().__init__(name=f"producer {number}")
        self._rest_s = rest_s
        self.batch = f"batch-{number}"
        self._has_bills = number % 2 == 0
        """So much at once that the daemon has another process prepare it."""
        self.acknowledged: set[UUID] = set()
        self.done = threading.Event()
        self._paths = paths

    def run(self) -> None:
        self._send([self._plan()])
        index = 0
        while not self.done.is_set():
            index += 1
            self._send(self._story(index))
            if self._has_bills:
                self._send(self._bills(index))
            if self._rest_s:
                self.done.wait(self._rest_s)

    def _send(self, events: list[Event]) -> None:
        while True:
            try:
                launch.ask(self._paths, Append(events=events), timeout_s=2)  # type: ignore[arg-type]
            except LedgerError as error:
                if error.code != "unavailable":
                    raise
                if self.done.is_set():
                    return
                time.sleep(0.005)
            else:
                self.acknowledged.update(event.id for event in events)
                return

    def _plan(self) -> Event:
        source = Source(path="/s", digest="d", files=1, bytes=1, records=1)
        return BatchStarted(
            id=uuid4(),
            at=AT,
            batch=self.batch,
            source=source,
            total=1_000_000,
            provider="local",
            model="local",
            concurrency=1,
            output="/o",
            prompt_digest="p",
        )

    def _bills(self, index: int) -> list[Event]:
        return [
            CostRecorded(
                id=uuid4(),
                at=AT,
                call=f"{self.batch}-{index}-{number}",
                provider="local",
                model="local",
                operation="generation",
                outcome="ok",
                input_tokens=number,
                cost_nanousd=index,
                batch=self.batch,
                persona=f"p{number}",
            )
            for number in range(BILLS)
        ]

    def _story(self, index: int) -> list[Event]:
        of = {"at": AT, "batch": self.batch, "persona": f"p{index}"}
        by = {"provider": "local", "model": "local"}
        return [
            PersonaQueued(
                id=uuid4(), index=index, segment=SegmentRef(digest="d", record_ids=[]), **of
            ),
            PersonaGenerating(id=uuid4(), attempt=1, **of),
            CostRecorded(
                id=uuid4(),
                call=f"{self.batch}-{index}",
                operation="generation",
                outcome="ok",
                input_tokens=index,
                cost_nanousd=index,
                **of,
                **by,
            ),
            PersonaCompleted(
                id=uuid4(),
                attempt=1,
                name="N",
                duration_ms=index,
                digest="d",
                composite=0.5,
                accepted=True,
                **of,
                **by,
            ),
        ]


def storm(data_dir: Path, kills: int, rng: random.Random) -> Outcome:
    """Kills the daemon of a ledger in `data_dir` so often, and counts the damage."""
    paths = resolve_paths(DEFAULTS, ledger=str(data_dir), environ=os.environ)
    producers = [Producer(paths, number) for number in range(PRODUCERS)]
    helped = left = 0
    starts_s: list[float] = []
    start(data_dir)
    for each in producers:
        each.start()
    try:
        for number in range(kills):
            # Now and then so late that another process prepares what comes.
            time.sleep(rng.uniform(0.5, 1.0) if number % 4 == 3 else rng.uniform(0.01, 0.25))
            pid = launch.ask(paths, Hello(), timeout_s=10).pid
            beside = begun_by(pid)
            helped += bool(beside)
            if beside and rng.random() < HELPERS_KILLED:
                os.kill(beside[0], rng.choice((signal.SIGKILL, signal.SIGSTOP)))
                time.sleep(rng.uniform(0.0, 0.1))
            os.kill(pid, signal.SIGKILL)
            starts_s.append(start(data_dir))
            for each in beside:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGCONT)
            left += sum(not ended(each) for each in beside)
    finally:
        for each in producers:
            each.done.set()
        for each in producers:
            each.join()
    launch.stop(paths, 30)
    found = examine(paths, set().union(*(each.acknowledged for each in producers)))
    found.kills, found.helped, found.left, found.starts_s = kills, helped, left, starts_s
    return found


def begun_by(pid: int) -> list[int]:
    """The processes that a daemon has begun: not what is still a copy of itself, which would hold
    its lock for as long as somebody stops it."""
    found: list[int] = []
    with suppress(FileNotFoundError):
        for task in (Path("/proc") / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return [each for each in found if _is_itself(each)]


def _is_itself(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return b"personad.preparer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def ended(pid: int) -> bool:
    """Whether the process ends by itself."""
    until = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            if "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
                time.sleep(0.01)
                continue
        return True
    return False


def start(data_dir: Path) -> float:
    """Starts a daemon, or finds one there; how long the command took, in seconds."""
    command = [sys.executable, "-m", "personad", "--ledger", str(data_dir), "start"]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.monotonic() - began


def examine(paths: Paths, acknowledged: set[UUID]) -> Outcome:
    """What is wrong with a ledger that has to hold these events."""
    with closing(open_for_writing(str(paths.database))) as db:
        ids = [each.event.id for each in read(db, limit=10_000_000)]
        gaps = last_seq(db) - len(ids)
    return Outcome(
        acknowledged=len(acknowledged),
        lost=len(acknowledged - set(ids)),
        duplicates=len(ids) - len(set(ids)),
        gaps=gaps,
        damage=damage_of(paths.database),
    )


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{kills} kills, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        outcome = storm(Path(folder) / "L", kills, random.Random(seed))
    usual_s, slowest_s = median(outcome.starts_s), max(outcome.starts_s)
    print(outcome)
    print(f"back after {usual_s:.2f} s (median of {kills}), {slowest_s:.2f} s at most")
    return 0 if outcome.is_good and usual_s <= BACK_WITHIN_S else 1


if __name__ == "__main__":
    sys.exit(main())
