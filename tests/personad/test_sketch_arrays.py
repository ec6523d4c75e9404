"""Grids of sketches against the same sketches one by one."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personad import sketch_grid
from personad.sketch import (
    LATENCIES,
    MAX,
    SCORES,
    BadSketch,
    Scale,
    Sketch,
    add_many,
    empty,
    encode,
    merge,
    remove_many,
)
from personad.sketch_grid import Grid

QS = (0.0, 0.1, 0.5, 0.95, 0.99, 1.0)
ROWS = 4
Piles = list[tuple[int, list[int]]]
"""Rows, and the values of a sketch each."""


def piles(most: int) -> st.SearchStrategy[Piles]:
    values = st.lists(st.integers(0, most), max_size=12)
    return st.lists(st.tuples(st.integers(0, ROWS - 1), values), max_size=30)


def alike(grid: Grid, scale: Scale, expected: Sequence[list[bytes]]) -> None:
    merged = [merge(scale, some) for some in expected]
    assert grid.totals == [each.total for each in merged]
    assert grid.sizes == [each.count for each in merged]
    assert grid.quantiles(QS) == [tuple(each.quantiles(QS)) for each in merged]


@pytest.mark.parametrize(
    ("scale", "most"), [(SCORES, 10_000), (LATENCIES, 60_000), (LATENCIES, MAX // 64)]
)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_row_is_what_its_sketches_are_merged(
    scale: Scale, most: int, data: st.DataObject
) -> None:
    stored = [
        (row, encode(add_many(empty(scale), values))) for row, values in data.draw(piles(most))
    ]
    grid = Grid(scale, ROWS)
    grid.merge([row for row, _ in stored], [each for _, each in stored])
    alike(grid, scale, [[each for at, each in stored if at == row] for row in range(ROWS)])


def test_many_more_than_are_read_at_once_are_merged_likewise() -> None:
    stored = [encode(add_many(empty(LATENCIES), range(n % 90, 900 + n))) for n in range(700)]
    rows = [n * 7 % ROWS for n in range(700)]
    grid = Grid(LATENCIES, ROWS)
    grid.merge(rows, stored)
    alike(grid, LATENCIES, [stored_of(rows, stored, row) for row in range(ROWS)])


def stored_of(rows: Sequence[int], stored: Sequence[bytes], row: int) -> list[bytes]:
    return [each for at, each in zip(rows, stored, strict=True) if at == row]


def test_what_is_taken_out_is_gone() -> None:
    many, few = range(100, 900, 7), [100, 107, 212]
    grid = Grid(SCORES, 1)
    grid.merge([0], [encode(add_many(empty(SCORES), many))])
    grid.add(0, add_many(empty(SCORES), few), -1)
    alike(grid, SCORES, [[encode(remove_many(add_many(empty(SCORES), many), few))]])


@pytest.mark.parametrize("place", range(6))
def test_a_damaged_one_among_many_is_named_and_never_added(place: int) -> None:
    good = encode(add_many(empty(SCORES), [5, 5, 700, 9_000]))
    damages = (
        b"",
        good[:1],
        good[:-1],
        b"\x01" + good[1:],
        good[:2] + b"\0" + good[3:],
        good + b"\x81",
    )
    with pytest.raises(BadSketch):
        Grid(SCORES, 1).merge([0] * 5, [good, good, damages[place], good, good])


@pytest.mark.parametrize("few", [0, ROWS, 1_000])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_it_makes_no_difference_what_was_read_before(few: int, data: st.DataObject) -> None:
    stored = [
        (row, encode(add_many(empty(SCORES), values))) for row, values in data.draw(piles(10_000))
    ]
    more = [(row, add_many(empty(SCORES), values)) for row, values in data.draw(piles(10_000))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketch_grid, "FEW", few)
        for late in ([], more, []):
            grid = Grid(SCORES, ROWS)
            grid.merge([row for row, _ in stored], [each for _, each in stored])
            for row, sketch in late:
                grid.add(row, sketch)
            all_ = [*stored, *((row, encode(sketch)) for row, sketch in late)]
            alike(grid, SCORES, [[each for at, each in all_ if at == row] for row in range(ROWS)])


def test_what_is_remembered_of_one_scale_is_nothing_of_another() -> None:
    stored = encode(add_many(empty(SCORES), [50, 700]))
    Grid(SCORES, 1).merge([0], [stored])
    with pytest.raises(BadSketch, match="scores"):
        Grid(LATENCIES, 1).merge([0], [stored])


def test_a_bin_of_more_values_than_floats_can_count_is_read_exactly() -> None:
    many = 2**60 + 1
    stored = encode(Sketch(SCORES, {0: many}, 0))
    grid = Grid(SCORES, 2)
    grid.merge([0, 1, 1], [stored] * 3)
    assert grid.sizes == [many, 2 * many]


def test_what_was_read_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    room = 20_000
    monkeypatch.setattr(sketch_grid, "_REMEMBERED_BYTES", room)
    memory = sketch_grid._Memory(LATENCIES)
    stored = [encode(add_many(empty(LATENCIES), [n, 2 * n, 9 * n])) for n in range(1, 400)]
    for n in range(0, len(stored), 7):
        read = memory.read(stored[n : n + 7])
        assert [each.total for each in read] == [12 * at for at in range(n + 1, n + 1 + len(read))]
        assert memory.size_bytes <= room
    kept = [each in memory for each in stored]
    assert 5 < sum(kept) < 100
    assert kept == sorted(kept)
