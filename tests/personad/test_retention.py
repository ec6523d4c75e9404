"""Retention: single events go, and nothing that anybody is told changes."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, get_args
from zoneinfo import ZoneInfo

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.history import Shape, history
from personad import quarantine
from personad.contract import batch as b
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.admin import Retained
from personad.contract.base import Event
from personad.contract.cost import Estimate
from personad.contract.cost_rows import CostRows
from personad.contract.errors import LedgerError
from personad.contract.events import Appended, Exported, Import, Read
from personad.dropping import DAY_US
from personad.kinds import KINDS, RAW_KINDS, microseconds
from personad.log import last_seq
from personad.projections import sketches
from personad.questions import ANSWERS
from personad.rebuild import adopt, chosen
from personad.refold import refold, to_the_end
from personad.retention import (
    FEWEST_DAYS,
    MOST_PAGES,
    MOST_ROWS,
    RETENTION,
    horizon_of,
    last_retention,
    open_beside,
    retain,
)
from personad.store import open_for_reading
from personad.tidy import all_at_once
from personad.verify import verify
from tests.ledgers import damage_of, rows, seq_of

from .conftest import Core
from .facts import NOON, SPECIMENS, cost, fresh_id, happened, planned, queued, started
from .test_costs import call_started

LONG_AGO = NOON - timedelta(days=30)
DAY = timedelta(days=1)


def keep(core: Core, days: int = 2, now: datetime = NOON, **more: Any) -> Retained:
    """One run, on the core's own connection."""
    with closing(open_beside(str(core.path))) as beside:
        told = {"clock_is_right": True} | more
        return retain(lambda work: work(core.book), beside, now, days, **told)


def take(core: Core, *events: Event) -> Appended:
    """Also what only the daemon writes."""
    return core.do(Import(items=[Exported(event=event) for event in events]))  # type: ignore[arg-type]


def filled(core: Core, events: int = 3_000, days: int = 10) -> Core:
    made = list(history(Shape(events, days, NOON)))
    for start in range(0, len(made), 300):
        core.append(*made[start : start + 300])
    return core


def corrected(call: str, nanousd: int, at: datetime = NOON) -> c.CostCorrected:
    return c.CostCorrected(
        id=fresh_id(), at=at, call=call, cost_nanousd=nanousd, reason="reconciled"
    )


def dropped(done: Retained) -> int:
    return sum(each.events for each in done.kinds)


def count(core: Core) -> int:
    return int(core.db.execute("SELECT count(*) FROM event").get)


def requests(core: Core, kind: type[Any]) -> Iterator[Any]:
    """Every way to ask that question which has no more than one field that must be given."""
    batches = [str(batch) for (batch,) in core.db.execute("SELECT batch FROM batch")]
    if kind is Estimate:
        yield Estimate(
            provider="anthropic", model="claude-x", input_tokens=[900], max_output_tokens=500
        )
        return
    given_fields = [each for each in msgspec.structs.fields(kind) if each.required]
    if not given_fields:
        yield kind()
        return
    (field,) = given_fields
    for value in batches if field.name == "batch" else get_args(field.type):
        yield kind(**{field.name: value})


OF_EVENTS = (Read, k.CostCalls, k.CostExplain, k.Repricing, CostRows)
"""Answered from the log itself: what has been dropped isn't listed any more."""


def answers(core: Core) -> list[bytes]:
    """What the ledger says to all that one can ask, at one moment."""
    with closing(open_for_reading(str(core.path))) as db:
        return [
            msgspec.json.encode(ANSWERS[kind](db, request, NOON))
            for kind in ANSWERS
            if kind not in OF_EVENTS
            for request in requests(core, kind)
        ]


def test_every_kind_of_event_is_in_one_tier() -> None:
    kinds = [kind for tier in RETENTION.values() for kind in tier.kinds]
    assert sorted(kinds) == sorted(KINDS)
    limited = {
        kind for tier in RETENTION.values() if tier.kept == "raw_days" for kind in tier.kinds
    }
    assert limited == RAW_KINDS


@pytest.mark.no_cover
@pytest.mark.parametrize("is_tidy", [False, True])
def test_no_answer_is_changed_by_it(core: Core, is_tidy: bool) -> None:
    filled(core)
    if is_tidy:
        all_at_once(core.book)
    before = answers(core)
    assert dropped(keep(core)) > 1_000
    assert answers(core) == before
    assert damage_of(core.path) is None
    all_at_once(core.book)
    assert answers(core) == before
    assert damage_of(core.path) is None


