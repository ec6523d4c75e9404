"""An export, taken in by an empty ledger: `python -m tests.chaos.interchange [events] [seed]`.

Both ledgers must answer every question alike, apart from seqs and the time of recording; and
neither export nor import may take more memory for all of the events than for the first of them.
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

import msgspec
from persona.client import Ledger
from persona.identity import event_id

from personad import launch
from personad.contract import batch as b
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.admin import Hello, Status
from personad.contract.alerts import AskAlertNews
from personad.contract.asking import Range
from personad.contract.base import Event, Request
from personad.contract.errors import LedgerError
from personad.contract.events import Exported, Import, Read
from personad.contract.paths import Paths
from personad.questions import ANSWERS
from tests.chaos.soak import Clock, cost, story
from tests.chaos.vitals import ledger
from tests.personad.facts import SPECIMENS

FEW = 10_000
"""From here on memory must stay as it is: all buffers have been full."""
GROWTH_MIB = 12.0
AT_ONCE = 5_000
PERSONA = """
import re, sys
from pathlib import Path
from persona.program import run
status = run(sys.argv[2:])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
Path(sys.argv[1]).write_text(peak[1])
sys.exit(status)
"""
"""Runs a command, and notes its own peak; what `wait4` tells begins with its parent's size."""
EVER = Range(since="2026-01-01", until="2027-12-31")
"""All that the ledgers here are about."""
NOT_COMPARED = {
    *("seq", "previous_seq", "first_seq", "last_seq", "next_seq", "recorded_at", "as_of"),
    *("projected_nanousd", "exhausted_at"),
}
"""What may differ: places in the log, when it was recorded, when it was asked, and what goes by the
pace until then."""


@dataclass
class Outcome:
    """What was found."""

    events: int = 0
    few_mib: dict[str, float] = field(default_factory=dict)
    """The most that a command took for the first few events, by its name."""
    all_mib: dict[str, float] = field(default_factory=dict)
    """The same for all of them."""
    asked: int = 0
    differ: list[str] = field(default_factory=list)
    """Questions that the two ledgers answer differently."""
    again: list[str] = field(default_factory=list)
    """What a second import of the same changed, or said."""

    @property
    def is_good(self) -> bool:
        flat = all(
            self.all_mib[name] <= few_mib + GROWTH_MIB for name, few_mib in self.few_mib.items()
        )
        return flat and self.asked > 0 and not self.differ and not self.again


def fill(paths: Paths, events: int, seed: int) -> None:
    """One event of every kind, costs that nobody has priced, and batches up to so many events."""
    clock, rng = Clock(events), random.Random(seed)
    with Ledger(paths, autostart=False) as client:
        client.ask(Import(items=[Exported(event=each) for each in SPECIMENS.values()]))
        waiting: list[Event] = [
            cost(f"call-{n}", clock, rng, provider="anthropic", model="claude-x", is_priced=False)
            for n in range(20)
        ]
        sent = len(SPECIMENS)
        while sent < events:
            waiting += story(f"batch-{event_id().hex}", clock, rng)
            if len(waiting) >= AT_ONCE or sent + len(waiting) >= events:
                client.append(waiting)  # type: ignore[arg-type]
                sent += len(waiting)
                waiting = []


def command(paths: Paths, *words: str) -> tuple[str, float]:
    """What a `persona` command says, and the most memory that it took, in MiB."""
    peak = paths.data_dir / "peak"
    program = [sys.executable, "-c", PERSONA, str(peak), "--ledger", str(paths.data_dir), *words]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout, round(int(peak.read_text()) / 1024, 1)


def questions(client: Ledger) -> Iterator[Request[Any]]:
    """Every question that the ledger answers; those that need to be told of what, of some."""
    batches = client.ask(b.BatchList(limit=1_000)).batches
    chosen = random.Random(len(batches)).sample(batches, min(20, len(batches)))
    for kind in ANSWERS:
        # Nobody has to be shown an alert where it was imported: it was told where it happened.
        if kind in (Read, Status, AskAlertNews):
            continue
        if kind is b.BatchShow:
            yield from (b.BatchShow(batch=each.batch) for each in chosen)
        elif kind is b.BatchList:
            yield b.BatchList(limit=1_000)
        elif kind is c.CostBreakdown:
            yield from (c.CostBreakdown(by=by, range=EVER) for by in get_args(c.Dimension))
        elif kind is c.Estimate:
            yield c.Estimate(
                provider="anthropic",
                model="claude-sonnet-4-5",
                input_tokens=[900],
                max_output_tokens=500,
            )
        elif kind is k.CostExplain:
            yield from (k.CostExplain(id=each.batch) for each in chosen[:5])
        elif "range" in kind.__struct_fields__:
            yield kind(range=EVER)
        else:
            yield kind()


def comparable(reply: Any) -> Any:
    """A reply without what may differ."""
    match reply:
        case dict():
            kept = {name: comparable(value) for name, value in reply.items()}
            return {name: value for name, value in kept.items() if name not in NOT_COMPARED}
        case list():
            return [comparable(each) for each in reply]
        case _:
            return reply


def answer(client: Ledger, question: Request[Any]) -> Any:
    try:
        return comparable(msgspec.to_builtins(client.ask(question, timeout_s=120)))
    except LedgerError as error:
        return str(error)


def compare(ours: Paths, theirs: Paths, outcome: Outcome) -> None:
    with Ledger(ours, autostart=False) as first, Ledger(theirs, autostart=False) as second:
        # Before anything is asked: a forecast that is shown is recorded, by each at its own time.
        for one, other in zip_longest(first.read_all(), second.read_all()):
            if comparable(msgspec.to_builtins(one)) != comparable(msgspec.to_builtins(other)):
                outcome.differ.append(f"{one} became {other}")
        for question in questions(first):
            outcome.asked += 1
            if answer(first, question) != answer(second, question):
                outcome.differ.append(repr(question))


def there_and_back(folder: Path, events: int, seed: int) -> Outcome:
    """Fills a ledger with so many events, and has another one take its export."""
    outcome, file, few = Outcome(events), folder / "all.jsonl", folder / "few.jsonl"
    with ledger(folder / "few") as (paths, _):
        fill(paths, FEW, seed)
        outcome.few_mib["export"] = command(paths, "events", "export", "-o", str(few))[1]
    with ledger(folder / "ours") as (ours, _), ledger(folder / "theirs") as (theirs, _):
        with ledger(folder / "other") as (other, _):
            outcome.few_mib["import"] = command(other, "events", "import", str(few))[1]
        fill(ours, events, seed)
        outcome.all_mib["export"] = command(ours, "events", "export", "-o", str(file))[1]
        outcome.all_mib["import"] = command(theirs, "events", "import", str(file))[1]
        taken = launch.ask(theirs, Hello()).last_seq
        compare(ours, theirs, outcome)
        before = launch.ask(theirs, Hello()).last_seq
        said = msgspec.json.decode(command(theirs, "events", "import", "--json", str(file))[0])
        if said["imported"] or said["duplicates"] != taken:
            outcome.again.append(str(said))
        if launch.ask(theirs, Hello()).last_seq != before:
            outcome.again.append("there are more events than before")
    return outcome


def main() -> int:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{events:,} events, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        outcome = there_and_back(Path(folder), events, seed)
    print(outcome)
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
