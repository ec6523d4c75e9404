"""How long an append waits while the ledger is looked after: a rebuild, and retention."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice

from persona.client import Ledger

from personad.contract.cost import CostRecorded

from .events import costs
from .figure import Figure
from .house import PROGRAMS, daemon
from .large import DAYS, Large, ledger_of
from .sampling import percentile

SIZE = 1_000_000
KEPT_DAYS = 30
"""So that two events of three are dropped."""
WAIT_MS = 50.0
LONE, PAUSE_S = 10, 0.003
"""So many single events, a pause before each, then as many together as came in a while."""
TOGETHER = 400
FEWEST = 200


def measure() -> list[Figure]:
    with ledger_of(SIZE) as it:
        return _measured(it)


def _measured(it: Large) -> list[Figure]:
    with daemon(it.house), it.house.ledger() as ledger:
        events = iter(costs(2_000_000, seed=900))
        alone = list(islice(_waits(ledger, events), FEWEST))
        rebuilt, rebuild_s = _during(it, ledger, events, ["rebuild"])
    more = {"PERSONA_RETENTION_RAW_DAYS": str(KEPT_DAYS)}
    with daemon(it.house, more=more), it.house.ledger() as ledger:
        dropped, drop_s = _during(it, ledger, events, ["retention"])
    peer = f"with nothing else to do: {max(alone):.1f} ms"
    return [
        _figure("a rebuild", rebuilt, rebuild_s, peer),
        _figure(f"retention of {DAYS - KEPT_DAYS} days of {DAYS}", dropped, drop_s, peer),
    ]


def _figure(what: str, waits: Sequence[float], took_s: float, peer: str) -> Figure:
    return Figure(
        name=f"an append's longest wait during {what}",
        value=max(waits),
        limit=WAIT_MS,
        unit="ms",
        peer=peer,
        detail=f"{SIZE:,} events, {took_s:.1f} s; {len(waits):,} appends of one event, p50 "
        f"{percentile(waits, 50):.2f}, p99 {percentile(waits, 99):.2f} ms; {TOGETHER} more after "
        f"every {LONE}",
    )


def _during(
    it: Large, ledger: Ledger, events: Iterator[CostRecorded], command: list[str]
) -> tuple[list[float], float]:
    """The waits, in ms, of single appends while a command of `personad` runs; how long it ran."""
    began = time.perf_counter()
    process = it.house.spawn([str(PROGRAMS / "personad"), *command], stderr=None)
    waits = _waits(ledger, events)
    found = []
    while process.poll() is None:
        found.append(next(waits))
    if process.returncode:
        raise RuntimeError(f"`personad {command[0]}` ended with {process.returncode}")
    return found, time.perf_counter() - began


def _waits(ledger: Ledger, events: Iterator[CostRecorded]) -> Iterator[float]:
    while True:
        for _ in range(LONE):
            time.sleep(PAUSE_S)
            one = [next(events)]
            began_ns = time.perf_counter_ns()
            ledger.append(one)
            yield (time.perf_counter_ns() - began_ns) / 1e6
        ledger.append(list(islice(events, TOGETHER)))
