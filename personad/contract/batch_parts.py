"""What events, requests and replies about batches are made of."""

from typing import Literal

from msgspec import Struct

from .base import Count, Finite, Milliseconds, Name, NanoUsd, Path, Positive

BatchStatus = Literal[
    "queued",
    "running",
    "pausing",
    "paused",
    "interrupted",
    "completed",
    "partial",
    "failed",
    "cancelled",
]
Ended = Literal["completed", "partial", "failed", "cancelled"]
PersonaStatus = Literal[
    "pending", "generating", "validating", "completed", "failed", "retrying", "paused"
]

OPEN: frozenset[str] = frozenset({"queued", "running", "pausing", "paused", "interrupted"})
"""States in which a batch may still change without being retried."""


class Source(Struct, frozen=True, kw_only=True):
    """The research data that a batch was made from."""

    path: Path
    """Absolute."""
    digest: Name
    files: Count
    bytes: Count
    records: Count


class Retry(Struct, frozen=True, kw_only=True):
    """How failed attempts are repeated."""

    retries: Count = 3
    delay_ms: Milliseconds = 5_000
    multiplier: Finite = 2.0
    jitter: bool = True
    breaker_failures: Positive = 5


class Changes(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a resumed batch does otherwise from now on; null: as before."""

    budget_nanousd: NanoUsd | None = None
    """With what was spent before."""
    stop_on_budget: bool | None = None
    concurrency: Positive | None = None
    retry: Retry | None = None
    timeout_ms: Milliseconds | None = None
    call_timeout_ms: Milliseconds | None = None
    source: Source | None = None
    """Another one than it was planned from, and accepted as such."""


class SegmentRef(Struct, frozen=True, kw_only=True):
    """Which records one persona is written from."""

    digest: Name
    record_ids: list[str]
