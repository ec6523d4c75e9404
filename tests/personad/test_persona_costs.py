"""What personas cost is known at once, wherever it lies."""

from datetime import timedelta
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.bulk import SUM_MAX
from personad.projections import persona_costs
from personad.projections.persona_costs import PersonaCosts
from personad.store import open_for_writing
from personad.tidy import Tidier
from tests.ledgers import as_in_format_14, damage_of, struck

from .conftest import Core
from .facts import NOON, cost, queued, started
from .retaining import corrected, keep, take
from .test_rebuild import rebuilt

PERSONAS = st.text(st.sampled_from("ab\x00é\U0001f600"), min_size=1, max_size=2)
SUMS = st.dictionaries(
    st.integers(1, 3),
    st.dictionaries(PERSONAS, st.lists(st.integers(1, 9), min_size=2, max_size=2), min_size=1),
    min_size=1,
)


def fresh(core: Core) -> int:
    return int(core.db.execute("SELECT count(*) FROM persona_cost_fresh").get)


def in_table(core: Core) -> int:
    return int(core.db.execute("SELECT count(*) FROM persona_cost").get)


def filled(core: Core) -> Core:
    core.append(started(total=3), queued("p1", 1), queued("p2", 2), queued("p3", 3))
    core.append(cost("a", 10), cost("b", 20), cost("c", 5, persona="p2"))
    core.append(cost("d", 1))
    return core


def costs_of(core: Core) -> list[int | None]:
    return [each.cost_nanousd for each in core.show().personas]


def test_what_is_shown_is_the_same_before_and_after_they_are_worked_in(core: Core) -> None:
    filled(core)
    assert (fresh(core), in_table(core)) == (1, 1)
    assert costs_of(core) == [31, 5, 0]
    assert persona_costs.of_some(core.db, "batch-a", ["p1", "p3"]) == {"p1": 31}
    assert damage_of(core.path) is None
    core.book.persona_costs.work_in()
    assert (fresh(core), in_table(core)) == (0, 2)
    assert costs_of(core) == [31, 5, 0]
    assert persona_costs.of_some(core.db, "batch-a", ["p2", "p3"]) == {"p2": 5}
    assert damage_of(core.path) is None


def test_what_no_longer_counts_is_taken_out_of_what_waits(core: Core) -> None:
    filled(core)
    take(core, corrected("c", 2), corrected("a", 11))
    assert costs_of(core) == [32, 2, 0]
    assert fresh(core) == 0
    assert damage_of(core.path) is None


def test_a_quiet_moment_works_them_in(core: Core) -> None:
    filled(core)
    Tidier(lambda work: work(core.book)).tidy(NOON)
    assert (fresh(core), in_table(core)) == (0, 2)
    assert damage_of(core.path) is None


def test_no_more_are_kept_than_can_be_looked_through(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persona_costs, "FRESH_MOST", 5)
    core.append(started(total=2), queued("p1", 1), queued("p2", 2))
    for number in range(20):
        core.append(cost(f"{number}-a", 1), cost(f"{number}-b", 1, persona="p2"))
        assert 2 * fresh(core) < 10
    assert costs_of(core) == [20, 20]
    again = Core(core.path)
    assert again.book.persona_costs.are_many == core.book.persona_costs.are_many
    assert damage_of(core.path) is None


def test_what_is_taken_back_leaves_nothing_behind(core: Core) -> None:
    filled(core)
    before = core.named("persona_cost")
    with struck(core.db, "persona_cost_fresh"), pytest.raises(apsw.ConstraintError):
        core.append(cost("e", 1), cost("f", 1, persona="p2"))
    assert core.named("persona_cost") == before
    core.append(cost("e", 1), cost("f", 1, persona="p2"))
    assert costs_of(core) == [32, 6, 0]
    assert damage_of(core.path) is None


def test_the_tables_are_exchanged_together(core: Core) -> None:
    filled(core)
    rebuilt(core, meanwhile=[cost("e", 4), cost("f", 2, persona="p3")])
    assert costs_of(core) == [35, 5, 2]
    assert damage_of(core.path) is None


