"""How long a command takes, beside the least that a program with options must load."""

import os
import pty
import random
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from statistics import median

from persona.benchmark.baseline_file import Workload, dump
from persona.benchmark.recording import baseline_of
from persona.benchmark.workloads import WORKLOADS, digest

from .events import whole_batch
from .figure import Figure
from .house import PROGRAMS, ROOT, House, daemon, house
from .sampling import ratio_interval, ratio_of_medians

ROUNDS = 40
WARM_UPS = 2
BATCHES = 50
SCREEN = (120, 160)
"""Lines and columns of the terminal that the table is drawn on: room for it without a pager."""

_PERSONA = str(PROGRAMS / "persona")
_LIST = [_PERSONA, "batch", "list"]
_HISTORY = [_PERSONA, "cost", "history"]
_PEER = "python -c 'import click'"
_NUMPY, _NOTHING = "python -c 'import numpy'", "python -c pass"
_COMPARE = "persona benchmark compare of two kept runs"
COMPARE_LIMIT = 2.5
"""Of the peer, beside what numpy takes to load."""
PROCESSES, ITERATIONS = 5, 100

_KEPT = ("old.yaml", "new.yaml")
_SAMPLES = {
    "generation_latency_ms": 1_200.0,
    "cpu_ms": 40.0,
    "ttft_ms": 120.0,
    "memory_peak_mb": 60.0,
    "memory_average_mb": 55.0,
    "tokens": 6_000.0,
    "api_calls": 3.0,
    "personas": 3.0,
}

Timed = Callable[[House], float]


def measure() -> list[Figure]:
    """All commands in turn, in an order drawn for each round, on a ledger of fifty batches."""
    rng = random.Random(1)
    timed: dict[str, Timed] = {
        _PEER: lambda here: _piped(here, [sys.executable, "-c", "import click"]),
        "persona --version": lambda here: _piped(here, [_PERSONA, "--version"]),
        "persona batch list --json": lambda here: _piped(here, [*_LIST, "--json"]),
        "persona batch list, on a terminal": lambda here: _on_terminal(here, _LIST),
        "persona batch list, into a pipe": lambda here: _piped(here, _LIST),
        "persona cost --json": lambda here: _piped(here, [_PERSONA, "cost", "--json"]),
        "persona cost history --json": lambda here: _piped(here, [*_HISTORY, "--json"]),
        "persona cost history, on a terminal": lambda here: _on_terminal(here, _HISTORY),
        _NOTHING: lambda here: _piped(here, [sys.executable, "-c", "pass"]),
        _NUMPY: lambda here: _piped(here, [sys.executable, "-c", "import numpy"]),
        _COMPARE: lambda here: _piped(here, _compare(here)),
    }
    limits = {
        "persona --version": 1.5,
        "persona batch list --json": 2.5,
        "persona batch list, on a terminal": 3.5,
        "persona cost --json": 2.5,
        "persona cost history --json": 2.5,
        "persona cost history, on a terminal": 4.0,
    }
    with house() as here, daemon(here):
        _fill(here)
        samples = _interleaved(here, timed, rng)
    apart = (_PEER, _NOTHING, _NUMPY, _COMPARE)
    return [
        *(
            _figure(name, samples[name], samples[_PEER], limits.get(name), rng)
            for name in timed
            if name not in apart
        ),
        _compared(*(median(samples[name]) for name in apart)),
    ]


def _compared(peer_ms: float, nothing_ms: float, numpy_ms: float, took_ms: float) -> Figure:
    loading_ms = numpy_ms - nothing_ms
    return Figure(
        name=_COMPARE,
        value=(took_ms - loading_ms) / peer_ms,
        limit=COMPARE_LIMIT,
        unit="×",
        peer=f"{_PEER}: {peer_ms:.1f} ms",
        detail=f"median {took_ms:.1f} ms, less {loading_ms:.1f} ms that numpy takes to load; "
        f"{PROCESSES} × {ITERATIONS} runs each",
    )


def _compare(here: House) -> list[str]:
    files = [str(here.folder / name) for name in _KEPT]
    return [_PERSONA, "benchmark", "compare", "--baseline", files[0], "--current", files[1]]


def _keep(here: House) -> None:
    """Two runs of the usual workload, as `capture` writes them."""
    rng = random.Random(2)
    spec = WORKLOADS["standard"]
    for name in _KEPT:
        runs = [
            {
                key: [value * rng.lognormvariate(0, 0.02) for _ in range(ITERATIONS)]
                for key, value in _SAMPLES.items()
            }
            for _ in range(PROCESSES)
        ]
        workload = Workload(
            description=spec.description,
            provider=spec.provider,
            model="simulated-1",
            seed=spec.seed,
            iterations=PROCESSES * ITERATIONS,
            input_digest=digest(spec),
            runs=runs,
        )
        kept = baseline_of(name, {spec.name: workload}, ROOT)
        (here.folder / name).write_bytes(dump(kept))


def _fill(here: House) -> None:
    _keep(here)
    with here.ledger() as ledger:
        for number in range(BATCHES):
            ledger.append(whole_batch(number, total=5))


def _interleaved(
    here: House, timed: dict[str, Timed], rng: random.Random
) -> dict[str, list[float]]:
    """Milliseconds of each, round by round, without the first, which compile modules."""
    samples: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(WARM_UPS + ROUNDS):
        for name in rng.sample(list(timed), len(timed)):
            took_s = timed[name](here)
            if turn >= WARM_UPS:
                samples[name].append(took_s * 1_000)
    return samples


def _piped(here: House, command: list[str]) -> float:
    began = time.perf_counter()
    process = here.spawn(command)
    status = process.wait()
    took_s = time.perf_counter() - began
    _check(status, command)
    return took_s


def _on_terminal(here: House, command: list[str]) -> float:
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(ours, SCREEN)
        began = time.perf_counter()
        process = here.spawn(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        while _heard(ours):
            pass
        status = process.wait()
        took_s = time.perf_counter() - began
    finally:
        os.close(ours)
    _check(status, command)
    return took_s


def _heard(terminal: int) -> bytes:
    """What was written to a terminal; nothing once its last writer has closed it."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def _check(status: int, command: list[str]) -> None:
    if status:
        raise subprocess.CalledProcessError(status, command)


def _figure(
    name: str, sample: list[float], peer: list[float], limit: float | None, rng: random.Random
) -> Figure:
    return Figure(
        name=name,
        value=ratio_of_medians(sample, peer),
        limit=limit,
        unit="×",
        peer=f"{_PEER}: {median(peer):.1f} ms",
        detail=f"median {median(sample):.1f} ms of {len(sample)} interleaved runs; "
        "95 % bootstrap interval",
        interval=ratio_interval(sample, peer, rng),
    )
