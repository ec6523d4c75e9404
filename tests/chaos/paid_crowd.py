"""Ten paid runs at once under one stop budget: `python -m tests.chaos.paid_crowd [--kills 40]`.

First in peace, with a limit that they fit into, then with kills of runners and daemon and the same
limit again. In peace nobody is refused or interrupted, and the runners have the product's own
lease: that of the others, a tenth of it, is lost by whoever has no core for a moment, and what is
in flight is then held back as after a kill. And never is more paid than the limit says.
"""

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct
from persona.identity import event_id, now

from personad.contract.budget import Budget, BudgetSet, BudgetStatus
from personad.contract.errors import LedgerError

from ..provider_server import ProviderServer  # noqa: TID252
from ..staged_runner import OWN_LEASE  # noqa: TID252
from ..studio import WITHIN_S, Studio  # noqa: TID252
from .paid_kills import amiss, nanousd, ordered, set_prices, slowly

RUNS, PERSONAS, CONCURRENCY = 10, 30, 64
ENDED = ("completed", "paused")
PATIENCE_S = 600.0


class Crowd(Struct, frozen=True, kw_only=True):
    """How ten runs fared; `wrong` says where a promise was broken."""

    kills: int
    limit_nanousd: int
    paid_nanousd: int
    """By the server's count, for answers nobody heard as well."""
    held_nanousd: int
    """For calls whose answer never came, at their most."""
    completed: int
    """Of the runs; the others have been refused a call."""
    wrong: list[str]


def crowd(studio: Studio, name: str, limit_nanousd: int | None, kills: int, seed: int) -> Crowd:
    """Runs them all under an experiment's budget, and kills so often meanwhile."""
    rng = random.Random(seed)
    if limit_nanousd is not None:
        studio.ledger.append([_budget(name, limit_nanousd)])
    wrong: list[str] = []
    done = 0
    with ProviderServer(slowly(random.Random(seed))) as server:
        about: dict[str, Any] = {"count": PERSONAS, "concurrency": CONCURRENCY, "experiment": name}
        started = [ordered(studio, server, f"{name}-{n}", **about) for n in range(RUNS)]
        lease = {} if kills else {OWN_LEASE: "1"}
        runners = {each.batch: studio.staged(each.batch, **lease) for each in started}
        until = time.monotonic() + PATIENCE_S
        while not _all_ended(studio, runners):
            if time.monotonic() > until:
                raise AssertionError(f"{name} stands still: {studio.log.read_text()[-4_000:]}")
            time.sleep(rng.uniform(0, 0.6))
            if done < kills:
                done += 1
                _kill(studio, runners, rng)
            for batch in _left(studio, runners):
                if not kills:
                    wrong.append(f"{batch} was interrupted, and nobody was killed")
                studio.resumed(batch)
                runners[batch] = studio.staged(batch, **lease)
            wrong += _over(studio, server, name, limit_nanousd)
        for each in started:
            wrong += amiss(studio, each, server)
        paid = sum(map(nanousd, server.paid.values()))
    states = [studio.state(each.batch) for each in started]
    completed = sum(state.status == "completed" for state in states)
    refused = {state.reason for state in states if state.status == "paused"}
    if refused - {"budget"}:
        wrong.append(f"runs ended by {refused}")
    if refused and not kills:
        wrong.append(f"{RUNS - completed} runs that fit were refused")
    budget = _standing(studio, name)
    return Crowd(
        kills=done,
        limit_nanousd=limit_nanousd or 0,
        paid_nanousd=paid,
        held_nanousd=budget.unresolved_nanousd if budget is not None else 0,
        completed=completed,
        wrong=sorted(set(wrong)),
    )


def _budget(name: str, limit_nanousd: int) -> BudgetSet:
    return BudgetSet(
        id=event_id(),
        at=now(),
        scope=f"experiment:{name}",
        limit_nanousd=limit_nanousd,
        action="stop",
        thresholds=[80, 100],
        timezone="UTC",
    )


def _kill(studio: Studio, runners: dict[str, subprocess.Popen[bytes]], rng: random.Random) -> None:
    if rng.random() < 0.4:
        with suppress(LedgerError, ProcessLookupError):
            studio.kill_daemon()
        return
    running = [each for each in runners.values() if each.poll() is None]
    if running:
        rng.choice(running).kill()


def _left(studio: Studio, runners: dict[str, subprocess.Popen[bytes]]) -> list[str]:
    """The batches that a dead runner has left."""
    return [
        batch
        for batch, runner in runners.items()
        if runner.poll() is not None and studio.state(batch).status == "interrupted"
    ]


def _all_ended(studio: Studio, runners: dict[str, subprocess.Popen[bytes]]) -> bool:
    for batch, runner in runners.items():
        if studio.state(batch).status not in ENDED:
            return False
        runner.wait(WITHIN_S)
    return True


def _standing(studio: Studio, name: str) -> Budget | None:
    budgets = studio.ledger.ask(BudgetStatus()).budgets
    return next((each for each in budgets if each.scope == f"experiment:{name}"), None)


def _over(studio: Studio, server: ProviderServer, name: str, limit: int | None) -> list[str]:
    """Where the provider was paid more than was allowed, or the ledger says so."""
    budget = _standing(studio, name)
    if limit is None or budget is None:
        return []
    paid = sum(nanousd(each) for each in list(server.paid.values()))
    told = budget.spent_nanousd + budget.reserved_nanousd + budget.unresolved_nanousd
    found = [f"{paid} paid of {limit}"] if paid > limit else []
    return [*found, f"{told} committed of {limit}"] if told > limit else found


def most_of_a_call(studio: Studio, name: str) -> int:
    """The most that was ever reserved for one call of a run."""
    begun = studio.events(f"{name}-0", "call.started")
    return max(event.reserved_nanousd or 0 for event in begun)


def storm(studio: Studio, kills: int, seed: int) -> list[Crowd]:
    """To learn what ten runs cost, then with just so much in peace, then with kills."""
    set_prices(studio)
    learned = crowd(studio, "learn", None, 0, seed)
    limit = learned.paid_nanousd + most_of_a_call(studio, "learn")
    peace = crowd(studio, "peace", limit, 0, seed + 1)
    if not peace.wrong and peace.completed != RUNS:
        raise AssertionError(f"in peace only {peace.completed} runs were completed")
    # What a kill leaves unresolved is held back at its most, which is far more than calls cost.
    tight = crowd(studio, "tight", 4 * limit, kills // 2, seed + 2)
    wide = crowd(studio, "wide", 20 * limit, kills - kills // 2, seed + 3)
    return [learned, peace, tight, wide]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    os.environ |= {"PERSONA_LEDGER": str(folder / "ledger"), "XDG_RUNTIME_DIR": str(folder)}
    os.environ.pop("OPENAI_API_KEY", None)
    studio = Studio(folder)
    try:
        found = storm(studio, given.kills, given.seed)
    finally:
        studio.close()
    print(f"seed {given.seed}:", *found, sep="\n  ")
    if any(each.wrong for each in found):
        print(f"what is left of it: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
