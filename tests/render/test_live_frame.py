"""Frames of the live view: exactly as written down, and within their screen whatever happens."""

import io
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.render.live_frame import compact_line, detailed, frame, sight
from persona.render.live_look import Look, shortened
from rich.cells import cell_len
from rich.console import Console

from personad.contract.batch import BatchStatus, Eta, PersonaStatus

from .live_batch import BUSY, NOON, arriving, batch, mixed, money, row, scenes, stages

SNAPSHOTS = Path(__file__).parent / "snapshots"
WIDTHS = (40, 80, 120, 250)


@pytest.fixture(autouse=True)
def _in_utc(house: Path) -> None:
    time.tzset()


def look(width: int = 80, height: int = 29, **changes: object) -> Look:
    return Look(**{"width": width, "height": height, "now": NOON, "keys": "owning"} | changes)


def text(state: object, at: Look) -> str:
    return "\n".join(each.plain for each in frame(state, at))


@pytest.mark.parametrize("stage", [*get_args(BatchStatus), *scenes()])
def test_a_batch_looks_as_written_down(stage: str) -> None:
    state = (stages() | scenes())[stage]
    keys = "owning" if state.status in ("queued", "running", "pausing", "paused") else "none"
    drawn = "".join(
        f"{f' {width} ':=^{width}}\n{text(state, look(width, keys=keys, tokens=arriving()))}\n"
        for width in WIDTHS
    )
    path = SNAPSHOTS / f"live-{stage}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(drawn, encoding="utf-8")

    assert drawn == path.read_text(encoding="utf-8")


statuses = st.sampled_from(get_args(PersonaStatus))
names = st.none() | st.text(max_size=60)


@pytest.mark.no_cover
@given(
    rows=st.lists(st.tuples(statuses, names), max_size=60),
    status=st.sampled_from(get_args(BatchStatus)),
    width=st.integers(20, 250),
    height=st.integers(1, 60),
    top=st.none() | st.integers(0, 70),
    plain=st.booleans(),
    keys=st.sampled_from(["none", "watching", "owning"]),
    is_asking=st.booleans(),
    notice=st.none() | st.just("the ledger does not answer"),
)
def test_a_frame_never_leaves_its_screen(
    rows: list[tuple[PersonaStatus, str | None]],
    status: BatchStatus,
    width: int,
    height: int,
    **about: object,
) -> None:
    state = batch(status, [row(n, kind, name=name) for n, (kind, name) in enumerate(rows, start=1)])

    lines = frame(state, look(width, height, **about))

    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= width
    assert not any(character < " " for line in lines for character in line.plain)


@given(
    kinds=st.lists(statuses, min_size=1, max_size=80),
    width=st.sampled_from([40, 80, 200]),
    height=st.integers(16, 40),
)
def test_scrolling_reaches_every_row(kinds: list[PersonaStatus], width: int, height: int) -> None:
    state = batch("running", [row(n, kind) for n, kind in enumerate(kinds, start=1)])
    seen: set[int] = set()
    top = 0
    while True:
        found = sight(state, look(width, height, top=top))
        assert found.end > found.top
        seen |= set(range(found.top, found.end))
        if found.end == len(kinds):
            break
        top = found.top + 1

    assert seen == set(range(len(kinds)))


def test_the_view_follows_what_is_being_made() -> None:
    kinds = ["completed"] * 100 + ["generating"] * 5 + ["pending"] * 95
    state = batch("running", [row(n, kind) for n, kind in enumerate(kinds, start=1)])

    found = sight(state, look(height=24))

    assert found.top < 100
    assert found.end > 105


def test_one_that_lags_far_behind_does_not_hold_the_view() -> None:
    kinds = ["retrying"] + ["completed"] * 100 + ["generating"] * 3 + ["pending"] * 50
    state = batch("running", [row(n, kind) for n, kind in enumerate(kinds, start=1)])

    found = sight(state, look(height=24))

    assert found.top <= 101
    assert found.end >= 104


