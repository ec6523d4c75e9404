"""Events to test with: one specimen of every kind, and short ways to make the common ones."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from personad.contract import batch as b
from personad.contract import benchmark, budget, quality
from personad.contract import cost as c
from personad.contract.base import ErrorInfo, Event
from personad.contract.schema import tag

NOON = datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=UTC)
SOURCE = b.Source(path="/data/interviews", digest="sha256-1", files=15, bytes=48_211, records=412)
ERROR = ErrorInfo(kind="rate_limit", message="429: slow down, “bitte”")

_numbers = count(1)


def fresh_id() -> UUID:
    """Another one at every call, and time-ordered as a producer's would be."""
    return UUID(int=(0x0192_0000_0000 << 80) | (7 << 76) | (2 << 62) | next(_numbers))


def started(batch: str = "batch-a", total: int = 2, **more: Any) -> b.BatchStarted:
    fields: dict[str, Any] = {
        "id": fresh_id(),
        "at": NOON,
        "batch": batch,
        "source": SOURCE,
        "total": total,
        "provider": "local",
        "model": "local",
        "concurrency": 2,
        "output": "/out/a",
        "prompt_digest": "p1",
    }
    return b.BatchStarted(**(fields | more))


def queued(persona: str, index: int, batch: str = "batch-a") -> b.PersonaQueued:
    segment = b.SegmentRef(digest="s1", record_ids=["r1", "r2"])
    return b.PersonaQueued(
        id=fresh_id(), at=NOON, batch=batch, persona=persona, index=index, segment=segment
    )


def planned(batch: str = "batch-a", total: int = 2) -> list[Event]:
    """A batch and its personas `p1`, `p2`, …, as `persona generate` records them."""
    places = range(1, total + 1)
    return [started(batch, total), *(queued(f"p{place}", place, batch) for place in places)]


def happened(kind: type[Event], batch: str = "batch-a", persona: str = "p1", **more: Any) -> Any:
    """Something of a batch or of one of its personas, with every other field filled in."""
    usual: dict[str, Any] = {
        "id": fresh_id(),
        "at": NOON,
        "batch": batch,
        "persona": persona,
        "attempt": 1,
        "attempts": 1,
        "provider": "local",
        "model": "local",
        "name": "Ana",
        "duration_ms": 1_000,
        "digest": "d",
        "composite": 0.8,
        "accepted": True,
        "error": ERROR,
        "delay_ms": 500,
        "slept_ms": 1_000,
        "reason": "user",
        "status": "completed",
    }
    given = usual | more
    return kind(**{name: given[name] for name in kind.__struct_fields__ if name in given})


def cost(call: str = "call-1", nanousd: int | None = 1_500, **more: Any) -> c.CostRecorded:
    fields: dict[str, Any] = {
        "id": fresh_id(),
        "at": NOON,
        "call": call,
        "provider": "local",
        "model": "local",
        "operation": "generation",
        "outcome": "ok",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_nanousd": nanousd,
        "batch": "batch-a",
        "persona": "p1",
    }
    return c.CostRecorded(**(fields | more))


def _common(number: int) -> dict[str, Any]:
    return {
        "id": UUID(int=(0x0192_1111_2222 << 80) | (7 << 76) | (2 << 62) | number),
        "at": NOON + timedelta(seconds=number),
        "producer": "persona/1.12.0",
    }


_BATCH = {"batch": "batch-2026-11-23-a1b2c3"}
_PERSONA = _BATCH | {"persona": "persona-d4e5f6"}
_MODEL = {"provider": "anthropic", "model": "claude-x"}
_CALL = {"call": "call-7a8b9c"}

