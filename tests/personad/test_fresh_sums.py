"""What calls did is known at once, wherever it lies."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from personad.bulk import SUM_MAX
from personad.contract import calls as k
from personad.contract.asking import Filter, Range
from personad.contract.cost import CostBreakdown, CostHistory
from personad.contract.latency import Latency
from personad.projections import fresh_sums, sketches
from personad.projections.book import Book
from personad.projections.cost_sums import BY_TABLE, COST
from personad.projections.fresh_sums import Row
from personad.questions import ANSWERS
from personad.store import open_for_writing
from personad.tidy import Tidier, work_rollups_in
from tests.ledgers import UTC, as_in_format_14, damage_of, struck, whole

from .conftest import Core
from .facts import NOON, cost, planned, queued, started
from .past import a_past, lived
from .retaining import answers, corrected, keep, take
from .test_laws import LAW
from .test_rebuild import rebuilt

ASKED = (
    *(CostHistory(range=Range(days=30), interval=each) for each in ("hour", "day", "week")),
    *(
        CostBreakdown(by=by, range=Range(days=90), filter=kept)  # type: ignore[arg-type]
        for by in ("provider", "model", "experiment", "batch", "operation", "outcome", "day")
        for kept in (
            Filter(),
            Filter(experiments=["tone"]),
            Filter(batches=["batch-1", "batch-2"]),
            Filter(providers=["openai"]),
        )
    ),
    *(
        Latency(range=Range(days=90), filter=kept)
        for kept in (Filter(), Filter(providers=["openai"]))
    ),
    *(
        k.CostCalls(range=Range(days=90), limit=20, filter=kept)
        for kept in (Filter(experiments=["tone"]), Filter(batches=["batch-3"]))
    ),
)


def fresh(core: Core) -> int:
    return int(core.db.execute("SELECT count(*) FROM cost_fresh").get)


def asked(core: Core) -> list[Any]:
    """What the ledger says to every question, and to these."""
    given: list[Any] = [ANSWERS[type(each)](core.db, each, core.now) for each in ASKED]
    return [*answers(core), *given]


def test_whatever_is_asked_is_answered_alike_before_and_after_they_are_worked_in(
    core: Core,
) -> None:
    lived(core, "Asia/Kathmandu", a_past())
    assert fresh(core) > 20
    before = asked(core)
    assert damage_of(core.path) is None
    work_rollups_in(core.book)
    assert fresh(core) == 0
    assert asked(core) == before
    assert damage_of(core.path) is None


@pytest.mark.parametrize("is_opened_anew", [False, True])
def test_what_no_longer_counts_is_taken_out_of_what_waits(core: Core, is_opened_anew: bool) -> None:
    core.append(*planned(), cost("a", 10), cost("b", 20), cost("c", 30, batch=None, persona=None))
    core.append(cost("d", 1, duration_ms=700, ttft_ms=20))
    assert fresh(core) == 3
    if is_opened_anew:
        core = Core(core.path)
    take(core, corrected("a", 2), corrected("d", 5))
    core.append(cost("b", 50, output_tokens=99, duration_ms=9))
    assert [row[6] for row in core.named("cost_quarter")] == [2 + 50 + 30 + 5]
    assert damage_of(core.path) is None


def test_a_quiet_moment_works_them_in_together_with_what_they_took(core: Core) -> None:
    core.append(*planned(), cost("a", 10, duration_ms=5), cost("b", 20, ttft_ms=3))
    core.append(cost("c", 1, duration_ms=7, ttft_ms=2))
    Tidier(lambda work: work(core.book)).tidy(NOON)
    assert fresh(core) == 0
    assert not sketches.has_fresh(core.db)
    assert core.db.execute("SELECT count(*) FROM sketch_quarter").get == 2
    assert damage_of(core.path) is None


@pytest.mark.parametrize(("rows", "calls"), [(6, 1_000), (1_000, 6)])
def test_no_more_are_kept_than_can_be_looked_through(
    core: Core, monkeypatch: pytest.MonkeyPatch, rows: int, calls: int
) -> None:
    monkeypatch.setattr(fresh_sums, "FRESH_MOST", rows)
    monkeypatch.setattr(fresh_sums, "CALLS_MOST", calls)
    core.append(*planned())
    for number in range(20):
        core.append(cost(f"{number}-a", 1), cost(f"{number}-b", 1, model=f"model-{number % 3}"))
        assert fresh(core) < 12
        again = Book(core.db, UTC)
        assert fresh_sums.are_many(again, COST) == fresh_sums.are_many(core.book, COST)
    assert damage_of(core.path) is None


def test_many_of_one_commit_are_brought_into_the_tables_at_once(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh_sums, "DIRECT_FROM", 5)
    some = [cost(f"call-{n}", n, experiment=f"of-{n}", duration_ms=n) for n in range(6)]
    core.append(*some[:4])
    core.append(*some)
    core.append(*(cost(f"more-{n}", n, experiment=f"of-{n}", duration_ms=n) for n in range(6)))
    assert fresh(core) == 6
    assert damage_of(core.path) is None


def test_a_commit_that_fails_leaves_nothing_behind(core: Core) -> None:
    core.append(*planned(), cost("a", 1), cost("b", 2))
    before = core.named("cost_quarter")
    with struck(core.db, "cost_fresh"), pytest.raises(apsw.ConstraintError):
        core.append(cost("c", 4), cost("d", 8, model="other"))
    assert core.named("cost_quarter") == before
    core.append(cost("c", 4), cost("d", 8, model="other"))
    assert sum(row[6] for row in core.named("cost_quarter")) == 15
    assert damage_of(core.path) is None


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("DELETE FROM cost_fresh WHERE id = 1", "cost_quarter"),
        ("UPDATE cost_fresh SET cost_nanousd = cost_nanousd + 1", "cost_quarter"),
        ("UPDATE cost_fresh SET batch = NULL", "cost_batch_quarter"),
        ("UPDATE cost_fresh SET experiment = NULL", "cost_experiment_quarter"),
        ("UPDATE cost_fresh SET duration_ms = x'0100000000000000'", "sketch_quarter"),
    ],
)
def test_verify_sees_what_is_wrong_among_them(core: Core, sql: str, table: str) -> None:
    core.append(*planned(), cost("a", 1, experiment="tone", duration_ms=70))
    core.append(cost("b", 2), cost("c", 3, model="other"))
    assert damage_of(core.path) is None
    core.db.execute(sql)
    assert (damage_of(core.path) or "").startswith(f"{table}: ")


@pytest.mark.parametrize("names", [(), ("costs",)])
def test_the_tables_are_exchanged_together(core: Core, names: tuple[str, ...]) -> None:
    core.append(*planned(), cost("a", 1, duration_ms=5), cost("b", 2))
    core.db.execute("UPDATE cost_fresh SET cost_nanousd = 77, duration_ms = NULL")
    rebuilt(core, *names, meanwhile=[cost("c", 4, duration_ms=6), cost("d", 8, model="other")])
    assert sum(row[6] for row in core.named("cost_quarter")) == 15
    core.append(cost("e", 16))
    assert damage_of(core.path) is None
    work_rollups_in(core.book)
    assert damage_of(core.path) is None


@pytest.mark.parametrize("meanwhile", [0, 2])
def test_what_an_old_batch_took_in_before_its_tables_are_made_anew_is_kept(
    core: Core, meanwhile: int
) -> None:
    long_ago = NOON - timedelta(days=30)
    core.append(started(total=2, at=long_ago), queued("p1", 1), queued("p2", 2))
    core.append(cost("a", 10, at=long_ago, duration_ms=3))
    keep(core)
    core.append(cost("b", 20, duration_ms=4), cost("c", 30, persona="p2"))
    assert fresh(core) > 0
    before = {table: core.named(table) for table in (*BY_TABLE, "persona_cost")}
    later = [cost(f"later-{n}", 1, batch="batch-b") for n in range(meanwhile)]
    rebuilt(core, meanwhile=later)
    if not meanwhile:
        assert {table: core.named(table) for table in before} == before
    assert damage_of(core.path) is None
    work_rollups_in(core.book)
    assert damage_of(core.path) is None


def test_a_file_of_format_15_gets_the_table(core: Core) -> None:
    lived(core, "UTC", a_past())
    before = asked(core)
    as_in_format_14(core.db)
    core.db.pragma("user_version", 14)
    core.db.close()
    open_for_writing(str(core.path)).close()
    again = Core(core.path)
    assert asked(again) == before
    again.append(cost("one more", 4))
    assert fresh(again) == 1
    assert damage_of(again.path) is None


def rows() -> st.SearchStrategy[Row]:
    figures = st.integers(0, 9) | st.sampled_from((SUM_MAX // 2, SUM_MAX - 1, SUM_MAX))
    key = st.integers(1, 2)
    place = st.tuples(key, key, st.none() | key, st.none() | key)
    sums = st.tuples(st.integers(1, 3), *([figures] * (len(COST.sums) - 1)))
    took = st.just(fresh_sums.NOTHING) | st.tuples(
        key, st.lists(st.integers(0, 99), min_size=1, max_size=3).map(sketches.as_stored)
    )
    return st.builds(Row, place, sums, took, took)


@given(commits=st.lists(st.lists(rows(), max_size=6), max_size=5), data=st.data())
@example(commits=[[Row((1, 1, None, 1), (1, *[SUM_MAX] * 8))] * 3], data=None)
@LAW
def test_both_are_one_table_in_its_order(
    open_core: Callable[[], Core], commits: list[list[Row]], data: st.DataObject | None
) -> None:
    late, at_once = open_core(), open_core()
    with pytest.MonkeyPatch.context() as patched:
        for commit in commits:
            with late.db:
                if len(commit) == 1:
                    fresh_sums.add_one(late.book, COST, commit[0])
                else:
                    fresh_sums.add(late.book, COST, commit)
                if data is not None and data.draw(st.booleans()):
                    fresh_sums.work_in(late.book, COST)
            patched.setattr(fresh_sums, "DIRECT_FROM", 1)
            with at_once.db:
                fresh_sums.add(at_once.book, COST, commit)
            patched.undo()
    assert at_once.db.execute("SELECT count(*) FROM cost_fresh").get == 0
    both = "SELECT bucket, series, added FROM {} WHERE added > x''".format
    for _ in range(2):
        for table in BY_TABLE:
            assert whole(late.db, table) == whole(at_once.db, table)
        assert values_of(late, both(sketches.FRESH)) == values_of(at_once, both("sketch_fresh"))
        with late.db:
            fresh_sums.work_in(late.book, COST)
        assert late.db.execute("SELECT count(*) FROM cost_fresh").get == 0


def values_of(core: Core, sql: str) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    for bucket, series, values in core.db.execute(sql):
        found.setdefault((bucket, series), []).extend(sketches.values_of(values))
    return {key: sorted(values) for key, values in found.items()}
