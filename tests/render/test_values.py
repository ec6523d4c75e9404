"""Values as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.render import values

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
USD = 1_000_000_000


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (123, "$0.00000012"),
        (4_200_000, "$0.0042"),
        (9_999_999, "$0.01"),
        (42_300_000, "$0.0423"),
        (500_000_000, "$0.50"),
        (456_789_000, "$0.4568"),
        (999_999_999, "$1.00"),
        (12_340_000_000, "$12.34"),
        (12_345_000_000, "$12.34"),
        (12_355_000_000, "$12.36"),
        (1_234_567 * USD, "$1,234,567.00"),
        (-42_300_000, "-$0.0423"),
    ],
)
def test_money_has_as_many_digits_as_make_sense(nanousd: int, shown: str) -> None:
    assert values.money(nanousd) == shown


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [(0, "$0.00"), (1, "$0.000000001"), (12_345_678_900, "$12.3456789"), (5 * USD, "$5.00")],
)
def test_exact_money_leaves_nothing_out(nanousd: int, shown: str) -> None:
    assert values.exact_money(nanousd) == shown


@given(st.integers(-(2**63), 2**63))
def test_money_is_within_half_a_digit_of_the_truth(nanousd: int) -> None:
    shown = Decimal(values.money(nanousd).replace("$", "").replace(",", ""))

    assert abs(shown - Decimal(nanousd).scaleb(-9)) <= max(
        Decimal("0.005") if abs(nanousd) >= USD else Decimal("0.00005"), Decimal(0)
    )


@given(st.integers(-(2**63), 2**63), st.integers(0, 9))
def test_a_decimal_is_exact(value: int, places: int) -> None:
    assert Decimal(values.decimal(value, places)) == Decimal(value).scaleb(-places)


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (0, "0.0s"),
        (449, "0.4s"),
        (9_949, "9.9s"),
        (9_950, "10s"),
        (59_499, "59s"),
        (59_500, "1m 00s"),
        (192_000, "3m 12s"),
        (7_500_000, "2h 05m"),
        (273_600_000, "3d 4h"),
    ],
)
def test_durations_get_coarser_as_they_grow(ms: int, shown: str) -> None:
    assert values.duration(ms) == shown


@pytest.mark.parametrize(
    ("count_bytes", "shown"),
    [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_536, "1.5 KB"),
        (8 << 20, "8.0 MB"),
        (5 << 50, "5,120.0 TB"),
    ],
)
def test_sizes(count_bytes: int, shown: str) -> None:
    assert values.size(count_bytes) == shown


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(hours=49), "2 days ago"),
    ],
)
def test_how_long_ago(passed: timedelta, shown: str) -> None:
    assert values.ago(NOON - passed, NOON) == shown


def test_times_for_programs_are_in_utc() -> None:
    berlin = datetime.fromisoformat("2026-11-23T13:00:00.5+01:00")

    assert values.rfc3339(berlin) == "2026-11-23T12:00:00.500000Z"
    assert values.when(NOON) == "2026-11-23 12:00:00"


@given(st.floats(0, 1), st.floats(0, 1))
def test_two_scores_beside_each_other_look_alike_only_where_they_nearly_are(
    one: float, other: float
) -> None:
    alike = values.score_beside(one, other) == values.score_beside(other, one)
    assert not alike or abs(one - other) <= 0.0001


def test_a_score_has_no_more_decimals_than_tell_it_from_the_other() -> None:
    assert values.score_beside(0.7477, 0.75) == "0.748"
    assert values.score_beside(0.75, 0.7477) == "0.750"
    assert values.score_beside(0.6, 0.75) == "0.60"
    assert values.score_beside(0.75, 0.75) == values.score_beside(0.75, None) == "0.75"


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0%"), (0.5, "50%"), (0.996, "99%"), (1.0, "100%")]
)
def test_what_is_not_all_is_not_called_all(share: float, shown: str) -> None:
    assert values.percent(share) == shown


@given(st.floats(-1, 2), st.integers(1, 80), st.booleans())
def test_a_bar_always_has_its_width(share: float, width: int, plain: bool) -> None:
    assert len(values.bar(share, width, plain=plain)) == width


def test_a_bar_fills_by_eighths_of_a_cell() -> None:
    assert values.bar(0.5, 4) == "██  "
    assert values.bar(0.15, 4) == "▌   "
    assert values.bar(0.5, 4, plain=True) == "##--"


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        ([], ""),
        ([None, None], "··"),
        ([3.0, 3.0], "▁▁"),
        ([0.0, None, 7.0], "▁·█"),
    ],
)
def test_a_sparkline_runs_from_the_least_to_the_greatest(
    figures: list[float | None], shown: str
) -> None:
    assert values.sparkline(figures) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Anna Müller", "Anna Müller"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07Anna", "Anna"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("two\nlines\tand\r more", "two lines and more"),
        ("bell\x07\x00", "bell"),
        ("\u202egnp.exe", "gnp.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("half \ud800", "half \ufffd"),
    ],
)
def test_text_is_made_harmless(text: str, shown: str) -> None:
    assert values.clean(text) == shown


@given(st.text())
def test_clean_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    cleaned = values.clean(text)

    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)
    assert values.clean(cleaned) == cleaned


@pytest.mark.parametrize(("text", "cells"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("é", 1)])
def test_width_is_counted_in_cells(text: str, cells: int) -> None:
    assert values.width_of(text) == cells
