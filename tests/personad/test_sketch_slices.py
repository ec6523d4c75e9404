"""Noted values are worked into their sketches a slice at a time; none is left or taken twice."""

import sys

import pytest

from personad.projections import sketches
from personad.sketch import LATENCIES, update

from .conftest import Core

Rows = dict[sketches.Key, list[int]]


def noted(core: Core, keys: int, values: int) -> Rows:
    """A row for each of so many sketches, with so many values in each; and what they are of."""
    series = core.book.names.series(("latency", "duration_ms", "openai", "gpt-4o", ""))
    rows = {(quarter, series): [*range(quarter, quarter + values)] for quarter in range(keys)}
    sketches.note(core.book, rows, {})
    return rows


def waiting(core: Core) -> int:
    return int(core.db.execute("SELECT count(*) FROM sketch_fresh").get)


def are_worked_in(core: Core, rows: Rows, times: int = 1) -> bool:
    stored = {
        (bucket, series): data
        for bucket, series, data in core.db.execute("SELECT * FROM sketch_quarter")
    }
    return waiting(core) == 0 and stored == {
        key: update(LATENCIES, None, values * times) for key, values in rows.items()
    }


def test_nothing_is_no_slice(core: Core) -> None:
    assert not sketches.work_slice_in(core.db)


def test_a_slice_is_of_few_sketches(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "SLICE_SKETCHES", 5)
    rows = noted(core, 12, 3)
    left = []
    while sketches.work_slice_in(core.db):
        left.append(waiting(core))
    assert left == [7, 2]
    assert are_worked_in(core, rows)


def test_a_slice_is_of_few_values_and_of_one_row_at_least(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sketches, "SLICE_VALUES", 8)
    rows = noted(core, 2, 50)
    noted(core, 2, 50)
    assert sketches.work_slice_in(core.db)
    assert waiting(core) == 3
    while sketches.work_slice_in(core.db):
        pass
    assert are_worked_in(core, rows, times=2)


def test_a_slice_is_of_few_rows(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "SLICE_ROWS", 4)
    rows = noted(core, 4, 1)
    noted(core, 4, 1)
    assert sketches.work_slice_in(core.db)
    assert waiting(core) == 4
    assert sketches.work_slice_in(core.db)
    assert not sketches.work_slice_in(core.db)
    assert are_worked_in(core, rows, times=2)


def test_the_writer_needs_no_numpy_for_it(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    by_numpy = "personad.sketch_arrays"
    monkeypatch.delitem(sys.modules, by_numpy, raising=False)
    rows = noted(core, 2, sketches.SLICE_VALUES)
    while sketches.work_slice_in(core.db):
        pass
    assert by_numpy not in sys.modules
    assert are_worked_in(core, rows)
