"""Retention and what comes late, comes again, or comes while it goes on."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personad import quarantine
from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import Event
from personad.contract.errors import LedgerError
from personad.halves import to_the_end
from personad.kinds import microseconds
from personad.log import last_seq
from personad.projections import sketches
from personad.rebuild import adopt, chosen
from personad.refold import refold
from personad.store import open_for_reading
from personad.tidy import all_at_once
from personad.verify import verify
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, SPECIMENS, cost, happened, queued, started
from .retaining import DAY, LONG_AGO, answers, corrected, dropped, filled, keep, take
from .test_costs import call_started

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
