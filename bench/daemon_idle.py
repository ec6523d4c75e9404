"""What a daemon costs while nothing happens."""

import sys
import time
from contextlib import ExitStack

from .events import batch_name, queued
from .figure import Figure, beside
from .house import daemon, house
from .process import cpu_s

IDLE_S = 60.0
SETTLE_S = 3.0
LIMIT_PERCENT = 0.1
_BARE = "import time\nwhile True: time.sleep(1)"


def measure() -> list[Figure]:
    """One minute for all at once: at rest, with an open batch that is watched, and the peer."""
    with ExitStack() as stack:
        resting = stack.enter_context(daemon(stack.enter_context(house())))
        here = stack.enter_context(house())
        watched = stack.enter_context(daemon(here))
        with here.ledger() as ledger:
            ledger.append(queued(0, total=50))
        watcher = stack.enter_context(here.worker("bench.watcher", "batch", batch_name(0)))
        stack.callback(watcher.kill)
        bare = here.spawn([sys.executable, "-c", _BARE])
        stack.callback(bare.wait)
        stack.callback(bare.kill)
        pids = [resting.process.pid, watched.process.pid, bare.pid]
        time.sleep(SETTLE_S)
        before, began = [cpu_s(pid) for pid in pids], time.monotonic()
        time.sleep(IDLE_S)
        lasted = time.monotonic() - began
        rest, busy, peer = (
            (cpu_s(pid) - was) / lasted * 100 for pid, was in zip(pids, before, strict=True)
        )
    what = "python that wakes each second"
    return [
        Figure(
            name="daemon's time on a core, idle",
            value=rest,
            limit=LIMIT_PERCENT,
            unit="%",
            peer=beside(what, peer, rest, "%"),
            detail=f"{rest * lasted * 10:.1f} ms in {lasted:.0f} s",
        ),
        Figure(
            name="the same, one open batch and one watcher",
            value=busy,
            limit=None,
            unit="%",
            peer=beside(what, peer, busy, "%"),
            detail=f"{busy * lasted * 10:.1f} ms in {lasted:.0f} s, in the same minute",
        ),
    ]
