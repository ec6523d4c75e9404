"""What is said of a batch line by line: each change once, and the end in one line."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from persona.render import values
from persona.render.live_lines import (
    Seen,
    detach_lines,
    json_lines,
    pausing_line,
    plain_lines,
    result_line,
    resume_line,
)

from personad.contract.batch import BatchCost, BatchState

from .live_batch import batch, mixed, money, row, stages


def cost(spent: int, projected: int | None) -> BatchCost:
    return BatchCost(
        spent_nanousd=spent,
        reserved_nanousd=0,
        unresolved_nanousd=0,
        projected_nanousd=projected,
        budget_nanousd=None,
    )


def documents(
    state: BatchState, seen: Seen, tokens: dict[str, int] | None = None
) -> list[dict[str, Any]]:
    return [json.loads(text) for text in json_lines(state, seen, tokens or {})]


def test_a_change_is_one_object_on_one_line() -> None:
    (text,) = json_lines(batch("running", [row(1, "completed")]), Seen(), {})

    assert text.count("\n") == 1
    told = json.loads(text)
    assert told["at"] == "2026-11-23T12:00:00Z"
    assert told["batch"] == "batch-2026-11-23-a1b2c3"
    assert told["status"] == "running"
    assert told["counts"]["completed"] == 1
    assert told["cost"]["spent_usd"] == 0.0252
    assert told["eta_s"] == {"low": 40, "expected": 52, "high": 64}
    persona = told["persona"]
    assert (persona["index"], persona["status"], persona["cost_usd"]) == (1, "completed", 0.0042)
    assert persona["duration_s"] == 3.2


def test_each_change_is_told_once_even_where_rows_change_in_place() -> None:
    seen, rows = Seen(), [row(1), row(2, "generating")]
    state = batch("running", rows)

    assert [told["persona"]["index"] for told in documents(state, seen)] == [2]
    assert documents(state, seen) == []
    rows[0] = row(1, "generating")
    assert [told["persona"]["index"] for told in documents(state, seen)] == [1]


def test_a_change_of_the_batch_alone_is_told_without_a_persona() -> None:
    seen = Seen()
    json_lines(stages()["running"], seen, {})

    (told,) = documents(stages()["pausing"], seen)

    assert (told["status"], told["reason"], told["persona"]) == ("pausing", "user", None)


def test_tokens_are_told_as_they_come_and_only_where_more_have() -> None:
    seen, state = Seen(), batch("running", [row(1, "generating"), row(2, "generating")])

    *_, told = documents(state, seen, {"persona-a": 10, "persona-b": 4})
    assert told["tokens"] == {"persona-a": 10, "persona-b": 4}
    assert told["batch"] == state.batch
    (told,) = documents(state, seen, {"persona-a": 25, "persona-b": 4})
    assert told["tokens"] == {"persona-a": 25}
    assert documents(state, seen, {"persona-a": 25, "persona-b": 4}) == []
    assert documents(state, seen, {}) == []


def test_a_hold_up_is_told_once_with_its_end() -> None:
    seen, until = Seen(), datetime(2026, 11, 23, 12, 5, 3, tzinfo=UTC)
    held = batch("running", [row(1, "generating")], reason="rate limit", held_until=until)

    (line,) = plain_lines(held, seen)
    assert line == f"held: rate limit until {values.when(until)}; it goes on by itself"
    assert plain_lines(held, seen) == []
    assert plain_lines(batch("running", [row(1, "generating")]), seen) == []
    (told,) = documents(held, Seen())[:1]
    assert (told["reason"], told["held_until"]) == ("rate limit", "2026-11-23T12:05:03Z")


def test_whoever_comes_late_hears_of_those_that_have_ended() -> None:
    assert plain_lines(stages()["running"], Seen()) == [
        "[ 1/12] completed  persona-000000d4e501  Anna Müller  3.2s  quality 0.81  $0.0042",
        "[ 2/12] completed  persona-000000d4e502  李小龙  3.2s  quality 0.60  $0.0042",
        "[ 3/12] failed     persona-000000d4e503  after 4 attempts: timeout: no answer within"
        " 120 s",
        "[ 4/12] completed  persona-000000d4e504  Mallory evil [red]x[/red]  3.2s  quality 0.81"
        "  $0.0042",
        "[ 5/12] completed  persona-000000d4e506  Jean-Baptiste de La Tour d’Auvergne-Lauraguais"
        "  3.2s  quality 0.81  $0.000000001",
    ]


def test_a_line_is_written_for_each_persona_that_ends() -> None:
    seen, rows = Seen(), [row(1, "generating"), row(2, "generating")]
    assert plain_lines(batch("running", rows), seen) == []

    rows[1] = row(2, "failed", attempts=1, error=None)

    assert plain_lines(batch("running", rows), seen) == [
        "[1/2] failed     persona-000000d4e502  after 1 attempt: no reason"
    ]


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        (
            "completed",
            "6 of 6 personas completed · 1m 12s · $0.0252 · mean quality 0.81"
            " · outputs/batch-2026-11-23-a1b2c3",
        ),
        (
            "partial",
            "6 of 7 personas completed, 1 failed · 1m 12s · $0.0252 · mean quality 0.81"
            " · outputs/batch-2026-11-23-a1b2c3",
        ),
        ("failed", "failed: 0 of 1 personas completed, 1 failed · 1m 12s · $0.0252"),
        (
            "cancelled",
            "cancelled: 6 of 7 personas completed · 1m 12s · $0.0252 · mean quality 0.81"
            " · outputs/batch-2026-11-23-a1b2c3",
        ),
        (
            "paused",
            "paused (budget): 4 of 12 personas completed, 1 failed · 1m 12s · $0.0252"
            " · mean quality 0.81 · outputs/batch-2026-11-23-a1b2c3",
        ),
    ],
)
def test_the_end_in_one_line(stage: str, line: str) -> None:
    assert result_line(stages()[stage], "/home/anna/study") == line


def test_what_may_have_been_paid_for_nothing_is_told_at_the_end() -> None:
    lost = batch("cancelled", [row(1, "pending")], cost=money(25, unresolved=110, reserved=7))

    assert " · $0.025 · up to $0.117 more unsettled" in result_line(lost, "/home/anna")


def test_a_folder_elsewhere_is_named_whole() -> None:
    shown = result_line(stages()["completed"], "/srv/data")

    assert shown.endswith(" · /home/anna/study/outputs/batch-2026-11-23-a1b2c3")


def test_a_pause_says_what_is_still_in_flight() -> None:
    assert pausing_line(stages()["running"]).startswith("pausing: 3 in flight")
    assert pausing_line(stages()["queued"]).startswith("pausing: nothing is in flight")
    assert resume_line(stages()["paused"]) == (
        "resume it with: persona generate --resume batch-2026-11-23-a1b2c3"
    )


@pytest.mark.parametrize(
    ("projected", "said"),
    [
        (50_000_000, "about $0.0248 is still to be spent"),
        (None, "what it will still spend is not known yet"),
        (20_000_000, "about $0.00 is still to be spent"),
    ],
)
def test_detaching_says_what_is_still_to_be_spent(projected: int | None, said: str) -> None:
    state = replace(batch("running", mixed()), cost=cost(25_200_000, projected))

    first, second = detach_lines(state)

    assert first == f"{state.batch} goes on without this view; {said}"
    assert second == f"come back with: persona batch watch {state.batch}"


def test_a_batch_that_stands_still_spends_nothing() -> None:
    first, second = detach_lines(stages()["interrupted"])

    assert "nothing more is spent" in first
    assert second == resume_line(stages()["interrupted"])
