"""Kept runs to compare."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from msgspec.structs import replace
from persona.benchmark.baseline_file import Baseline, Environment, Workload, figures

HERE = Environment(
    python_version="3.11.7",
    platform="Linux-6.1-x86_64",
    os="Linux",
    arch="x86_64",
    cpu="Some CPU @ 2.0 GHz",
    cores=2,
    memory_gb=24.0,
    persona_version="1.12.0",
)


def samples(
    rng: np.random.Generator, iterations: int, scale: Mapping[str, float]
) -> dict[str, list[float]]:
    """One process's."""

    def times(key: str, value: float, spread: float) -> list[float]:
        drawn = value * scale.get(key, 1.0) * np.exp(rng.normal(0, spread, iterations))
        return [float(each) for each in drawn]

    def counts(key: str, value: int) -> list[float]:
        return [round(value * scale.get(key, 1.0))] * iterations

    return {
        "generation_latency_ms": times("generation_latency_ms", 1_200, 0.02),
        "cpu_ms": times("cpu_ms", 40, 0.02),
        "ttft_ms": times("ttft_ms", 120, 0.02),
        "memory_peak_mb": times("memory_peak_mb", 60, 0.005),
        "memory_average_mb": times("memory_average_mb", 55, 0.005),
        "tokens": counts("tokens", 6_000),
        "api_calls": counts("api_calls", 3),
        "cost_nanousd": counts("cost_nanousd", 0),
        "personas": counts("personas", 3),
        "retries": counts("retries", 0),
        "unparsed": counts("unparsed", 0),
    }


def kept(
    name: str = "v1.12.0",
    *,
    seed: int = 1,
    processes: int = 5,
    iterations: int = 20,
    scale: Mapping[str, float] | None = None,
    **changed: Any,
) -> Baseline:
    """A run of `standard` whose samples are `scale` times the usual ones."""
    rng = np.random.default_rng(seed)
    workload = Workload(
        description="3 personas a run",
        provider="simulated",
        model="simulated-1",
        seed=7,
        iterations=processes * iterations,
        input_digest="sha256:abc",
        runs=[samples(rng, iterations, scale or {}) for _ in range(processes)],
    )
    whole = Baseline(
        name=name,
        version="1.12.0",
        captured_at=datetime(2026, 11, 26, 9, 30, tzinfo=UTC),
        environment=HERE,
        workloads={"standard": replace(workload, metrics=figures(workload))},
        commit="abc1234",
    )
    return replace(whole, **changed)


def with_workload(baseline: Baseline, **changed: Any) -> Baseline:
    """The same with another workload `standard`."""
    changed_one = replace(baseline.workloads["standard"], **changed)
    return replace(baseline, workloads={"standard": changed_one})