def test_what_is_young_enough_stays(core: Core) -> None:
    filled(core)
    horizon = horizon_of(NOON, 2)
    young = "SELECT count(*) FROM event WHERE at >= ?"
    before = core.db.execute(young, (microseconds(horizon),)).get
    keep(core)
    assert core.db.execute(young, (microseconds(horizon),)).get == before
    codes = ",".join(str(KINDS[kind]) for kind in RAW_KINDS)
    old = f"SELECT count(*) FROM event WHERE at < ? AND kind IN ({codes})"  # noqa: S608
    assert core.db.execute(old, (microseconds(horizon),)).get == 0


def test_it_says_of_each_kind_what_was_dropped(core: Core) -> None:
    filled(core)
    kinds = dict(core.db.execute("SELECT kind, count(*) FROM event GROUP BY kind"))
    done = keep(core)
    left = dict(core.db.execute("SELECT kind, count(*) FROM event GROUP BY kind"))
    assert [each.kind for each in done.kinds] == [
        kind for tier in RETENTION.values() for kind in tier.kinds
    ]
    for each in done.kinds:
        code = KINDS[each.kind]
        assert each.events == kinds.get(code, 0) - left.get(code, 0)
        assert (each.kept_days is None) == (each.kind not in RAW_KINDS)
        assert (each.oldest is None) == (each.events == 0)
        assert each.size_bytes >= each.events * 64
    assert dropped(done) == sum(kinds.values()) - sum(left.values())


def test_a_dry_run_tells_the_same_and_changes_nothing(core: Core) -> None:
    filled(core)
    core.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    before, file = rows(core.path), core.path.read_bytes()
    told = keep(core, dry_run=True)
    assert told.dry_run
    assert rows(core.path) == before
    assert core.path.read_bytes() == file
    done = keep(core)
    assert told.kinds == done.kinds
    assert dropped(done) > 0


def test_a_second_run_finds_nothing(core: Core) -> None:
    filled(core)
    keep(core)
    assert dropped(keep(core)) == 0


def test_what_stands_is_never_forgotten(core: Core) -> None:
    old = [
        msgspec.structs.replace(event, at=NOON - timedelta(days=3_000))
        for kind, event in SPECIMENS.items()
        if kind not in RAW_KINDS
    ]
    take(core, *old)
    before = rows(core.path, but=("last_retention",))
    assert dropped(keep(core, days=1)) == 0
    assert rows(core.path, but=("last_retention",)) == before


def test_a_ledger_without_old_events_still_takes_old_history(core: Core) -> None:
    core.append(*planned(), cost())
    keep(core)
    assert core.append(cost("old", at=LONG_AGO)).quarantined == 0


def test_a_number_is_never_given_twice(core: Core) -> None:
    core.append(started(at=LONG_AGO))
    core.append(*(cost(f"call-{n}", at=LONG_AGO) for n in range(10)))
    newest = last_seq(core.db)
    assert dropped(keep(core)) == 10
    assert last_seq(core.db) == newest == seq_of(core.path)
    assert core.append(cost("later")).first_seq == newest + 1
    assert damage_of(core.path) is None


def test_old_events_behind_young_ones_are_found(core: Core) -> None:
    core.append(cost("young"))
    core.append(cost("old", at=LONG_AGO))
    core.append(cost("youngest"))
    assert dropped(keep(core)) == 1
    assert [seq for (seq,) in core.db.execute("SELECT seq FROM event")] == [1, 3]
    assert damage_of(core.path) is None


def test_an_anomaly_goes_with_its_event(core: Core) -> None:
    event = happened(b.PersonaGenerating, at=LONG_AGO)
    assert core.append(event).anomalies == 1
    assert dropped(keep(core)) == 1
    assert core.db.execute("SELECT count(*) FROM anomaly").get == 0
    assert damage_of(core.path) is None


def test_the_mark_never_moves_back(core: Core) -> None:
    marks = []
    for now, days in ((NOON, 10), (NOON, 5), (NOON, 400), (NOON - timedelta(days=100), 5)):
        core.append(cost(f"a-{len(marks)}", at=NOON - timedelta(days=8)))
        take(core, cost(f"b-{len(marks)}", at=NOON - timedelta(days=500)))
        keep(core, days, now)
        marks.append(quarantine.pruned_before(core.db))
    assert marks[0] == microseconds(horizon_of(NOON, 10)) + DAY_US
    assert all(earlier <= later for earlier, later in pairwise(marks))  # type: ignore[operator]
    assert marks[1] == marks[-1]
    assert damage_of(core.path) is None


