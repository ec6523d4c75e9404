"""How fast costs are exported to JSON lines, and how much memory that takes, whatever the size."""

import os
import time
from itertools import islice
from statistics import median
from typing import NamedTuple

import apsw

from personad.contract.asking import Range
from personad.contract.cost_rows import CostRows
from personad.contract.row_files import write_jsonl

from .events import costs
from .figure import Figure, beside
from .house import PROGRAMS, House, daemon, house
from .process import Peaks
from .sampling import spread

EVENTS, FEW = 500_000, 50_000
RATE, MEMORY_MB = 100_000, 100.0
ROUNDS = 3
DAYS = 400
_AT_ONCE = 10_000


class Exported(NamedTuple):
    took_s: float
    peak_mb: float
    bytes: int


def measure() -> list[Figure]:
    with house() as here, daemon(here):
        few = _exported(here, FEW, 0)
        many = [_exported(here, EVENTS, FEW if not turn else EVENTS) for turn in range(ROUNDS)]
        bare = _bare(here)
    rates = [EVENTS / each.took_s for each in many]
    rate, peak = median(rates), max(each.peak_mb for each in many)
    return [
        Figure(
            name=f"export of {EVENTS:,} costs to JSON lines",
            value=rate,
            limit=RATE,
            at_least=True,
            unit="/s",
            peer=beside("a bare loop over the same rows", bare, rate, "/s"),
            detail=f"`persona cost export`, from its start to its end, median of {ROUNDS}; "
            f"{many[0].bytes / 1e6:,.0f} MB; least to greatest",
            interval=spread(rates),
        ),
        Figure(
            name="memory of that command",
            value=peak,
            limit=MEMORY_MB,
            unit="MB",
            peer=beside(f"with {FEW:,} costs", few.peak_mb, peak, "MB"),
            detail=f"the most that it took, of {ROUNDS}",
        ),
    ]


def _exported(here: House, events: int, known: int) -> Exported:
    """One export of a ledger that is filled up to so many costs first."""
    with here.ledger() as ledger:
        more = costs(events - known, seed=events)
        while some := list(islice(more, _AT_ONCE)):
            ledger.append(some)
    file = here.folder / "costs.jsonl"
    command = [str(PROGRAMS / "persona"), "cost", "export", "--format", "jsonl"]
    began = time.perf_counter()
    with Peaks() as peaks:
        process = here.spawn([*command, "--days", str(DAYS), "-o", str(file)])
        peaks.follow("export", process.pid)
        if process.wait():
            raise RuntimeError(f"`persona cost export` ended with {process.returncode}")
        took_s = time.perf_counter() - began
    lines = sum(1 for _ in file.open("rb"))
    if lines != events:
        raise RuntimeError(f"{lines:,} of {events:,} costs were exported")
    return Exported(took_s, peaks.mb["export"], file.stat().st_size)


def _bare(here: House) -> float:
    """Rows a second of what can't be left out: read from the disk, written as JSON."""
    with here.ledger() as ledger:
        rows = ledger.ask(CostRows(range=Range(days=DAYS))).rows
    db = apsw.Connection(str(here.paths.database), flags=apsw.SQLITE_OPEN_READONLY)
    began = time.perf_counter()
    read = db.execute("SELECT seq, at, cost, price, body FROM event")
    with open(os.devnull, "wb") as nowhere:
        count = write_jsonl((rows[place % len(rows)] for place, _ in enumerate(read)), nowhere)
    took_s = time.perf_counter() - began
    db.close()
    return count / took_s
