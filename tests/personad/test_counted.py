"""Which figure counts for a call is known at once, wherever the call lies."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from personad.contract.asking import Range
from personad.contract.calls import CostCalls, CostExplain
from personad.contract.cost_rows import CostRows
from personad.halves import to_the_end
from personad.projections import PROJECTIONS, counted
from personad.questions import ANSWERS
from personad.rebuild import adopt
from personad.refold import refold
from personad.store import open_for_reading, open_for_writing
from personad.tidy import Tidier
from tests.ledgers import UTC, as_in_format_14, damage_of

from .conftest import Core
from .facts import NOON, cost, planned
from .retaining import keep
from .streams import Stream, producers, together
from .test_costs import call_started
from .test_laws import LAW, take

ASKED = (
    CostCalls(range=Range(days=30)),
    CostExplain(id="call-3"),
    CostExplain(id="call-2"),
    CostExplain(id="batch-a"),
    CostRows(range=Range(days=30)),
)


def answers(core: Core) -> list[Any]:
    return [ANSWERS[type(each)](core.db, each, core.now) for each in ASKED]  # type: ignore[index]


def fresh(core: Core) -> int:
    return int(core.db.execute("SELECT count(*) FROM call_fresh").get)


def in_table(core: Core) -> int:
    return int(core.db.execute("SELECT count(*) FROM call").get)


def filled(core: Core, calls: int = 20) -> Core:
    core.append(*planned())
    core.append(*(cost(f"call-{number}", 1_000 + number) for number in range(calls)))
    return core


def test_what_is_asked_is_answered_alike_before_and_after_they_are_worked_in(core: Core) -> None:
    filled(core)
    assert (fresh(core), in_table(core)) == (20, 0)
    before = answers(core)
    core.book.counted.work_in()
    assert (fresh(core), in_table(core)) == (0, 20)
    assert answers(core) == before


@pytest.fixture
def piecemeal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "PIECES_FROM", 12)
    monkeypatch.setattr(counted, "PIECE", 3)
    monkeypatch.setattr(counted, "STRUCK_OFF_FROM", 20)


def all_pieces(core: Core) -> Iterator[None]:
    """One after the other, before each."""
    while core.book.counted.is_piece_due:
        yield
        with core.db:
            core.book.counted.work_piece_in()


@pytest.mark.usefixtures("piecemeal")
def test_what_is_asked_is_answered_alike_while_they_are_brought_over_piece_by_piece(
    core: Core,
) -> None:
    filled(core)
    before = answers(core)
    seen = []
    for _ in all_pieces(core):
        seen.append((fresh(core), in_table(core)))
        assert answers(core) == before
        assert damage_of(core.path) is None
    assert [count for count, _ in seen] == [20] * len(seen)
    assert [done for _, done in seen] == sorted({done for _, done in seen})
    assert len(seen) == 8
    assert (fresh(core), in_table(core)) == (0, 20)
    assert answers(core) == before


@pytest.mark.usefixtures("piecemeal")
@pytest.mark.parametrize("is_opened_anew", [False, True])
@pytest.mark.parametrize("pieces", range(9))
def test_whatever_is_told_amid_the_pieces_is_told_once(
    core: Core, pieces: int, is_opened_anew: bool
) -> None:
    filled(core)
    for _ in zip(range(pieces + 1), all_pieces(core), strict=False):
        pass
    if is_opened_anew:
        core = Core(core.path)
    core.append(cost("new", 5), cost("aside", 7))
    core.append(cost("call-3", 9_000, output_tokens=99), cost("call-4", 1, output_tokens=1))
    for _ in all_pieces(core):
        pass
    assert core.db.execute("SELECT sum(cost_nanousd), sum(calls) FROM cost_quarter").fetchall() == [
        (sum(range(1_000, 1_020)) - 1_003 + 9_000 + 5 + 7, 22)
    ]
    assert {"new", "aside"} <= core.book.counted.told({"new", "aside", "newer"}).keys()
    assert damage_of(core.path) is None


@pytest.mark.usefixtures("piecemeal")
def test_those_that_come_amid_the_pieces_have_their_turn_before_all_are_struck_off(
    core: Core,
) -> None:
    filled(core)
    for _ in all_pieces(core):
        if fresh(core) < 25 and in_table(core) < 25:
            core.append(cost(f"late-{fresh(core)}"))
            assert not core.book.counted.are_unheard({"late-20"})
    assert (fresh(core), in_table(core)) == (0, 25)
    assert not core.book.counted.are_unheard({"late-24"})
    assert damage_of(core.path) is None


@pytest.mark.parametrize("is_opened_anew", [False, True])
def test_a_second_figure_of_a_fresh_call_counts_where_it_is_greater(
    core: Core, is_opened_anew: bool
) -> None:
    filled(core)
    if is_opened_anew:
        core = Core(core.path)
    core.append(cost("call-3", 9_000, output_tokens=99), cost("new", 5))
    core.append(cost("call-4", 1, output_tokens=1))
    assert core.db.execute("SELECT sum(cost_nanousd), sum(calls) FROM cost_quarter").fetchall() == [
        (sum(range(1_000, 1_020)) - 1_003 + 9_000 + 5, 21)
    ]
    assert damage_of(core.path) is None


@given(names=st.lists(st.text(min_size=1, max_size=9), min_size=16, max_size=60, unique=True))
@example(
    names=["a", "a\x00b", "a\x00", *map(str, range(10)), '"', "\\u0000", "\U0001f600", "é", "\n"]
)
def test_any_name_is_found_among_many(names: list[str]) -> None:
    db = apsw.Connection(":memory:")
    db.execute(counted.SCHEMA + counted.FRESH_SCHEMA)
    table = counted.Counted(db)
    known = {name: number for number, name in enumerate(names[::2], 1)}
    table.add(known)
    table.work_in()
    assert table.told(set(names)) == known
    plain = {name for name in names if "\x00" not in name}
    assert table.told(plain) == {name: seq for name, seq in known.items() if name in plain}


NAMES = st.sampled_from([f"call-{number:02}" for number in range(40)])
SOME = st.sets(NAMES, min_size=1, max_size=12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), SOME),
        st.tuples(st.just("put"), SOME),
        st.tuples(st.just("ask"), SOME),
        st.tuples(st.sampled_from(["work in", "a piece", "open anew"]), st.none()),
    ),
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, is_asked_again=st.booleans())
def test_what_is_new_is_known_in_whatever_order_names_come_into_the_table(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, set[str]]], is_asked_again: bool
) -> None:
    sizes = {"FRESH_MOST": 8, "LATE_MOST": 10, "PIECES_FROM": 4, "PIECE": 2, "STRUCK_OFF_FROM": 6}
    for name, size in sizes.items():
        monkeypatch.setattr(counted, name, size)
    db = apsw.Connection(":memory:")
    db.execute(counted.SCHEMA + counted.FRESH_SCHEMA)
    table, known, seq = counted.Counted(db), dict[str, int](), 0
    for step, names in steps:
        if step == "add" and (new := sorted(names - known.keys())):
            # As who adds does: so nothing waits any more of what was told.
            table.told(names)
            told = {name: seq + place for place, name in enumerate(new, 1)}
            table.add(told)
            known |= told
            seq += len(new)
        elif step == "put":
            for name in names:
                seq += 1
                table.put(name, seq, None)
                known[name] = seq
        elif step == "ask":
            assert not table.are_unheard(names) or known.keys().isdisjoint(names)
            found = table.told(names, is_asked_again=is_asked_again)
            assert found == {name: known[name] for name in names if name in known}
            assert table.are_unheard(names) == known.keys().isdisjoint(names)
        elif step == "work in":
            table.work_in()
        elif step == "a piece" and table.is_piece_due:
            table.work_piece_in()
        elif step == "open anew":
            table = counted.Counted(db)
    assert table.told(known.keys()) == known


def test_two_figures_in_one_commit_are_one_call(core: Core) -> None:
    core.append(cost("a", 1, output_tokens=1), cost("b", 2), cost("a", 7, output_tokens=9))
    assert core.db.execute("SELECT sum(cost_nanousd), sum(calls) FROM cost_quarter").fetchall() == [
        (9, 2)
    ]
    assert damage_of(core.path) is None


def test_a_grant_that_is_told_after_the_bill_opens_nothing(core: Core) -> None:
    filled(core)
    take(core, [call_started("call-3")])
    assert core.db.execute("SELECT count(*) FROM open_call").get == 0
    assert damage_of(core.path) is None


def test_a_quiet_moment_works_them_in(core: Core) -> None:
    filled(core)
    Tidier(lambda work: work(core.book)).tidy(NOON)
    assert (fresh(core), in_table(core)) == (0, 20)
    assert damage_of(core.path) is None


def test_no_more_are_kept_than_can_be_looked_through(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted, "FRESH_MOST", 10)
    core.append(*planned())
    for number in range(50):
        core.append(cost(f"call-{number}"))
        assert fresh(core) < 20
    assert fresh(core) + in_table(core) == 50
    assert damage_of(core.path) is None


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM call_fresh WHERE seq = (SELECT max(seq) FROM call_fresh)",
        "UPDATE call_fresh SET call = 'another' WHERE call = 'call-3'",
        "INSERT INTO call (call, seq) SELECT call, seq + 1 FROM call_fresh LIMIT 1",
    ],
)
def test_a_difference_among_the_fresh_ones_is_found(core: Core, sql: str) -> None:
    filled(core)
    assert damage_of(core.path) is None
    core.db.execute(sql)
    found = damage_of(core.path)
    assert found is not None
    assert found.startswith("call: ")


def test_a_rebuild_knows_the_fresh_ones_and_those_that_come_meanwhile(
    core: Core, tmp_path: Path
) -> None:
    filled(core)
    core.db.execute("UPDATE call_fresh SET call = 'spoilt' WHERE call = 'call-3'")
    core.book.forget()
    live = open_for_reading(str(core.path))
    with refold(live, tmp_path, UTC) as made:
        to_the_end(made, lambda _: None)
        made.finish()
        core.append(*(cost(f"late-{number}", 7) for number in range(5)))
        adopt(lambda work: work(core.book), made.path, list(PROJECTIONS))
    live.close()
    assert damage_of(core.path) is None
    core.append(cost("call-3", 50_000, output_tokens=99), cost("late-2", 60_000, output_tokens=99))
    assert in_table(core) + fresh(core) == 25
    assert damage_of(core.path) is None


def test_what_retention_drops_goes_from_both(core: Core) -> None:
    core.append(*(cost(f"old-{number}", at=NOON - timedelta(days=9)) for number in range(5)))
    core.append(cost("young", batch=None, persona=None))
    assert fresh(core) == 6
    keep(core)
    calls = {call for (call,) in core.db.execute(f"SELECT call FROM {counted.ALL}")}  # noqa: S608
    assert "young" in calls
    assert damage_of(core.path) is None


def test_a_file_of_format_11_gets_the_table_and_keeps_its_calls(core: Core) -> None:
    filled(core)
    before = answers(core)
    as_in_format_14(core.db)
    core.db.execute("DROP TABLE call_fresh; ALTER TABLE batch DROP COLUMN digest")
    core.db.pragma("user_version", 11)
    core.db.close()
    open_for_writing(str(core.path)).close()
    again = Core(core.path)
    assert answers(again) == before
    again.append(cost("call-3", 90_000, output_tokens=99), cost("more"))
    assert (in_table(again), fresh(again)) == (20, 1)
    assert damage_of(again.path) is None


def test_a_commit_that_fails_leaves_no_call_known(core: Core) -> None:
    filled(core, 2)
    core.db.execute(
        "CREATE TEMP TRIGGER struck BEFORE INSERT ON main.persona_cost "
        "BEGIN SELECT RAISE(ABORT, 'struck'); END"
    )
    with pytest.raises(apsw.ConstraintError):
        core.append(cost("later"))
    core.db.execute("DROP TRIGGER struck")
    assert core.book.counted.get("later") is None
    core.append(cost("later"))
    assert core.book.counted.get("later") is not None
    assert damage_of(core.path) is None


def test_what_was_looked_for_in_vain_is_found_once_it_was_told(core: Core) -> None:
    calls = {f"call-{number}" for number in range(100)}
    assert core.book.counted.told(calls, is_asked_again=True) == {}
    core.append(*(cost(call) for call in calls))
    assert core.book.counted.told(calls).keys() == calls
    assert core.book.counted.told({"other"}, is_asked_again=True) == {}
    core.book.counted.put("other", 1, None)
    assert core.book.counted.get("other") == (1, None)


@pytest.mark.no_cover
@given(data=st.data(), streams=producers())
@LAW
def test_when_they_are_worked_in_changes_nothing(
    open_core: Callable[[], Core], data: st.DataObject, streams: list[Stream]
) -> None:
    one, other = open_core(), open_core()
    for commit in data.draw(together(streams)):
        take(one, commit)
        take(other, commit)
        if data.draw(st.booleans()):
            one.book.counted.work_in()
        if data.draw(st.booleans()):
            other.book.forget()
    assert one.rows() == other.rows()
    assert damage_of(one.path) is None
    assert damage_of(other.path) is None
