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

from .events import whole_batch
from .figure import Figure
from .house import PROGRAMS, House, daemon, house
from .sampling import ratio_interval, ratio_of_medians

ROUNDS = 40
WARM_UPS = 2
BATCHES = 50
SCREEN = (120, 160)
"""Lines and columns of the terminal that the table is drawn on: room for it without a pager."""

_PERSONA = str(PROGRAMS / "persona")
_LIST = [_PERSONA, "batch", "list"]
_PEER = "python -c 'import click'"

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
    }
    limits = {
        "persona --version": 1.5,
        "persona batch list --json": 2.5,
        "persona batch list, on a terminal": 3.5,
    }
    with house() as here, daemon(here):
        _fill(here)
        samples = _interleaved(here, timed, rng)
    return [
        _figure(name, samples[name], samples[_PEER], limits.get(name), rng)
        for name in timed
        if name != _PEER
    ]


def _fill(here: House) -> None:
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
