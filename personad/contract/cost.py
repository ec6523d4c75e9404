"""Calls and what they cost."""

from typing import Literal

from .base import BatchId, Count, Event, Milliseconds, Name, NanoUsd, Positive, Reply, Request

Outcome = Literal["ok", "error", "unknown"]


class CallStarted(Event, frozen=True, kw_only=True, tag="call.started"):
    """Granted: from now on this call may cost up to what was reserved."""

    DAEMON_ONLY = True

    call: Name
    provider: Name
    model: Name
    batch: BatchId | None = None
    persona: Name | None = None
    attempt: Positive | None = None
    experiment: Name | None = None
    reserved_nanousd: NanoUsd | None = None


class CallAbandoned(Event, frozen=True, kw_only=True, tag="call.abandoned"):
    """Nothing was sent: the reservation is free again."""

    call: Name
    reason: Name


class CostRecorded(Event, frozen=True, kw_only=True, tag="cost.recorded"):
    """What one call used, and cost.

    Without `cost_nanousd` the daemon prices it once, at the prices of `at`. Of several for one
    call the greatest by (total tokens, output tokens, id) counts.
    """

    call: Name
    provider: Name
    model: Name
    operation: Name
    outcome: Outcome
    input_tokens: Count = 0
    """Neither read from nor written to a cache."""
    output_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    request_id: Name | None = None
    batch: BatchId | None = None
    persona: Name | None = None
    experiment: Name | None = None
    service_tier: Name | None = None
    cost_nanousd: NanoUsd | None = None
    estimated: bool = False
    error_kind: Name | None = None
    duration_ms: Milliseconds | None = None
    ttft_ms: Milliseconds | None = None


class CostCorrected(Event, frozen=True, kw_only=True, tag="cost.corrected"):
    """A later, better figure for a call; both stay in the ledger."""

    DAEMON_ONLY = True

    call: Name
    cost_nanousd: NanoUsd
    reason: Literal["reprice", "settled", "reconciled"]
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class Granted(Reply, frozen=True, tag="granted"):
    reserved_nanousd: NanoUsd | None


class Wait(Reply, frozen=True, tag="wait"):
    """Calls in flight, once settled, may free enough: ask again."""


class Refused(Reply, frozen=True, tag="refused"):
    budget: str
    spent_nanousd: NanoUsd
    reserved_nanousd: NanoUsd
    limit_nanousd: NanoUsd


class StartCall(Request[Granted | Wait | Refused], frozen=True, tag="start-call"):
    """Before every call that may cost. Idempotent by `call`."""

    call: Name
    provider: Name
    model: Name
    max_input_tokens: Count
    max_output_tokens: Count
    batch: BatchId | None = None
    persona: Name | None = None
    attempt: Positive | None = None
    experiment: Name | None = None
    fence: Positive | None = None
