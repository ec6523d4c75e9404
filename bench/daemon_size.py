"""How much memory a daemon takes: at rest, and after it has taken much in."""

import subprocess
import sys

from personad.contract.base import MAX_APPEND_EVENTS

from .events import costs
from .figure import Figure, beside
from .house import House, daemon, house
from .process import family, peak_mb, resident_mb

EVENTS = 100_000
IDLE_MB, FULL_MB = 80.0, 200.0
_NEEDS = "import anyio, apsw, click, msgspec, personad.contract.nng, sys"


def measure() -> list[Figure]:
    with house() as here, daemon(here) as it:
        peer = _bare(here)
        idle, idle_peak = resident_mb(it.process.pid), peak_mb(it.process.pid)
        full, full_peak = _filled(here, it.process.pid, 1_000)
    with house() as here, daemon(here) as it:
        large, large_peak = _filled(here, it.process.pid, MAX_APPEND_EVENTS)
    what = f"daemon's memory, {EVENTS:,} events"
    return [
        _figure("daemon's memory, idle", idle, idle_peak, peer, "new ledger", IDLE_MB),
        _figure(what, full, full_peak, peer, "1,000 a request; with its helping process"),
        _figure(
            f"{what} in large parts",
            large,
            large_peak,
            peer,
            f"{MAX_APPEND_EVENTS:,} a request, the most that is taken",
        ),
    ]


def _filled(here: House, pid: int, at_once: int) -> tuple[float, float]:
    """What it holds after it has taken everything in, and its peak."""
    events = list(costs(EVENTS, seed=1))
    with here.ledger() as ledger:
        for n in range(0, EVENTS, at_once):
            ledger.append(events[n : n + at_once])
    # With the process that prepares what comes in large appends.
    of_all = family(pid)
    return sum(map(resident_mb, of_all)), sum(map(peak_mb, of_all))


def _bare(here: House) -> float:
    """What a process holds that has only loaded what a daemon needs."""
    waiting = here.spawn(
        [sys.executable, "-c", f"{_NEEDS}; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        return resident_mb(waiting.pid)


def _figure(
    name: str, value: float, peak: float, peer: float, detail: str, limit: float = FULL_MB
) -> Figure:
    return Figure(
        name=name,
        value=value,
        limit=limit,
        unit="MB",
        peer=beside("python with its libraries", peer, value, "MB"),
        detail=f"{detail}; peak so far {peak:.1f} MB",
    )