def test_however_short_the_time_an_event_may_come_a_day_late(core: Core) -> None:
    core.append(cost("old", at=LONG_AGO))
    assert dropped(keep(core, days=1)) == 1
    assert core.append(cost("late", at=NOON - DAY)).quarantined == 0
    assert horizon_of(NOON, 1) == horizon_of(NOON, FEWEST_DAYS)


def test_no_slice_drops_more_than_it_may(core: Core) -> None:
    core.append(started(at=LONG_AGO))
    for start in range(0, 9_000, 1_000):
        core.append(*(cost(f"call-{start + n}", at=LONG_AGO) for n in range(1_000)))
    slices = []

    def counting(work: Callable[[Any], Any]) -> Any:
        before, pages = count(core), core.db.pragma("page_count")
        found = work(core.book)
        slices.append((before - count(core), pages - core.db.pragma("page_count")))
        return found

    with closing(open_beside(str(core.path))) as beside:
        assert dropped(retain(counting, beside, NOON, 2)) == 9_000
    assert max(events for events, _ in slices) <= MOST_ROWS
    assert max(pages for _, pages in slices) <= MOST_PAGES * 1.01
    assert sum(events for events, _ in slices) == 9_000


def test_the_file_shrinks(core: Core) -> None:
    filled(core, 20_000, 20)
    core.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    before = core.path.stat().st_size
    done = keep(core)
    assert before - core.path.stat().st_size == done.freed_bytes > before // 3
    assert core.db.execute("PRAGMA freelist_count").get == 0


def test_it_remembers_when_it_was_done(core: Core) -> None:
    assert last_retention(core.db) is None
    keep(core, dry_run=True)
    assert last_retention(core.db) is None
    keep(core)
    assert last_retention(core.db) == NOON


def test_told_to_leave_off_it_goes_on_the_next_time(core: Core) -> None:
    filled(core)
    before = answers(core)
    whole = dropped(keep(core, dry_run=True))
    some = count(core)
    with pytest.raises(LedgerError, match="left off"):
        keep(core, pause=lambda _: count(core) < some)
    assert 0 < some - count(core) < whole
    assert last_retention(core.db) is None
    assert damage_of(core.path) is None
    assert answers(core) == before
    assert some - count(core) + dropped(keep(core)) == whole
    assert answers(core) == before


def test_what_comes_between_the_look_and_the_mark_is_dropped_as_well(core: Core) -> None:
    core.append(cost("old", at=LONG_AGO))
    is_late = iter([True])

    def meanwhile(work: Callable[[Any], Any]) -> Any:
        if next(is_late, False):
            core.append(cost("late", at=LONG_AGO))
        return work(core.book)

    with closing(open_beside(str(core.path))) as beside:
        assert dropped(retain(meanwhile, beside, NOON, 2)) == 2
    assert count(core) == 0


# What an old event is still needed for.


def test_an_open_call_keeps_its_events_until_it_is_settled(core: Core) -> None:
    take(core, started(at=LONG_AGO))
    opened = msgspec.structs.replace(call_started("open"), at=LONG_AGO)
    unknown = cost("unknown", None, outcome="unknown", at=LONG_AGO)
    take(core, opened, unknown, cost("done", at=LONG_AGO))
    assert dropped(keep(core)) == 1
    assert damage_of(core.path) is None
    settled = [corrected(call, 7) for call in ("open", "unknown")]
    assert take(core, *settled).anomalies == 0
    assert core.show().cost.spent_nanousd == 1_500 + 7 + 7
    assert damage_of(core.path) is None
    assert dropped(keep(core)) == 2
    assert core.show().cost.spent_nanousd == 1_500 + 7 + 7
    assert damage_of(core.path) is None


def test_a_correction_stays_as_long_as_what_it_corrects(core: Core) -> None:
    young, old = NOON, NOON - timedelta(days=5)
    take(core, started(at=old), cost("one", at=young))
    take(core, corrected("one", 9, old))
    assert dropped(keep(core)) == 0
    take(core, cost("other", at=old))
    assert dropped(keep(core)) == 1
    assert damage_of(core.path) is None
    assert dropped(keep(core, now=NOON + timedelta(days=9))) == 2
    assert core.show().cost.spent_nanousd == 9 + 1_500
    assert damage_of(core.path) is None


def test_a_correction_keeps_the_figure_that_it_was_made_of(core: Core) -> None:
    old, young = NOON - timedelta(days=3), NOON - DAY
    core.append(started(at=LONG_AGO), cost("one", at=old, output_tokens=1))
    take(core, corrected("one", 9, old))
    core.append(cost("one", at=young, output_tokens=9))
    assert dropped(keep(core)) == 0
    assert damage_of(core.path) is None
    later = NOON + timedelta(days=9)
    assert [dropped(keep(core, now=later)) for _ in range(3)] == [1, 2, 0]
    assert core.show().cost.spent_nanousd == 9
    assert damage_of(core.path) is None


