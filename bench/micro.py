"""The parts of making a persona, and a daemon under load: by `persona benchmark run` itself."""

from typing import Any

import msgspec

from .figure import Figure
from .house import PROGRAMS, House, daemon, house

PROCESSES = 5
RATE_LIMIT, LAG_LIMIT_MS = 3_000.0, 20.0
USERS, SPAWN_RATE, DURATION_S = 24, 24, 20

Document = dict[str, Any]


def measure() -> list[Figure]:
    """What `--suite micro` says, a figure a part."""
    with house() as here, daemon(here):
        told = _run(here, "micro", "--processes", str(PROCESSES))
    return [_part(run) for run in told["runs"]]


def measure_load() -> list[Figure]:
    """What `--suite integration` says: locust's users on one daemon."""
    load = ("--users", str(USERS), "--spawn-rate", str(SPAWN_RATE), "--duration", str(DURATION_S))
    with house() as here, daemon(here):
        told = _run(here, "integration", *load)
    failed = sum(each["failed"] for each in told["requests"])
    how = f"{USERS} users of one locust process for {DURATION_S} s; {failed} requests failed"
    return [
        Figure(
            name="requests a second under load",
            value=told["requests_per_s"],
            limit=RATE_LIMIT,
            unit="/s",
            peer="",
            detail=how,
            at_least=True,
        ),
        Figure(
            name="the lag of a small question under load, p99",
            value=told["lag_p99_s"] * 1_000,
            limit=LAG_LIMIT_MS,
            unit="ms",
            peer="",
            detail=how,
        ),
    ]


def _run(here: House, suite: str, *more: str) -> Document:
    command = [str(PROGRAMS / "persona"), "benchmark", "run", "--suite", suite, *more, "--json"]
    found: Document = msgspec.json.decode(here.run(command))
    return found


def _part(run: Document) -> Figure:
    wall, cpu = (
        next(each for each in run["metrics"] if each["metric"] == name)
        for name in ("part", "cpu_ms")
    )
    return Figure(
        name=run["workload"],
        value=wall["p50"],
        limit=None,
        unit="ms",
        peer="",
        detail=f"median of {wall['n']} runs in {PROCESSES} processes, {cpu['p50']:.3g} ms of it "
        "on a core",
    )
