"""How soon a daemon answers: a new ledger, and one that was killed with much in it."""

import signal
import sys
import time
from statistics import median

from .events import costs
from .figure import Figure
from .house import PROGRAMS, House, daemon, house
from .sampling import percentile, spread

FRESH, KILLED = 10, 5
EVENTS = 100_000
LIMIT_S = 0.5
_NEEDS = "import anyio, apsw, click, msgspec"


def measure() -> list[Figure]:
    fresh, told, bare = [], [], []
    for _ in range(FRESH):
        with house() as here:
            bare.append(_timed(here, [sys.executable, "-c", _NEEDS]))
            with daemon(here) as it:
                fresh.append(it.ready_s)
            told.append(_timed(here, [str(PROGRAMS / "personad"), "start"]))
            here.run([str(PROGRAMS / "personad"), "stop"])
    killed = _after_kill()
    peer = f"python -c '{_NEEDS}': {median(bare):.3f} s"
    return [
        _figure("daemon ready, new ledger", fresh, LIMIT_S, peer, "spawned to first answer"),
        _figure(
            f"daemon ready, {EVENTS:,} events, killed",
            killed,
            LIMIT_S,
            peer,
            "spawned to first answer after SIGKILL amid appends",
        ),
        _figure("personad start, the command", told, None, peer, "to its return"),
    ]


def _after_kill() -> list[float]:
    """Starts again and again after SIGKILL; each time there is something to replay."""
    events = list(costs(EVENTS, seed=1))
    found = []
    with house() as here:
        for turn in range(KILLED + 1):
            with daemon(here) as it:
                if turn:
                    found.append(it.ready_s)
                part = events if not turn else costs(5_000, seed=turn + 1)
                with here.ledger() as ledger:
                    ledger.append(list(part))
                it.process.send_signal(signal.SIGKILL)
                it.process.wait()
    return found


def _timed(here: House, command: list[str]) -> float:
    began = time.perf_counter()
    here.run(command)
    return time.perf_counter() - began


def _figure(name: str, sample: list[float], limit: float | None, peer: str, detail: str) -> Figure:
    return Figure(
        name=name,
        value=median(sample),
        limit=limit,
        unit="s",
        peer=f"{peer}, {median(sample) / float(peer.split()[-2]):.3g} ×",
        detail=f"{detail}; median of {len(sample)}, p95 {percentile(sample, 95):.3f} s; "
        "least to greatest",
        interval=spread(sample),
    )