def test_a_lesser_figure_that_outlives_the_greater_one_is_not_counted(core: Core) -> None:
    midnight = horizon_of(NOON, 2)
    core.append(started(at=LONG_AGO))
    core.append(cost("one", 900, at=midnight - timedelta(seconds=1), output_tokens=90))
    core.append(cost("one", 100, at=midnight + timedelta(seconds=1), output_tokens=1))
    assert dropped(keep(core)) == 1
    assert core.show().cost.spent_nanousd == 900
    assert damage_of(core.path) is None


def test_a_start_that_outlives_its_call_opens_nothing(core: Core) -> None:
    midnight = horizon_of(NOON, 2)
    take(core, started(at=LONG_AGO))
    take(core, msgspec.structs.replace(call_started("one"), at=midnight + timedelta(seconds=1)))
    take(core, cost("one", at=midnight - timedelta(seconds=1)))
    assert dropped(keep(core)) == 1
    assert damage_of(core.path) is None


def test_what_did_not_fit_then_does_not_fit_now(core: Core) -> None:
    old, young = LONG_AGO, NOON - DAY
    core.append(started(at=old), msgspec.structs.replace(queued("p1", 1), at=young))
    done = [happened(b.PersonaGenerating, at=young)]
    done += [happened(b.PersonaCompleted, at=at) for at in (old, young)]
    assert core.append(*done).anomalies == 1
    assert dropped(keep(core)) == 1
    assert damage_of(core.path) is None


def test_a_young_batch_keeps_what_is_dated_before_it(core: Core) -> None:
    core.append(*planned(), cost(at=LONG_AGO))
    assert dropped(keep(core)) == 0
    assert dropped(keep(core, now=NOON + timedelta(days=9))) == 3
    assert damage_of(core.path) is None


# Quarantine.


def pruned(core: Core) -> Core:
    core.append(started(at=LONG_AGO), cost("old", at=LONG_AGO))
    keep(core)
    return core


def test_an_event_from_before_the_mark_is_kept_aside_and_counted_nowhere(core: Core) -> None:
    pruned(core)
    before, seq = core.show().cost.spent_nanousd, last_seq(core.db)
    late = cost("late", at=LONG_AGO)
    for expected in (1, 1):
        told = core.append(late)
        assert (told.quarantined, told.first_seq, told.duplicates) == (expected, None, 0)
    assert quarantine.count(core.db) == 1
    assert (core.show().cost.spent_nanousd, last_seq(core.db)) == (before, seq)
    assert damage_of(core.path) is None


def test_an_import_and_what_stands_meet_the_mark_alike(core: Core) -> None:
    pruned(core)
    old_goal = msgspec.structs.replace(SPECIMENS["goal.set"], at=LONG_AGO)
    told = take(core, cost("late", at=LONG_AGO), old_goal, cost("young"))
    assert (told.quarantined, told.duplicates) == (1, 0)
    assert last_seq(core.db) == 4


def test_a_repeat_of_what_is_still_there_is_a_duplicate(core: Core) -> None:
    pruned(core)
    young = cost("young", at=NOON - timedelta(days=1))
    core.append(young)
    assert core.append(young).duplicates == 1
    keep(core, now=NOON + timedelta(days=1, hours=13))
    assert core.append(young).quarantined + core.append(young).duplicates >= 1


def test_an_old_event_that_was_taken_all_the_same_is_damage(core: Core) -> None:
    pruned(core)
    core.append(cost("young"))
    earlier = "UPDATE event SET at = ?1, delay = at + delay - ?1 WHERE seq = 3"
    core.db.execute(earlier, (microseconds(LONG_AGO),))
    assert "event 3 is from before" in (damage_of(core.path) or "")


# Any interleaving.


@contextmanager
def opened(open_core: Callable[[], Core]) -> Iterator[Core]:
    core = open_core()
    try:
        yield core
    finally:
        core.db.close()


