"""Benchmark runs."""

from msgspec import Struct

from .base import Count, Event, Finite, Name, Text


class Statistics(Struct, frozen=True, kw_only=True):
    """Of one metric, in the metric's own unit."""

    p50: Finite
    p95: Finite | None
    """None under 59 samples."""
    p99: Finite | None
    """None under 299 samples."""
    mean: Finite
    std: Finite
    n: Count


class BenchmarkFinished(Event, frozen=True, kw_only=True, tag="benchmark.finished"):
    run: Name
    suite: Name
    workload: Name
    provider: Name
    model: Name
    environment: dict[str, Text]
    runs: list[dict[str, list[Finite]]]
    """Raw samples by metric, one map a process."""
    summary: dict[str, Statistics]
    commit: Name | None = None
