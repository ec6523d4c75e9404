"""What is measured of a run, what one process's samples come to, and how a change is judged.

`METRICS` is the whole list. At most five of them gate, so that all together seldom raise a false
alarm; the others are shown with their intervals.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from personad.contract.benchmark import Statistics
from personad.contract.options import Benchmark

from .stored import floor_of
from .verdicts import Limits

Samples = Mapping[str, Sequence[float]]
"""One process's raw samples, by what was sampled; one value an iteration."""

Judge = Literal["floor", "whole interval", "count", "points"]

LEAST_FOR_P95 = 59
"""With fewer samples, the 95th percentile is as good as the greatest of them."""
LEAST_FOR_P99 = 299

SAMPLED: dict[str, str] = {
    "generation_latency_ms": "wall time of an iteration",
    "part_ms": "wall time of a part of the micro suite",
    "cpu_ms": "time on a core, all threads of the process",
    "ttft_ms": "from a call to its first token",
    "memory_peak_mb": "most memory held during an iteration",
    "memory_average_mb": "mean of the memory held, looked at every 10 ms",
    "tokens": "tokens in and out of an iteration's calls",
    "api_calls": "calls of an iteration",
    "cost_nanousd": "what an iteration's calls cost",
    "personas": "personas that an iteration made",
    "failed": "personas that could not be made",
    "retries": "calls that were a repetition",
    "unparsed": "answers that could not be used",
    "cli_startup_ms": "wall time of `persona --version`",
}
"""The keys of raw samples."""


class Metric(Struct, frozen=True, kw_only=True):
    """One line of a comparison."""

    name: str
    unit: str
    needs: tuple[str, ...]
    """The samples without which there is no such figure."""
    of_process: Callable[[Samples], float]
    """The one figure that a process counts as."""
    judge: Judge
    limits: str
    """The key below `[benchmark.thresholds]`."""
    gates: bool = False
    higher_is_better: bool = False
    least_samples: int = 1
    """Of all processes together; below it, the figure is n/a."""

    def figure(self, runs: Sequence[Samples]) -> float | None:
        """Of all processes: the median of theirs; None where it can't be told."""
        found = self.figures(runs)
        return float(np.median(found)) if found else None

    def figures(self, runs: Sequence[Samples]) -> list[float]:
        """One a process, or one of all together where noise can't change it; empty where any
        process lacks the samples.
        """
        if not runs or not all(run.get(key) for run in runs for key in self.needs):
            return []
        if sum(len(run[self.needs[0]]) for run in runs) < self.least_samples:
            return []
        if self.judge in ("count", "points"):
            together = {key: [value for run in runs for value in run[key]] for key in self.needs}
            return [self.of_process(together)]
        return [self.of_process(run) for run in runs]


def _median(key: str) -> Callable[[Samples], float]:
    return lambda run: float(np.median(run[key]))


def _percentile(key: str, rank: float) -> Callable[[Samples], float]:
    return lambda run: float(np.percentile(run[key], rank, method="inverted_cdf"))


def _per(key: str, of: str, scale: float = 1.0) -> Callable[[Samples], float]:
    """The sum of one by the sum of the other; 0 of 0 is 0."""

    def ratio(run: Samples) -> float:
        total = math.fsum(run[of])
        return math.fsum(run[key]) / total * scale if total else 0.0

    return ratio


def _parsed(run: Samples) -> float:
    calls = math.fsum(run["api_calls"])
    return 1 - math.fsum(run["unparsed"]) / calls if calls else 1.0


