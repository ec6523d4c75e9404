"""From an append to what ten watchers know of it, beside the least that this can take."""

import random
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from personad.contract.batch import Claim
from personad.contract.events import AnyEvent, Fence
from personad.contract.nng import Publisher

from .events import batch_name, finished, made, queued
from .figure import Figure, beside
from .house import House, daemon, house
from .rows import INSERT, bare_database, rows_of
from .sampling import percentile
from .watcher import END, TOPIC

WATCHERS = 10
PERSONAS = 100
PAUSE_S = (0.001, 0.005)
"""Between two appends, drawn evenly: a busy run. After longer pauses an idle virtual machine takes
up to a millisecond more to wake the seven threads on the way, with or without us."""
FRAME_BYTES = 1_500
P50_MS, P99_MS = 2.0, 20.0

Seen = list[tuple[int, int]]


def measure() -> list[Figure]:
    steps = [step for index in range(1, PERSONAS + 1) for step in made(0, index)]
    with house() as here, daemon(here):
        watched = _watched(here, steps)
    with house() as here:
        bare = _bare(here, steps)
    detail = f"{len(steps):,} appends × {WATCHERS} watching processes, {len(watched):,} samples"
    figures = []
    for percent, limit in ((50, P50_MS), (99, P99_MS)):
        value, peer = percentile(watched, percent), percentile(bare, percent)
        what = f"a bare commit and publish to {WATCHERS}"
        worst = f"; worst {max(watched):.1f} ms" if percent == 99 else ""
        figures.append(
            Figure(
                name=f"append to watcher, p{percent}",
                value=value,
                limit=limit,
                unit="ms",
                peer=beside(what, peer, value, "ms"),
                detail=detail + worst,
            )
        )
    return figures


def _watched(here: House, steps: Sequence[AnyEvent]) -> list[float]:
    """Milliseconds from before each append to each watcher's new state."""
    rng = random.Random(1)
    name = batch_name(0)
    sent: Seen = []
    with here.ledger() as ledger, ExitStack() as stack:
        ledger.append(queued(0, PERSONAS))
        claimed = ledger.ask(Claim(batch=name, runner="bench", ttl_ms=600_000))
        fence = Fence(batch=name, fence=claimed.fence)
        watchers = _watchers(here, stack, "batch", name)
        for step in steps:
            time.sleep(rng.uniform(*PAUSE_S))
            at_ns = time.monotonic_ns()
            seq = ledger.append([step], fence=fence).last_seq
            assert seq is not None
            sent.append((seq, at_ns))
        ledger.append([finished(0)], fence=fence)
        return _delays_ms(sent, watchers)


def _bare(here: House, steps: Sequence[AnyEvent]) -> list[float]:
    """The same with nothing in between: a row committed, a message published."""
    rng = random.Random(1)
    path = str(here.folder / "bare.sock")
    db = bare_database(here.folder / "bare.db")
    sent: Seen = []
    with Publisher(path) as publisher, ExitStack() as stack:
        stack.callback(db.close)
        watchers = _watchers(here, stack, "bare", path)
        while publisher.subscribers < WATCHERS:
            time.sleep(0.01)
        for number, row in enumerate(rows_of(steps)):
            time.sleep(rng.uniform(*PAUSE_S))
            at_ns = time.monotonic_ns()
            db.execute(INSERT, row)
            publisher.publish(TOPIC, f"{number} ".encode().ljust(FRAME_BYTES))
            sent.append((number, at_ns))
        publisher.publish(TOPIC, END)
        return _delays_ms(sent, watchers)


def _watchers(
    here: House, stack: ExitStack, kind: str, where: str
) -> "list[subprocess.Popen[bytes]]":
    watchers = [here.worker("bench.watcher", kind, where) for _ in range(WATCHERS)]
    for watcher in watchers:
        stack.enter_context(watcher)
        stack.callback(watcher.kill)
        assert watcher.stdout is not None
        if watcher.stdout.readline() != b"ready\n":
            raise RuntimeError("a watcher did not start")
    return watchers


def _delays_ms(sent: Seen, watchers: "list[subprocess.Popen[bytes]]") -> list[float]:
    found: list[float] = []
    for watcher in watchers:
        said, _ = watcher.communicate(timeout=30)
        found += delays_ms(sent, msgspec.json.decode(said, type=Seen))
    return found


def delays_ms(sent: Seen, seen: Seen) -> list[float]:
    """How long each number took from being sent until that number or a later one was seen.

    Both in order; raises ValueError where the last that was sent was never seen.
    """
    found: list[float] = []
    later = iter(seen)
    known, at_ns = -1, 0
    for number, sent_ns in sent:
        while known < number:
            try:
                known, at_ns = next(later)
            except StopIteration:
                raise ValueError(f"a watcher never saw {number}") from None
        found.append((at_ns - sent_ns) / 1e6)
    return found
