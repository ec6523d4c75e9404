import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.render.charts import LINES, columns
from persona.render.tables import Chart
from persona.render.values import width_of


def chart(values: list[float | None], **more: object) -> Chart:
    fields = {"title": "T", "first": "a", "last": "z", "amount": lambda v: f"{v:.0f}"} | more
    return Chart(values=values, **fields)  # type: ignore[arg-type]


def test_columns_stand_as_high_as_their_values_over_a_line_of_dates() -> None:
    lines = columns(chart([0, 4, 8, None]), 30).splitlines()
    assert lines[0] == "T"
    assert [line.count("█") for line in lines[1 : LINES + 1]].count(0) == 0
    assert lines[-1].split() == ["a", "z"]


def test_a_mark_stands_under_its_column() -> None:
    lines = columns(chart([1, 2, 3], marked=frozenset({2})), 40).splitlines()
    assert lines[-1].index("^") > lines[-2].index("a")


def test_without_values_there_is_no_chart() -> None:
    assert columns(chart([None, None]), 40) == ""


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=1, max_size=400),
    st.integers(24, 250),
    st.booleans(),
)
def test_no_line_is_wider_than_it_may_be(
    values: list[float | None], width: int, from_zero: bool
) -> None:
    drawn = columns(chart(values, from_zero=from_zero, amount=lambda v: f"{v:.3g}"), width)
    assert all(width_of(line) <= width for line in drawn.splitlines())


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_constant_series_is_drawn(value: float) -> None:
    drawn = columns(chart([value] * 5), 40)
    assert ("█" in drawn) == (value > 0)


@pytest.mark.parametrize("values", [[0.96], [0.96] * 5, [None, 0.96, None]])
def test_scores_that_are_all_the_same_stand_up_to_their_own_value(
    values: list[float | None],
) -> None:
    drawn = columns(chart(values, from_zero=False, amount=lambda v: f"{v:.2f}"), 40)
    lines = drawn.splitlines()
    assert [line.split(" ┤")[0].strip() for line in (lines[1], lines[LINES])] == ["0.96", "0.48"]
    assert all("█" in line for line in lines[1 : LINES + 1])


def test_what_was_nothing_all_the_time_names_no_amount_above_it() -> None:
    lines = columns(chart([0, 0], amount=lambda v: f"${v}"), 40).splitlines()
    assert [line.rstrip() for line in lines[1 : LINES + 1]] == ["     ┤"] * 7 + ["$0.0 ┤"]