METRICS: tuple[Metric, ...] = (
    Metric(
        name="cpu_floor_ms",
        unit="ms",
        needs=("cpu_ms",),
        of_process=lambda run: floor_of(run["cpu_ms"]),
        judge="floor",
        limits="generation_latency_p50",
        gates=True,
    ),
    Metric(
        name="generation_latency_p50",
        unit="ms",
        needs=("generation_latency_ms",),
        of_process=_median("generation_latency_ms"),
        judge="whole interval",
        limits="generation_latency_p50",
        gates=True,
    ),
    Metric(
        name="part_p50",
        unit="ms",
        needs=("part_ms",),
        of_process=_median("part_ms"),
        judge="whole interval",
        limits="generation_latency_p50",
    ),
    Metric(
        name="generation_latency_p95",
        unit="ms",
        needs=("generation_latency_ms",),
        of_process=_percentile("generation_latency_ms", 95),
        judge="whole interval",
        limits="generation_latency_p95",
        least_samples=LEAST_FOR_P95,
    ),
    Metric(
        name="generation_latency_p99",
        unit="ms",
        needs=("generation_latency_ms",),
        of_process=_percentile("generation_latency_ms", 99),
        judge="whole interval",
        limits="generation_latency_p99",
        least_samples=LEAST_FOR_P99,
    ),
    Metric(
        name="time_to_first_token",
        unit="ms",
        needs=("ttft_ms",),
        of_process=_median("ttft_ms"),
        judge="whole interval",
        limits="time_to_first_token",
    ),
    Metric(
        name="throughput_personas_per_minute",
        unit="/min",
        needs=("personas", "generation_latency_ms"),
        of_process=_per("personas", "generation_latency_ms", 60_000),
        judge="whole interval",
        limits="throughput_personas_per_minute",
        higher_is_better=True,
    ),
    Metric(
        name="memory_peak_mb",
        unit="MB",
        needs=("memory_peak_mb",),
        of_process=_median("memory_peak_mb"),
        judge="floor",
        limits="memory_peak_mb",
        gates=True,
    ),
    Metric(
        name="memory_average_mb",
        unit="MB",
        needs=("memory_average_mb",),
        of_process=_median("memory_average_mb"),
        judge="floor",
        limits="memory_average_mb",
    ),
    Metric(
        name="api_calls_per_persona",
        unit="",
        needs=("api_calls", "personas"),
        of_process=_per("api_calls", "personas"),
        judge="count",
        limits="api_calls_per_persona",
        gates=True,
    ),
    Metric(
        name="tokens_per_persona",
        unit="",
        needs=("tokens", "personas"),
        of_process=_per("tokens", "personas"),
        judge="count",
        limits="tokens_per_persona",
        gates=True,
    ),
    Metric(
        name="cost_per_persona_usd",
        unit="USD",
        needs=("cost_nanousd", "personas"),
        of_process=_per("cost_nanousd", "personas", 1e-9),
        judge="count",
        limits="cost_per_persona_usd",
    ),
    Metric(
        name="retry_rate",
        unit="",
        needs=("retries", "api_calls"),
        of_process=_per("retries", "api_calls"),
        judge="points",
        limits="retry_rate",
    ),
    Metric(
        name="parse_success_rate",
        unit="",
        needs=("unparsed", "api_calls"),
        of_process=_parsed,
        judge="points",
        limits="parse_success_rate",
        higher_is_better=True,
    ),
    Metric(
        name="cli_startup",
        unit="ms",
        needs=("cli_startup_ms",),
        of_process=_median("cli_startup_ms"),
        judge="whole interval",
        limits="cli_startup",
    ),
)


def metric(name: str) -> Metric | None:
    """The metric of that name."""
    return next((each for each in METRICS if each.name == name), None)


def limits_of(each: Metric, settings: Benchmark) -> Limits:
    """What the configuration says of a metric; what it leaves open, the two for all say."""
    own = getattr(settings.thresholds, each.limits)
    return Limits(
        warn_percent=settings.warn if own.warn is None else own.warn,
        fail_percent=settings.fail if own.fail is None else own.fail,
        higher_is_better=each.higher_is_better,
    )


def statistics(runs: Sequence[Samples]) -> dict[str, Statistics]:
    """Of each kind of sample, all processes together."""
    keys = sorted({key for run in runs for key in run})
    found = {}
    for key in keys:
        values = np.concatenate([np.asarray(run.get(key, ()), dtype=np.float64) for run in runs])
        if not len(values):
            continue
        p50, p95, p99 = np.percentile(values, [50, 95, 99], method="inverted_cdf").tolist()
        found[key] = Statistics(
            p50=p50,
            p95=p95 if len(values) >= LEAST_FOR_P95 else None,
            p99=p99 if len(values) >= LEAST_FOR_P99 else None,
            mean=float(values.mean()),
            std=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
            n=len(values),
        )
    return found
