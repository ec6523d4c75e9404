"""What a batch's state means to whoever waits for it."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from persona.outcome import exit_status, in_flight, next_step
from persona.render.batches import STATUS_STYLES, batch_show, progress
from persona.render.tables import Facts

from personad.contract.batch import (
    BatchCost,
    BatchState,
    BatchStatus,
    BatchUsage,
    Counts,
    Eta,
    PersonaStatus,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
COST = BatchCost(
    spent_nanousd=0,
    reserved_nanousd=0,
    unresolved_nanousd=0,
    projected_nanousd=None,
    budget_nanousd=None,
)


USAGE = BatchUsage(
    calls=0, input_tokens=0, output_tokens=0, cache_read_tokens=0, cache_write_tokens=0
)


def state(
    status: BatchStatus,
    reason: str | None = None,
    *,
    counts: Counts = Counts(),  # noqa: B008  # frozen
    eta_ms: Eta | None = None,
    cost: BatchCost = COST,
    slept_ms: int = 0,
) -> BatchState:
    return BatchState(
        batch="b1",
        experiment=None,
        status=status,
        reason=reason,
        provider="local",
        model="m",
        total=5,
        counts=counts,
        started_at=NOON,
        finished_at=None,
        elapsed_ms=1_000,
        slept_ms=slept_ms,
        eta_ms=eta_ms,
        cost=cost,
        usage=USAGE,
        quality=None,
        concurrency=1,
        output="/o",
        source="/s",
        personas=[],
        seq=1,
        as_of=NOON,
    )


def facts(shown: BatchState) -> dict[str, str]:
    (found,) = (block for block in batch_show(shown) if isinstance(block, Facts))
    return {line.label: line.text for line in found.lines}


@pytest.mark.parametrize(
    ("status", "reason", "ends_with"),
    [
        ("queued", None, None),
        ("running", None, None),
        ("pausing", "user", None),
        ("paused", "user", 130),
        ("paused", "terminal", 130),
        ("paused", "shutdown", 130),
        ("paused", "budget", 75),
        ("paused", "breaker", 75),
        ("paused", "timeout", 75),
        ("interrupted", "lease", 75),
        ("completed", None, 0),
        ("partial", None, 1),
        ("failed", None, 1),
        ("cancelled", "user", 1),
    ],
)
def test_how_waiting_ends(status: BatchStatus, reason: str | None, ends_with: int | None) -> None:
    assert exit_status(state(status, reason)) == ends_with


def test_what_goes_on_can_be_watched_and_what_stands_still_resumed() -> None:
    steps = {status: next_step(state(status)) for status in get_args(BatchStatus)}

    assert "watch b1" in str(steps["running"])
    assert "resume b1" in str(steps["interrupted"])
    assert steps["completed"] is None


def test_every_state_has_a_colour() -> None:
    assert set(STATUS_STYLES) == {*get_args(BatchStatus), *get_args(PersonaStatus)}


def test_progress_counts_what_there_is() -> None:
    shown = state("running", counts=Counts(completed=1, generating=1, validating=1, pending=2))

    assert progress(shown) == "1 of 5 completed, 1 generating, 1 validating, 2 pending"
    assert in_flight(shown) == 2


def test_what_is_left_is_a_range_only_where_it_is_uncertain() -> None:
    sure = state("running", eta_ms=Eta(low=60_000, expected=60_000, high=60_000))
    unsure = state("running", eta_ms=Eta(low=60_000, expected=70_000, high=91_000))

    assert facts(sure)["Left"] == "about 1m 00s"
    assert facts(unsure)["Left"] == "1m 00s to 1m 31s"


def test_costs_are_shown_where_there_are_any() -> None:
    cost = BatchCost(
        spent_nanousd=10**9,
        reserved_nanousd=10**8,
        unresolved_nanousd=10**7,
        projected_nanousd=2 * 10**9,
        budget_nanousd=3 * 10**9,
    )

    shown = facts(state("paused", "budget", cost=cost, slept_ms=3_600_000))

    assert shown["Status"] == "paused (budget)"
    assert (shown["Reserved"], shown["Unresolved"]) == ("$0.10", "$0.01")
    assert (shown["Projected"], shown["Budget"]) == ("$2.00", "$3.00")
    assert shown["Asleep"] == "1h 00m"
    assert not {"Reserved", "Asleep", "Budget", "Left"} & set(facts(state("running")))
