"""Kills daemon and runner with SIGKILL at chance moments until a batch is done, and takes stock.

python -m tests.chaos.runner_kills [--kills 200] [--seed N]
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from personad.contract.admin import Status
from personad.contract.batch import BatchStarted
from personad.contract.errors import LedgerError

from ..studio import WITHIN_S, Studio  # noqa: TID252

PERSONAS = 40
LATENCY_MS = 50
EXPLAINED = ("persona.generating doesn't fit", "persona.validating doesn't fit")
"""What a runner may say again about a persona that was completed through a dead one's spool."""


class Stock(Struct, frozen=True):
    """What the kills came to; empty lists and equal numbers are what was promised."""

    kills: int
    batches: int
    calls: int
    lost: list[str]
    """Acknowledged events that the ledger doesn't have."""
    unexplained: list[str]
    """Anomalies."""
    wrong: list[str]
    """Personas that were not completed exactly once, or whose file is missing."""
    quarantined: int


def shake(studio: Studio, kills: int, seed: int) -> Stock:
    """Runs batches until there were so many kills, then lets the last one end."""
    rng = random.Random(seed)
    done, batches, calls = 0, 0, 0
    lost: list[str] = []
    unexplained: list[str] = []
    wrong: list[str] = []
    while done < kills:
        started = studio.record(f"batch-{batches}", PERSONAS, concurrency=4)
        batches += 1
        done += _until_completed(studio, started, kills - done, rng)
        recorded = {str(event.id) for event in studio.events(started.batch)}
        lost += studio.acknowledged(started.batch) - recorded
        unexplained += [a for a in studio.anomalies(started.batch) if not a.startswith(EXPLAINED)]
        wrong += _wrong(studio, started)
        calls += len(studio.calls(started.batch))
    quarantined = studio.ledger.ask(Status()).quarantined
    return Stock(done, batches, calls, lost, unexplained, wrong, quarantined)


def _until_completed(studio: Studio, started: BatchStarted, kills: int, rng: random.Random) -> int:
    """How many kills the batch took; after `kills` of them it is left in peace."""
    done = 0
    while True:
        runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS=str(LATENCY_MS))
        while done < kills and _at_a_chance_moment(studio, started, rng):
            done += 1
            if rng.random() < 0.5:
                runner.kill()
                break
            with suppress(LedgerError, ProcessLookupError):
                studio.kill_daemon()
        runner.wait(WITHIN_S)
        studio.resumed(started.batch)
        if studio.state(started.batch).status == "completed":
            return done


def _at_a_chance_moment(studio: Studio, started: BatchStarted, rng: random.Random) -> bool:
    """Returns some events from now, and a little; False where the batch ends before."""
    target = studio.state(started.batch).seq + rng.randrange(1, 60)
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        state = studio.state(started.batch)
        if state.seq >= target:
            time.sleep(rng.random() / 100)
            return True
        if state.status not in ("queued", "running"):
            return False
        time.sleep(0.002)
    raise AssertionError(f"{started.batch} stands still: {studio.log.read_text()[-4_000:]}")


def _wrong(studio: Studio, started: BatchStarted) -> list[str]:
    state, documents = studio.state(started.batch), studio.personas(started)
    found = {document["id"] for document in documents}
    wrong = [row.persona for row in state.personas if row.persona not in found]
    wrong += [row.persona for row in state.personas if not Path(str(row.path)).exists()]
    completed = [
        each.event.persona
        for each in studio.ledger.read_all(0, ["persona.completed"], started.batch)
        if each.anomaly is None
    ]
    if sorted(completed) != sorted(row.persona for row in state.personas):
        wrong.append(f"{len(completed)} completions of {len(state.personas)} personas")
    if len(documents) != started.total or list(Path(started.output).glob("**/*.tmp")):
        wrong.append(f"{len(documents)} files of {started.total}, or half ones beside them")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    os.environ |= {"PERSONA_LEDGER": str(folder / "ledger"), "XDG_RUNTIME_DIR": str(folder)}
    studio = Studio(folder)
    try:
        stock = shake(studio, given.kills, given.seed)
    finally:
        studio.close()
    print(f"seed {given.seed}: {stock}")
    if stock.lost or stock.unexplained or stock.wrong or stock.quarantined:
        print(f"what is left of it: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