_CALL = st.tuples(st.sampled_from((0, 11, 13, 23)), st.integers(0, 3))
"""Hours after a noon, on both sides of midnight, and which call."""
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("figure"), _CALL, st.integers(1, 5)),
        st.tuples(st.just("figure"), _CALL, st.integers(1, 5)),
        st.tuples(st.just("figure"), _CALL, st.integers(1, 5)),
        st.tuples(st.just("unknown"), _CALL, st.just(0)),
        st.tuples(st.just("granted"), _CALL, st.integers(1, 5)),
        st.tuples(st.just("abandoned"), _CALL, st.just(0)),
        st.tuples(st.just("corrected"), _CALL, st.integers(1, 5)),
        st.tuples(st.just("batch"), _CALL, st.integers(0, 2)),
        st.tuples(st.just("persona"), _CALL, st.integers(0, 2)),
        st.tuples(st.just("again"), _CALL, st.integers(0, 2)),
        st.tuples(st.just("retention"), _CALL, st.integers(1, 3)),
        st.tuples(st.just("retention"), _CALL, st.just(1)),
        st.tuples(st.just("a day later"), _CALL, st.just(0)),
        st.tuples(st.just("a day later"), _CALL, st.just(0)),
    ),
    min_size=25,
    max_size=80,
)


def events_of(step: str, where: tuple[int, int], number: int) -> list[Event]:
    """What happened; all of one call, and all of one batch, within its own day."""
    hour, call = where
    at = NOON + timedelta(days=call % 3, hours=hour)
    name = f"call-{call}"
    batch = f"batch-{number}" if step in ("batch", "persona", "again") else f"batch-{call % 3}"
    match step:
        case "figure":
            return [cost(name, number * 10, at=at, output_tokens=number, batch=batch)]
        case "unknown":
            return [cost(name, None, at=at, outcome="unknown", batch=batch)]
        case "granted":
            return [msgspec.structs.replace(call_started(name, number), at=at, batch=batch)]
        case "abandoned":
            return [happened(c.CallAbandoned, call=name, at=at, reason="paused")]
        case "corrected":
            return [corrected(name, number, at)]
        case "batch":
            first = NOON.replace(hour=0) + timedelta(days=number % 3)
            plan = [queued(f"p{place}", place, batch) for place in (1, 2)]
            return [
                started(batch, at=first),
                *(msgspec.structs.replace(event, at=first) for event in plan),
            ]
        case _:
            at = NOON.replace(hour=0) + timedelta(days=number % 3, hours=hour)
            steps = (b.PersonaGenerating, b.PersonaCompleted)[step == "again" :]
            return [happened(kind, batch, f"p{call % 2 + 1}", at=at) for kind in steps]


def totals(core: Core) -> dict[str, list[tuple[Any, ...]]]:
    with core.db:
        while sketches.work_in(core.db, 10_000):
            pass
    found = {table: some for table, some in core.rows().items() if table not in ("call", "anomaly")}
    return found | {"sketch": core.named("sketch_quarter")}


@pytest.mark.no_cover
@given(steps=_STEPS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_pruned_or_not_the_totals_are_the_same(
    open_core: Callable[[], Core], steps: list[tuple[str, tuple[int, int], int]]
) -> None:
    with opened(open_core) as core, opened(open_core) as whole:
        for each in (core, whole):
            each.clock = DAY.total_seconds() * 2
        for step, where, number in steps:
            if step == "retention":
                keep(core, number, core.now)
                assert damage_of(core.path) is None
                continue
            if step == "a day later":
                core.clock = whole.clock = core.clock + DAY.total_seconds()
                continue
            for event in events_of(step, where, number):
                if not take(core, event).quarantined:
                    take(whole, event)
            assert last_seq(core.db) == last_seq(whole.db)
        assert totals(core) == totals(whole)
        keep(core, 1, core.now)
        assert totals(core) == totals(whole)
        assert damage_of(core.path) is None


# At the same time as a fresh fold.


def test_what_is_dropped_while_it_is_folded_afresh_is_no_damage(core: Core) -> None:
    filled(core)
    is_first = iter([True])

    def progress(what: str, *_: int) -> None:
        if what == "fold" and next(is_first, False):
            assert dropped(keep(core)) > 0

    with closing(open_for_reading(str(core.path))) as db:
        found = verify(db, core.path.parent, ZoneInfo("UTC"), progress)
    assert found.damage is None
    assert next(is_first, None) is None


def test_a_rebuild_from_before_it_is_refused_and_one_from_after_it_changes_no_answer(
    core: Core,
) -> None:
    filled(core)
    all_at_once(core.book)
    before = answers(core)
    with closing(open_for_reading(str(core.path))) as live:
        for is_late in (True, False):
            with refold(live, core.path.parent, ZoneInfo("UTC")) as fresh:
                to_the_end(fresh, lambda _: None)
                fresh.finish()
                if is_late:
                    keep(core)
                    with pytest.raises(LedgerError, match="retention dropped"):
                        adopt(lambda work: work(core.book), fresh.path, chosen(()))
                else:
                    adopt(lambda work: work(core.book), fresh.path, chosen(()))
            assert answers(core) == before
            assert damage_of(core.path) is None
