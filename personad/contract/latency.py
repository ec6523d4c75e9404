"""How long calls take."""

from typing import Literal

from msgspec import Struct

from .asking import Filter, Period, Range
from .base import Count, Finite, Name, Reply, Request

LatencyDimension = Literal["provider", "model", "hour", "day", "week", "month"]


class Latencies(Struct, frozen=True, kw_only=True):
    """Of answered calls, in milliseconds; null where there were none.

    Percentiles are within 1 %, and exact below 50 ms.
    """

    n: Count
    mean: Finite | None
    p50: Finite | None
    p95: Finite | None
    p99: Finite | None


class LatencyRow(Struct, frozen=True, kw_only=True):
    key: Name
    duration_ms: Latencies
    ttft_ms: Latencies
    """Until the first token."""


class LatencyReply(Reply, frozen=True, kw_only=True, tag="latency"):
    range: Period
    by: LatencyDimension
    rows: list[LatencyRow]
    """By name; over time, in its order."""
    duration_ms: Latencies
    ttft_ms: Latencies


class Latency(Request[LatencyReply], frozen=True, tag="latency"):
    """How long the calls of a range took; kept by provider and model, so that experiments and
    batches can't be asked for."""

    by: LatencyDimension = "model"
    range: Range = Range()
    filter: Filter = Filter()