@pytest.mark.parametrize(
    ("kinds", "place"),
    [
        (["completed"] * 60 + ["paused"] + ["pending"] * 60, 60),
        (["completed"] * 60 + ["pending"] * 60, 60),
        (["completed"] * 60 + ["failed"] + ["completed"] * 60, 60),
        (["completed"] * 120, 0),
    ],
)
def test_where_nothing_is_being_made_the_view_shows_what_matters_next(
    kinds: list[PersonaStatus], place: int
) -> None:
    state = batch("paused", [row(n, kind) for n, kind in enumerate(kinds, start=1)])

    found = sight(state, look(height=24))

    assert found.top <= place < found.end


def test_what_is_out_of_sight_is_counted() -> None:
    state = batch("running", [row(n) for n in range(1, 101)])

    shown = text(state, look(height=24, top=10))

    found = sight(state, look(height=24, top=10))
    assert f"… 10 more above, {100 - found.end} more below" in shown
    assert "f follow" in shown


def test_an_eta_is_a_range_only_where_it_is_uncertain() -> None:
    def left(low: int, expected: int, high: int) -> str:
        eta = Eta(low=low * 1_000, expected=expected * 1_000, high=high * 1_000)
        return text(batch("running", mixed(), eta_ms=eta), look())

    assert "about 50s left" in left(40, 50, 60)
    assert "40s to 1m 01s left" in left(40, 50, 61)
    assert "up to 30s left" in left(0, 10, 30)
    assert " left" not in left(0, 0, 0)


def test_times_go_on_between_two_changes() -> None:
    later = NOON + timedelta(seconds=12)

    shown = text(batch("running", mixed()), look(120, now=later))

    assert "1m 24s" in shown
    assert "28s to 52s left" in shown
    assert "again in 8s, at 12:00:20" in shown
    assert "16s" in shown


def test_a_retry_that_is_due_says_so() -> None:
    shown = text(batch("running", mixed()), look(120, now=NOON + timedelta(seconds=21)))

    assert "again now: server_error" in shown


def test_nothing_is_due_while_no_call_is_begun() -> None:
    held = batch("running", mixed(), reason="breaker", held_until=NOON + timedelta(seconds=50))

    shown = text(held, look(120, now=NOON + timedelta(seconds=21)))

    assert "again in 29s, at 12:00:50: server_error" in shown
    assert "again now" not in shown


def test_a_hold_without_a_known_end_shows_its_reason() -> None:
    state = batch("running", [row(1, "retrying", retry_at=None, attempts=1)])

    assert f"server_error: {BUSY.message} (after 1 attempt)" in text(state, look(200))


def test_a_budget_that_is_used_up_leaves_less_than_nothing() -> None:
    running = stages()["running"]
    cost = running.cost.__class__(
        spent_nanousd=1_900_000_000,
        reserved_nanousd=150_000_000,
        unresolved_nanousd=50_000_000,
        projected_nanousd=None,
        budget_nanousd=2_000_000_000,
    )

    shown = text(batch("running", mixed(), cost=cost), look(200))

    assert "Projected –" in shown
    assert "Remaining -$0.10" in shown
    assert "In flight $0.15   Unresolved $0.05" in shown


@pytest.mark.parametrize(
    ("spent", "style", "told"),
    [(1_599, "", "$2.00   "), (1_600, "yellow", "(80% used)"), (2_000, "red", "(100% used)")],
)
def test_a_budget_is_coloured_from_eighty_percent_on(spent: int, style: str, told: str) -> None:
    state = batch("running", mixed(), cost=money(spent))

    (line,) = [each for each in frame(state, look(200)) if "Budget" in each.plain]

    assert told in line.plain
    styles = {
        line.plain[span.start : span.end]: str(span.style)
        for span in line.spans
        if "used" in line.plain[span.start : span.end]
        or line.plain[: span.start].endswith("Remaining ")
    }
    assert set(styles.values()) == ({style} if style else set())


def test_what_is_reserved_counts_against_the_budget() -> None:
    state = batch("running", mixed(), cost=money(1_000, reserved=500, unresolved=400))

    assert "(95% used)" in text(state, look(200))


def test_an_unknown_price_is_said_and_never_nothing() -> None:
    shown = text(scenes()["unpriced"], look(120))

    assert "Spent unpriced" in shown
    assert "Remaining unpriced" in shown
    assert "$0.00" not in shown
    assert "unpriced" in compact_line(scenes()["unpriced"], look(120)).plain
    assert "Spent $0.012 + unpriced" in text(scenes()["partly-unpriced"], look(120))


