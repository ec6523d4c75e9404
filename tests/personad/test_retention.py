"""Retention: single events go, and nothing that anybody is told changes."""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from typing import Any

import apsw
import msgspec
import pytest

from personad import quarantine
from personad.contract import batch as b
from personad.contract.errors import LedgerError
from personad.dropping import DAY_US
from personad.kinds import KINDS, RAW_KINDS, microseconds
from personad.log import last_seq
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
from personad.tidy import all_at_once
from tests.ledgers import damage_of, rows, seq_of

from .conftest import Core
from .facts import NOON, SPECIMENS, cost, happened, planned, queued, started
from .retaining import DAY, LONG_AGO, answers, corrected, count, dropped, filled, keep, take
from .test_costs import call_started


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
    core.book.counted.work_in()
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
