"""Sums in columns are those that one gets row by row, also where 63 bits don't do."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad import tidy
from personad.bulk import SUM_MAX
from personad.contract import cost as c
from personad.contract.asking import Filter, Range
from personad.projections import memory, summing, wide
from personad.projections.asked import resolve
from personad.projections.cost_sums import COST
from personad.projections.summing import Columns
from personad.projections.wide import Wide
from personad.questions import ANSWERS
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, cost

SUMS = st.one_of(st.integers(0, 9), st.integers(0, SUM_MAX))
ROWS = st.lists(st.tuples(st.integers(1, 5), SUMS, SUMS), max_size=20)


def of(rows: Sequence[tuple[int, ...]]) -> Wide:
    flat = np.array(rows, np.int64).reshape(-1, 3)
    return Wide(flat[:, 0], flat[:, 1:].T)


@given(ROWS)
def test_keys_that_become_one_have_the_sum_of_all_as_far_as_63_bits_go(
    rows: list[tuple[int, int, int]],
) -> None:
    expected: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for key, *sums in rows:
        expected[key] = [a + b for a, b in zip(expected[key], sums, strict=True)]
    numbered = of([(n, *sums) for n, (_, *sums) in enumerate(rows)])
    found = numbered.renamed([key for key, *_ in rows])
    assert found.keys.tolist() == sorted(expected)
    bounded = [[min(each, SUM_MAX) for each in expected[key]] for key in sorted(expected)]
    assert found.sums.T.tolist() == bounded
    whole = [min(sum(each), SUM_MAX) for each in zip([0, 0], *bounded, strict=True)]
    assert found.total() == whole


@given(ROWS, ROWS)
def test_what_is_joined_has_zeros_where_one_has_nothing(
    left: list[tuple[int, int, int]], right: list[tuple[int, int, int]]
) -> None:
    one, other = ({key: sums for key, *sums in rows} for rows in (left, right))
    found = wide.joined(
        *(of(sorted((key, *sums) for key, sums in some.items())) for some in (one, other))
    )
    expected = [
        [*one.get(key, (0, 0)), *other.get(key, (0, 0))] for key in sorted(one.keys() | other)
    ]
    assert found.keys.tolist() == sorted(one.keys() | other)
    assert found.sums.T.tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20), st.integers(1, 21))
def test_the_dearest_are_kept_and_sorted_by_name_where_they_cost_the_same(
    rows: list[tuple[int, int]], count: int
) -> None:
    whole = of([(n, *sums) for n, sums in enumerate(rows)])
    kept, rest = whole.parted(count)
    dearest = sorted(range(len(rows)), key=lambda n: (-rows[n][0], -rows[n][1]))
    assert sorted(kept.keys.tolist()) == sorted(dearest[:count])
    assert sorted(rest.keys.tolist()) == sorted(dearest[count:])
    names = [None if key % 5 == 0 else f"e{-key:03}" for key in kept.keys.tolist()]
    told, columns = kept.sorted(names)
    expected = sorted(
        zip(names, kept.sums[0].tolist(), strict=True),
        key=lambda each: (-each[1], each[0] is None, each[0] or ""),
    )
    assert list(zip(told, columns[0], strict=True)) == expected


def test_days_of_experiments_sum_to_what_their_quarter_hours_do(
    open_core: Callable[[], Core],
) -> None:
    core = open_core()
    for day in range(1, 6):
        core.append(
            *(
                cost(
                    f"{day}-{n}", day * n * 10**15, experiment=f"e{n % 7}", at=NOON - timedelta(day)
                )
                for n in range(20)
            )
        )
    columns = Columns(COST, ("calls", "cost_nanousd"))

    def found() -> dict[int, list[int]]:
        asked = resolve(core.db, Range(days=7), Filter(), core.now)
        it = wide.by_key(core.db, asked, columns, "experiment")
        return dict(zip(it.keys.tolist(), it.sums.T.tolist(), strict=True))

    asked = resolve(core.db, Range(days=7), Filter(), core.now)
    row_by_row = summing.by_key(core.db, asked, columns, "experiment")
    assert found() == row_by_row
    tidy.all_at_once(core.book)
    assert core.db.execute("SELECT count(*) FROM cost_experiments_day").get == 5
    assert found() == row_by_row
    assert damage_of(core.path) is None


def test_a_packed_day_that_is_not_its_quarter_hours_sum_is_named(core: Core) -> None:
    at = NOON - timedelta(days=2)
    core.append(*(cost(f"c{n}", 5, experiment=f"e{n:03}", at=at) for n in range(300)))
    tidy.all_at_once(core.book)
    assert damage_of(core.path) is None
    core.db.execute("UPDATE cost_experiments_day SET calls = zeroblob(300)")
    damage = damage_of(core.path)
    assert damage is not None
    assert damage.startswith("cost_experiments_day")
    assert "300 bytes" in damage
    assert len(damage) < 500


def test_names_of_more_experiments_than_are_remembered_are_right(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MOST", 3)
    for n in range(8):
        core.append(cost(f"c{n}", n, experiment=f"e{n}"))
        reply = ANSWERS[c.CostBreakdown](core.db, c.CostBreakdown(by="experiment"), core.now)
        assert [row.key for row in reply.rows] == [f"e{each}" for each in range(n, -1, -1)]