def test_a_row_held_by_a_rate_limit_says_until_when() -> None:
    shown = text(scenes()["limited"], look(120))

    assert "rate limit until 12:00:40, in 40s: 429" in shown
    assert "rate limit until 12:02:00, in 2m 00s" in shown
    later = text(scenes()["limited"], look(120, now=NOON + timedelta(seconds=41)))
    assert "again now: rate_limit" in later


def test_tokens_are_shown_while_they_stream_and_only_then() -> None:
    shown = text(batch("running", mixed()), look(120, tokens=arriving()))

    assert "1 token so far" in shown
    assert "1,234 tokens so far" in shown
    assert "900" not in shown


def test_costs_stay_in_their_column() -> None:
    costs = [1, 123_456, 4_200_000, 12_340_000_000, 123_456_000_000_000]
    rows = [row(n, "completed", name="x", cost_nanousd=cost) for n, cost in enumerate(costs, 1)]

    lines = text(batch("completed", rows), look(120)).splitlines()

    assert [line.split()[-2] for line in lines if line.endswith("  x")] == [
        "<$0.0001",
        "$0.00012",
        "$0.0042",
        "$12.34",
        "$123,456",
    ]


def test_time_asleep_is_shown() -> None:
    state = batch("running", mixed(), slept_ms=300_000)

    assert "(5m 00s asleep)" in text(state, look(120))


def test_what_a_running_batch_waits_for_is_shown_with_how_long() -> None:
    until = batch("running", mixed()).as_of + timedelta(seconds=95)
    limited = batch("running", mixed(), reason="rate limit", held_until=until)

    assert "running, held: rate limit, on in 1m 35s" in text(limited, look(120))
    assert "running, held: budget" in text(batch("running", mixed(), reason="budget"), look(120))
    assert "held: rate limit" in text(limited, look(40))


def test_a_low_screen_still_shows_rows() -> None:
    shown = text(batch("running", mixed()), look(100, 8))

    assert "batch-2026-11-23-a1b2c3" in shown
    assert "generating" in shown
    assert "p pause" in shown


def test_cancelling_is_asked_about() -> None:
    shown = text(stages()["running"], look(is_asking=True))

    assert "Cancel this batch for good?" in shown
    assert "y cancel it   n go on" in shown


def test_without_colour_nothing_is_drawn_with_boxes() -> None:
    shown = text(stages()["running"], look(plain=True))

    assert "####--" in shown
    assert not set("━╸█▌↑↓") & set(shown)


def test_a_batch_may_have_failed_before_its_queue_was_known() -> None:
    shown = text(batch("failed", [], total=3, reason="source changed"), look(keys="none"))

    assert "failed (source changed)" in shown
    assert "0 of 3" in shown


def test_rich_prints_the_same_lines() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    state, at = stages()["running"], look(120)

    console.print(detailed(state, at))

    printed = console.export_text().splitlines()
    assert [line.rstrip() for line in printed] == [
        line.rstrip() for line in text(state, at).splitlines()
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 100])
@pytest.mark.parametrize("stage", get_args(BatchStatus))
def test_the_compact_line_is_one_line(stage: str, width: int) -> None:
    line = compact_line(stages()[stage], look(width))

    assert line.cell_len <= width
    assert "%" in line.plain


def test_the_compact_line_says_how_far_it_is() -> None:
    shown = compact_line(stages()["running"], look(120)).plain

    assert shown.endswith(
        " 42% 5/12 · running · 3 in flight · 1 failed · 1m 12s · 40s to 1m 04s left · $0.0252"
    )
    asking = compact_line(stages()["running"], look(120, is_asking=True)).plain
    assert asking.endswith("cancel this batch for good? y or n")
    told = compact_line(stages()["running"], look(120, notice="no ledger")).plain
    assert told.endswith("no ledger")


@given(st.text(), st.integers(0, 40))
def test_shortened_text_fits(words: str, cells: int) -> None:
    assert cell_len(shortened(words, cells)) <= cells