_EACH: list[tuple[type[Event], dict[str, Any]]] = [
    (
        b.BatchStarted,
        _BATCH
        | _MODEL
        | {
            "source": SOURCE,
            "total": 5,
            "concurrency": 4,
            "output": "/home/ana/personas",
            "prompt_digest": "sha256-2",
            "experiment": "tone",
            "base_url": "https://example.org/v1",
            "seed": -7,
            "retry": b.Retry(retries=2, delay_ms=100, multiplier=1.5, jitter=False),
            "timeout_ms": 600_000,
            "call_timeout_ms": 60_000,
            "budget_nanousd": 2_500_000_000,
            "stop_on_budget": True,
            "redact": False,
            "estimate_nanousd": 1_200_000_000,
            "language": "de",
            "text_columns": ["answer", "Größe"],
            "participant_column": "who",
        },
    ),
    (b.BatchPausing, _BATCH | {"reason": "user"}),
    (b.BatchPaused, _BATCH | {"reason": "budget"}),
    (b.BatchResumed, _BATCH | {"reason": "user"}),
    (b.BatchInterrupted, _BATCH | {"reason": "lease lost"}),
    (b.BatchFinished, _BATCH | {"status": "partial", "reason": "breaker"}),
    (
        b.PersonaQueued,
        _PERSONA
        | {"index": 1, "segment": b.SegmentRef(digest="s", record_ids=["a.txt:1", "b.csv:2"])},
    ),
    (b.PersonaGenerating, _PERSONA | {"attempt": 1}),
    (b.PersonaValidating, _PERSONA | {"attempt": 2}),
    (b.PersonaRetrying, _PERSONA | {"attempt": 1, "error": ERROR, "delay_ms": 5_000}),
    (
        b.PersonaCompleted,
        _PERSONA
        | _MODEL
        | {
            "attempt": 2,
            "name": "Ana Öz",
            "duration_ms": 31_415,
            "digest": "sha256-3",
            "composite": 0.8125,
            "accepted": True,
            "experiment": "tone",
            "path": "01-ana.json",
        },
    ),
    (b.PersonaFailed, _PERSONA | _MODEL | {"attempts": 3, "error": ERROR, "experiment": "tone"}),
    (
        c.CallStarted,
        _PERSONA
        | _MODEL
        | _CALL
        | {"attempt": 1, "experiment": "tone", "reserved_nanousd": 90_000_000},
    ),
    (c.CallAbandoned, _CALL | {"reason": "paused"}),
    (
        c.CostRecorded,
        _PERSONA
        | _MODEL
        | _CALL
        | {
            "operation": "generation",
            "outcome": "error",
            "input_tokens": 1_200,
            "output_tokens": 800,
            "cache_read_tokens": 10,
            "cache_write_tokens": 20,
            "request_id": "req_1",
            "experiment": "tone",
            "service_tier": "batch",
            "cost_nanousd": 14_400_000,
            "estimated": True,
            "error_kind": "timeout",
            "duration_ms": 2_100,
            "ttft_ms": 340,
        },
    ),
    (
        c.CostCorrected,
        _CALL
        | {
            "cost_nanousd": 14_000_000,
            "reason": "reconciled",
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_tokens": 3,
            "cache_write_tokens": 4,
        },
    ),
    (
        quality.QualityScored,
        _PERSONA
        | _MODEL
        | {
            "scores": {"completeness": 1.0, "faithfulness": 0.625},
            "composite": 0.8125,
            "scorer": "builtin/1",
            "experiment": "tone",
        },
    ),
    (quality.GoalSet, {"metric": "faithfulness", "target": 0.9}),
    (quality.GoalCleared, {"metric": "faithfulness"}),
    (
        budget.BudgetSet,
        {
            "scope": "monthly",
            "limit_nanousd": 50_000_000_000,
            "action": "stop",
            "thresholds": [50, 80, 100],
            "timezone": "Europe/Berlin",
        },
    ),
    (budget.BudgetCleared, {"scope": "experiment:tone"}),
    (
        budget.PriceSet,
        _MODEL
        | {
            "prices": budget.Prices(
                input_nanousd=3_000_000_000,
                output_nanousd=15_000_000_000,
                cache_read_nanousd=300_000_000,
                cache_write_nanousd=3_750_000_000,
            ),
            "effective_from": NOON,
        },
    ),
    (
        budget.AlertConfigured,
        {"kind": "quality-drop", "enabled": True, "metric": "composite", "threshold": 0.1},
    ),
    (
        budget.AlertRaised,
        {
            "alert": "alert-1",
            "kind": "budget",
            "scope": "daily",
            "level": "warn",
            "value": 0.83,
            "threshold": 0.8,
            "message": "83 % of the daily budget is spent",
        },
    ),
    (budget.AlertAcknowledged, {"alert": "alert-1"}),
    (
        budget.ForecastRecorded,
        {
            "as_of": "2026-11-23",
            "filters": {"model": ["claude-x"]},
            "horizon_days": 30,
            "level": 80,
            "expected_nanousd": 10,
            "low_nanousd": 5,
            "high_nanousd": 20,
            "history_days": 90,
        },
    ),
    (
        benchmark.BenchmarkFinished,
        _MODEL
        | {
            "run": "run-1",
            "suite": "default",
            "workload": "append",
            "environment": {"python": "3.11.7"},
            "runs": [{"latency_ms": [1.5, 2.25]}, {"latency_ms": [1.75]}],
            "summary": {
                "latency_ms": benchmark.Statistics(
                    p50=1.75, p95=None, p99=None, mean=1.8, std=0.3, n=3
                )
            },
            "commit": "abc123",
        },
    ),
    (b.BatchHeld, _BATCH | {"reason": "breaker", "until": NOON + timedelta(seconds=30)}),
    (b.BatchSlept, _BATCH | {"slept_ms": 60_000}),
]

SPECIMENS: dict[str, Any] = {
    tag(kind): kind(**(_common(number) | fields))
    for number, (kind, fields) in enumerate(_EACH, start=1)
}
"""One event of every kind, every field filled in, by its `type`."""
