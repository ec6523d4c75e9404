"""Large ledgers, each made once a run: how soon a daemon is ready on one, and what it takes.

`PERSONA_BENCH_EVENTS` says how many events are in the large one (10,000,000), and
`PERSONA_BENCH_CACHE` names a folder in which what was made is kept for later runs.
"""

import atexit
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from .events import costs
from .figure import Figure, beside
from .filled import Filled
from .history import Shape
from .house import House, daemon, house
from .ingest import database_bytes
from .pressure import rate, send
from .process import family, peak_mb, resident_mb
from .producer import Load
from .sampling import percentile, spread

EVENTS = int(os.environ.get("PERSONA_BENCH_EVENTS", "10_000_000"))
SMALL = 100_000
DAYS = 90
EVENTS_AN_EXPERIMENT, EVENTS_A_BATCH = 1_000, 100
"""So that ten million events are of 10,000 experiments and 100,000 batches."""
STARTS = 5
READY_S, IDLE_MB, FULL_MB, OF_JSON = 0.5, 80.0, 200.0, 0.65
SETTLE_S = 3.0
AMID = 20
"""Requests of 1,000 events that a daemon has taken when it is killed."""


class Large(Struct, frozen=True):
    """A house whose ledger is large, with no daemon in it."""

    house: House
    filled: Filled


@cache
def _kept() -> str:
    """Where what was made is kept: as long as this process lasts, unless the user names a place."""
    if named := os.environ.get("PERSONA_BENCH_CACHE"):
        return named
    folder = tempfile.mkdtemp(prefix="pb-kept-")
    atexit.register(shutil.rmtree, folder)
    return folder


@contextmanager
def ledger_of(events: int) -> Iterator[Large]:
    """A ledger for one measurement alone: the next one finds nothing of what this one appends."""
    with house() as here:
        yield _filled(here, events)


def _filled(here: House, events: int) -> Large:
    shape = Shape(
        events=events,
        days=DAYS,
        until=datetime.now(UTC),
        experiments=max(1, events // EVENTS_AN_EXPERIMENT),
        batches=max(1, events // EVENTS_A_BATCH),
    )
    worker = here.worker(
        "bench.filled",
        str(here.paths.database),
        msgspec.json.encode(shape).decode(),
        _kept(),
    )
    said, _ = worker.communicate()
    if worker.returncode:
        raise RuntimeError(f"no ledger of {events:,} events could be made; it said why above")
    return Large(here, msgspec.json.decode(said, type=Filled))


def measure() -> list[Figure]:
    with ledger_of(SMALL) as small, ledger_of(EVENTS) as large:
        disk = _on_disk(small, large)
        compared = _stopped(small)
        return [disk, *_starts(large, compared), *_memory(small, large)]


def _on_disk(small: Large, large: Large) -> Figure:
    share, usual = (database_bytes(it.house) / it.filled.json_bytes for it in (large, small))
    filled = large.filled
    return Figure(
        name=f"disk for {filled.events:,} events",
        value=share,
        limit=OF_JSON,
        unit="×",
        peer=f"the same events as JSON lines: {filled.json_bytes / 1e6:,.0f} MB",
        detail=f"{database_bytes(large.house) / 1e6:,.0f} MB, indexes and folds included; "
        f"{filled.days} days, {filled.experiments:,} experiments, {filled.batches:,} batches; "
        f"with {small.filled.events:,} events {usual:.2f} ×",
    )


def _starts(large: Large, compared: list[float]) -> list[Figure]:
    what = f"daemon ready, {large.filled.events:,} events"
    small_s = median(compared)
    return [
        Figure(
            name=f"{what}, {after}",
            value=median(sample),
            limit=limit,
            unit="s",
            peer=beside(f"with {SMALL:,} events", small_s, median(sample), "s"),
            detail=f"{detail}; median of {len(sample)}, p95 {percentile(sample, 95):.3f} s; "
            "least to greatest",
            interval=spread(sample),
        )
        for after, sample, limit, detail in (
            ("stopped", _stopped(large), READY_S, "spawned to first answer"),
            (
                "stopped, read from the disk",
                _stopped(large, cold=True),
                None,
                "spawned to first answer; the system was told to forget the database's pages",
            ),
            (
                "killed",
                _killed(large),
                READY_S,
                f"spawned to first answer after SIGKILL with {AMID},000 new events in its log",
            ),
        )
    ]


def _stopped(it: Large, *, cold: bool = False) -> list[float]:
    found = []
    for _ in range(STARTS):
        if cold:
            _forget(it.house.paths.database)
        with daemon(it.house) as running:
            found.append(running.ready_s)
    return found


def _forget(file: Path) -> None:
    """Has the system drop what it keeps of a file in memory, as after a restart."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _killed(it: Large) -> list[float]:
    found = []
    for turn in range(STARTS + 1):
        with daemon(it.house) as running:
            if turn:
                found.append(running.ready_s)
            with it.house.ledger() as ledger:
                events = list(costs(AMID * 1_000, seed=100 + turn))
                for n in range(0, len(events), 1_000):
                    ledger.append(events[n : n + 1_000])
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
    return found


def full_load(events: int, seed: int) -> list[Load]:
    """Two producers that send all they can, a thousand events a request."""
    return [
        Load(events=events // 2, at_once=1_000, seed=seed + n, over_ms=events // 2) for n in (0, 1)
    ]


def _memory(small: Large, large: Large) -> list[Figure]:
    (idle, full, took), (small_idle, small_full, _) = (_resident(it) for it in (large, small))
    what, other = f"{large.filled.events:,} events", f"with {SMALL:,} events"
    return [
        Figure(
            name=f"daemon's memory, {what}, idle",
            value=idle,
            limit=IDLE_MB,
            unit="MB",
            peer=beside(other, small_idle, idle, "MB"),
            detail=f"resident, {SETTLE_S:.0f} s after it was ready",
        ),
        Figure(
            name=f"daemon's memory, {what}, under full ingest",
            value=full,
            limit=FULL_MB,
            unit="MB",
            peer=beside(other, small_full, full, "MB"),
            detail=f"peaks of both its processes; 2 producers, 1,000 a request, {took}",
        ),
    ]


def _resident(it: Large) -> tuple[float, float, str]:
    """At rest, at its peak under full ingest, and what it took in then."""
    loads = full_load(400_000, seed=200)
    with daemon(it.house) as running:
        time.sleep(SETTLE_S)
        idle = resident_mb(running.process.pid)
        pace = rate(loads, send(it.house, loads))
        # With the process that prepares what comes in large appends.
        peak = sum(map(peak_mb, family(running.process.pid)))
        return idle, peak, f"400,000 at {pace:,.0f} /s"
