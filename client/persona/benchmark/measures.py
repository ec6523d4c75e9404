"""What a run measured, as people are told it: a table of metrics with their spread."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from personad.contract.benchmark import Statistics

from .baseline_file import Environment, Workload
from .metrics import Samples, statistics
from .stored import LEAST_PROCESSES, student_t

Made = Callable[[Samples], list[float]]
Percentile = Literal["p50", "p95", "p99"]


class MeasuredMetric(Struct, frozen=True, kw_only=True):
    """One line of a run's table."""

    metric: str
    p50: float
    p95: float | None
    p99: float | None
    mean: float
    std: float
    n: int
    plus_minus: float | None = None
    """Half the 95 % interval of the mean over processes; None where there are too few of them."""


class RunReport(Struct, frozen=True, kw_only=True):
    """One run of one workload."""

    run: str
    suite: str
    workload: str
    provider: str
    model: str
    environment: Environment
    commit: str | None
    interrupted: str | None
    """Why it is only a part; it is never compared then."""
    took_s: float
    warm_up: int
    """Runs of each process that came first, and do not count."""
    metrics: list[MeasuredMetric]


class SuiteReport(Struct, frozen=True, kw_only=True):
    """All runs of a suite."""

    suite: str
    runs: list[RunReport]


def _as_it_is(key: str) -> Made:
    return lambda run: list(run.get(key, ()))


def _ratio(key: str, of: str, scale: float = 1.0) -> Made:
    def made(run: Samples) -> list[float]:
        pairs = zip(run.get(key, ()), run.get(of, ()), strict=False)
        return [part / whole * scale for part, whole in pairs if whole]

    return made


MEASURES: dict[str, Made] = {
    "generation_latency": _as_it_is("generation_latency_ms"),
    "part": _as_it_is("part_ms"),
    "time_to_first_token": _as_it_is("ttft_ms"),
    "throughput_personas_per_minute": _ratio("personas", "generation_latency_ms", 60_000),
    "cpu_ms": _as_it_is("cpu_ms"),
    "memory_peak_mb": _as_it_is("memory_peak_mb"),
    "memory_average_mb": _as_it_is("memory_average_mb"),
    "api_calls_per_persona": _ratio("api_calls", "personas"),
    "tokens_per_persona": _ratio("tokens", "personas"),
    "cost_per_persona_usd": _ratio("cost_nanousd", "personas", 1e-9),
    "retry_rate": _ratio("retries", "api_calls"),
    "parse_success_rate": lambda run: [1 - share for share in _ratio("unparsed", "api_calls")(run)],
    "cli_startup": _as_it_is("cli_startup_ms"),
}
"""Each metric's value in every iteration of a process; times are in milliseconds."""


def metric_of(name: str) -> tuple[str, Percentile] | None:
    """A metric of `MEASURES` and which percentile: `generation_latency_p95`; p50 if not said."""
    base, _, percentile = name.rpartition("_")
    match percentile:
        case "p50" | "p95" | "p99" if base in MEASURES:
            return base, percentile
        case _:
            return (name, "p50") if name in MEASURES else None


def measures(runs: Sequence[Samples]) -> list[dict[str, list[float]]]:
    """The metrics' values, one map a process; a metric nobody sampled is left out."""
    made = [{name: of(run) for name, of in MEASURES.items()} for run in runs]
    return [{name: values for name, values in run.items() if values} for run in made]


def summary(workload: Workload) -> dict[str, Statistics]:
    """The metrics' statistics over all processes."""
    return statistics(measures(workload.runs))


def lines(workload: Workload, only: Sequence[str] = ()) -> list[MeasuredMetric]:
    """The run's table, in the order of `MEASURES`; with `only`, these metrics alone."""
    runs = measures(workload.runs)
    found = statistics(runs)
    return [
        _line(name, found[name], [run[name] for run in runs if name in run])
        for name in MEASURES
        if name in found and (not only or name in only)
    ]


def _line(name: str, found: Statistics, by_process: Sequence[Sequence[float]]) -> MeasuredMetric:
    return MeasuredMetric(
        metric=name,
        p50=found.p50,
        p95=found.p95,
        p99=found.p99,
        mean=found.mean,
        std=found.std,
        n=found.n,
        plus_minus=_plus_minus(by_process),
    )


def _plus_minus(by_process: Sequence[Sequence[float]]) -> float | None:
    if len(by_process) < LEAST_PROCESSES:
        return None
    means = np.array([np.mean(values) for values in by_process])
    spread = float(means.std(ddof=1)) / math.sqrt(len(means))
    return student_t(0.975, len(means) - 1) * spread


def of_statistics(found: Mapping[str, Statistics]) -> list[MeasuredMetric]:
    """The lines of a run of which only the statistics are left."""
    known = [name for name in MEASURES if name in found]
    return [_line(name, found[name], ()) for name in (*known, *sorted({*found} - {*known}))]