def test_what_an_old_batch_takes_in_while_its_tables_are_made_anew_counts_once(core: Core) -> None:
    long_ago = NOON - timedelta(days=30)
    core.append(started(total=2, at=long_ago), queued("p1", 1), queued("p2", 2))
    core.append(cost("a", 10, at=long_ago), cost("b", 20, at=long_ago, persona="p2"))
    core.append(cost("c", 1), cost("d", 2, persona="p2"))
    keep(core)
    core.append(cost("e", 3), cost("f", 4, persona="p2"))
    waiting = fresh(core)
    assert waiting > 0
    rebuilt(core, meanwhile=[cost("g", 5), cost("h", 6, persona="p2")])
    assert costs_of(core) == [19, 32]
    core.book.persona_costs.work_in()
    assert costs_of(core) == [19, 32]
    assert damage_of(core.path) is None


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM persona_cost_fresh",
        "INSERT INTO persona_cost_fresh (batch, told) SELECT batch, told FROM persona_cost_fresh",
        "UPDATE persona_cost SET calls = calls + 1",
    ],
)
def test_verify_sees_what_is_wrong_in_either(core: Core, sql: str) -> None:
    filled(core)
    core.db.execute(sql)
    assert (damage_of(core.path) or "").startswith("persona_cost: ")


def test_a_file_of_format_14_gets_the_table(core: Core) -> None:
    filled(core)
    as_in_format_14(core.db)
    core.db.pragma("user_version", 14)
    core.db.close()
    open_for_writing(str(core.path)).close()
    again = Core(core.path)
    again.append(cost("e", 4), cost("f", 2, persona="p3"))
    assert costs_of(again) == [35, 5, 2]
    assert fresh(again) == 1
    assert damage_of(again.path) is None


@given(commits=st.lists(SUMS, max_size=6), data=st.data())
def test_both_are_one_table_in_its_order(commits: list[Any], data: st.DataObject) -> None:
    db = apsw.Connection(":memory:")
    db.execute(persona_costs.SCHEMA + persona_costs.FRESH_SCHEMA)
    costs = PersonaCosts(db)
    expected: dict[tuple[int, str], list[int]] = {}
    for sums in commits:
        costs.add(sums)
        if data.draw(st.booleans()):
            costs.work_in()
        for batch, told in sums.items():
            for persona, (calls, nanousd) in told.items():
                known = expected.setdefault((batch, persona), [0, 0])
                known[0] += calls
                known[1] += nanousd
    wanted = [(*key, *told) for key, told in sorted(expected.items())]
    assert [*persona_costs.rows(db, "", ())] == wanted
    of_one = [row for row in wanted if row[0] == 2]
    assert [*persona_costs.rows(db, "WHERE batch = ?", (2,))] == of_one
    costs.work_in()
    assert db.execute("SELECT * FROM persona_cost ORDER BY 1, 2").fetchall() == wanted


def test_calls_for_nobody_are_not_put_down(core: Core) -> None:
    filled(core)
    core.append(cost("e", 1, persona=None), cost("f", 2, persona=None))
    assert fresh(core) == 1
    assert costs_of(core) == [31, 5, 0]
    assert damage_of(core.path) is None


def test_a_sum_ends_where_a_number_does(core: Core) -> None:
    db = apsw.Connection(":memory:")
    db.execute(persona_costs.SCHEMA + persona_costs.FRESH_SCHEMA)
    costs = PersonaCosts(db)
    for _ in range(2):
        costs.add({1: {"a": [1, SUM_MAX - 1], "b": [1, 1]}})
    assert [*persona_costs.rows(db, "", ())] == [(1, "a", 2, SUM_MAX), (1, "b", 2, 2)]
    costs.work_in()
    costs.add({1: {"a": [1, SUM_MAX], "b": [1, 1]}})
    assert [*persona_costs.rows(db, "", ())] == [(1, "a", 3, SUM_MAX), (1, "b", 3, 3)]
