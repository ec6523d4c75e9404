"""Very many experiments and batches: `python -m tests.chaos.cardinality [experiments] [batches]`.

Two ledgers take the same calls in: one of few names, and one where each batch has one call. What
asks for totals must do the same work on both, and what is remembered between commits must stay
bounded.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw

from personad.contract import cost as c
from personad.contract.asking import Range
from personad.contract.base import Event
from personad.contract.quality import QualityScored, QualityTrends
from personad.questions import ANSWERS
from personad.tidy import all_at_once
from tests.ledgers import damage_of
from tests.personad.conftest import Core
from tests.personad.facts import NOON, cost, happened, started

AT_ONCE = 1_000
DAYS = 28
STEPS_MORE = 1.05
SCORED = 5
"""Each batch of so many has a score."""
BYTES_A_BATCH = 1_200
"""For its start and one call, with every row that follows from them."""
_SPAN = Range(days=30)
TOTALS: tuple[Any, ...] = (
    c.CostHistory(range=_SPAN),
    c.CostHistory(range=Range(days=30, timezone="Asia/Kathmandu")),
    c.CostHistory(range=_SPAN, interval="hour"),
    *(c.CostBreakdown(by=by, range=_SPAN) for by in ("provider", "model", "operation", "day")),
    QualityTrends(range=_SPAN),
)


@dataclass
class Outcome:
    """What was found."""

    experiments: int
    batches: int
    steps_few: int = 0
    """Of SQLite's machine for all totals, with few names,"""
    steps_many: int = 0
    """and with many."""
    remembered: dict[str, int] = field(default_factory=dict)
    """The most that each memory of the writer held between two commits, in entries."""
    bytes_a_batch: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        is_same = self.steps_many <= STEPS_MORE * self.steps_few
        return is_same and self.bytes_a_batch <= BYTES_A_BATCH and not self.wrong


def events(experiments: int, batches: int, total: int) -> Iterator[list[Event]]:
    """A start and a call of each of `total` batches, of which so many have a name of their own."""
    made: list[Event] = []
    for number in range(total):
        at = NOON - timedelta(days=number % DAYS, minutes=number % 240)
        batch = f"batch-{number % batches:06}"
        experiment = f"experiment-{number % experiments:05}"
        if number < batches:
            made.append(started(batch, 1, at=at, experiment=experiment))
        of: dict[str, Any] = {"at": at, "batch": batch, "experiment": experiment}
        made.append(cost(f"call-{number}", 7, **of))
        if number % SCORED == 0:
            made.append(happened(QualityScored, scores={}, composite=0.5, scorer="s", **of))
        if len(made) >= AT_ONCE:
            yield made
            made = []
    if made:
        yield made


def measure(folder: Path, experiments: int, batches: int) -> Outcome:
    """Fills both ledgers, in `folder`, and asks them."""
    found = Outcome(experiments, batches)
    few, many = Core(folder / "few.db"), Core(folder / "many.db")
    for made in events(5, 50, batches):
        few.append(*made)
    for made in events(experiments, batches, batches):
        many.append(*made)
        for name, size in remembered(many).items():
            found.remembered[name] = max(size, found.remembered.get(name, 0))
    for core in (few, many):
        all_at_once(core.book)
    found.steps_few, found.steps_many = steps(few), steps(many)
    found.rows = {
        table: int(many.db.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608
        for table in ("cost_quarter", "cost_experiment_quarter", "cost_batch_quarter", "batch")
    }
    many.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    found.bytes_a_batch = round(many.path.stat().st_size / batches, 1)
    if damage := damage_of(many.path):
        found.wrong.append(damage)
    few.db.close()
    many.db.close()
    return found


def remembered(core: Core) -> dict[str, int]:
    """The sizes of all that the writer keeps in memory from one commit to the next."""
    book = core.book
    return {
        f"{type(holder).__name__}.{name}": len(value)
        for holder in (book, book.names, book.rows)
        for name, value in vars(holder).items()
        if isinstance(value, (dict, set, list))
    }


def steps(core: Core) -> int:
    """How many instructions SQLite runs to answer all totals."""
    total = 0

    def count(event: dict[str, Any]) -> None:
        nonlocal total
        total += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

    core.db.trace_v2(apsw.SQLITE_TRACE_PROFILE, count)
    for request in TOTALS:
        ANSWERS[type(request)](core.db, request, core.now)
    core.db.trace_v2(0)
    return total


def main() -> int:
    experiments = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    batches = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    print(f"{experiments:,} experiments and {batches:,} batches", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        outcome = measure(Path(folder), experiments, batches)
    print(outcome)
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
