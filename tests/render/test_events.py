"""Events as lines: every kind has something worth knowing."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from persona.render.events import gist, line

from personad.contract import batch as b
from personad.contract import budget, cost, quality
from personad.contract.base import ErrorInfo
from personad.contract.benchmark import BenchmarkFinished
from personad.contract.events import AnyEvent, Recorded
from personad.contract.schema import EVENTS

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
WHO = {"id": UUID(int=1), "at": NOON}
BATCH = {**WHO, "batch": "b1"}
PERSONA = {**BATCH, "persona": "p1"}
MODEL = {"provider": "local", "model": "m"}
ERROR = ErrorInfo(kind="timeout", message="none came")
CALL = {**WHO, "call": "c1"}
SOURCE = b.Source(path="/data", digest="d", files=1, bytes=1, records=1)

GISTS: list[tuple[AnyEvent, str]] = [
    (
        b.BatchStarted(
            **BATCH, **MODEL, source=SOURCE, total=3, concurrency=1, output="/o", prompt_digest="p"
        ),
        "3 from /data with local/m",
    ),
    (b.BatchPausing(**BATCH, reason="user"), "user"),
    (b.BatchPaused(**BATCH, reason="budget"), "budget"),
    (b.BatchResumed(**BATCH, reason="user"), "user"),
    (b.BatchInterrupted(**BATCH, reason="lease"), "lease"),
    (b.BatchHeld(**BATCH, reason="breaker"), "no new call: breaker"),
    (b.BatchHeld(**BATCH), "it goes on"),
    (b.BatchSlept(**BATCH, slept_ms=185_000), "the machine slept 3m 05s"),
    (b.BatchFinished(**BATCH, status="completed"), "completed"),
    (b.BatchFinished(**BATCH, status="cancelled", reason="user"), "cancelled (user)"),
    (
        b.PersonaQueued(
            **PERSONA, index=2, segment=b.SegmentRef(digest="d", record_ids=["x", "y"])
        ),
        "#2 from 2 records",
    ),
    (b.PersonaGenerating(**PERSONA, attempt=1), "attempt 1"),
    (b.PersonaValidating(**PERSONA, attempt=2), "attempt 2"),
    (
        b.PersonaRetrying(**PERSONA, attempt=1, error=ERROR, delay_ms=5_000),
        "attempt 1: timeout: none came; again in 5.0s",
    ),
    (
        b.PersonaCompleted(
            **PERSONA, **MODEL, attempt=1, name="Anna", duration_ms=900, digest="d",
            composite=0.7, accepted=False,
        ),
        "Anna: 0.70, not accepted, 0.9s",
    ),
    (
        b.PersonaFailed(**PERSONA, **MODEL, attempts=4, error=ERROR),
        "after 4 attempts: timeout: none came",
    ),
    (cost.CallStarted(**CALL, **MODEL), "local/m"),
    (cost.CallStarted(**CALL, **MODEL, reserved_nanousd=10**9), "local/m, at most $1.00"),
    (cost.CallAbandoned(**CALL, reason="shutdown"), "shutdown"),
    (
        cost.CostRecorded(
            **CALL, **MODEL, operation="generation", outcome="ok", cost_nanousd=5,
            input_tokens=1_000, cache_read_tokens=1, output_tokens=9,
        ),
        "local/m, 1,001 tokens in, 9 out, $0.000000005",
    ),
    (
        cost.CostRecorded(**CALL, **MODEL, operation="generation", outcome="unknown"),
        "local/m, 0 tokens in, 0 out, unpriced, unknown",
    ),
    (cost.CostCorrected(**CALL, cost_nanousd=0, reason="settled"), "$0.00 (settled)"),
    (
        quality.QualityScored(
            **WHO, **MODEL, persona="p1", scores={}, composite=0.5, scorer="builtin/1"
        ),
        "0.50 by builtin/1",
    ),
    (quality.GoalSet(**WHO, metric="coherence", target=0.8), "coherence 0.80"),
    (quality.GoalCleared(**WHO, metric="coherence"), "coherence"),
    (
        budget.BudgetSet(
            **WHO, scope="daily", limit_nanousd=10**9, action="warn", thresholds=[80],
            timezone="UTC",
        ),
        "daily: $1.00, warn",
    ),
    (budget.BudgetCleared(**WHO, scope="daily"), "daily"),
    (
        budget.PriceSet(
            **WHO, **MODEL, effective_from=NOON,
            prices=budget.Prices(input_nanousd=1, output_nanousd=1),
        ),
        "local/m",
    ),
    (budget.AlertConfigured(**WHO, kind="cost", enabled=True), "cost on"),
    (budget.AlertConfigured(**WHO, kind="cost", enabled=False), "cost off"),
    (
        budget.AlertRaised(
            **WHO, alert="a", kind="cost", scope="daily", level="warning", value=1, threshold=1,
            message="much",
        ),
        "warning: much",
    ),
    (budget.AlertAcknowledged(**WHO, alert="a1"), "a1"),
    (
        budget.ForecastRecorded(
            **WHO, as_of="2026-11-23", filters={}, horizon_days=7, level=80,
            expected_nanousd=0, low_nanousd=0, high_nanousd=0,
        ),
        "2026-11-23: $0.00 in 7 days",
    ),
    (
        BenchmarkFinished(
            **WHO, **MODEL, run="r1", suite="micro", workload="quick", environment={}, runs=[],
            summary={},
        ),
        "r1: quick on local/m",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "told"), GISTS)
def test_what_is_worth_knowing(event: AnyEvent, told: str) -> None:
    assert gist(event) == told


def test_every_kind_of_event_is_among_them() -> None:
    assert {type(event) for event, _ in GISTS} == set(EVENTS)


def test_a_line_says_when_what_and_about_whom() -> None:
    recorded = Recorded(
        seq=7, recorded_at=NOON, event=b.PersonaGenerating(**PERSONA, attempt=1), anomaly="odd"
    )

    assert line(recorded) == (
        "2026-11-23 12:00:00        7  persona.generating  b1/p1  attempt 1  not counted: odd"
    )
