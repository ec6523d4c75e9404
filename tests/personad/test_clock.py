"""Which clocks are believed before events are dropped for their age."""

from datetime import datetime, timedelta

import pytest

from personad.clock import FLOOR, LONGEST, leap, longest_leap
from personad.contract.cost import StartCall
from personad.contract.errors import LedgerError
from personad.quarantine import pruned_before
from personad.retention import last_retention
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, cost
from .retaining import count, dropped, keep

DAY = timedelta(days=1)
OWN = StartCall(
    call="call-own", provider="local", model="m", max_input_tokens=1, max_output_tokens=1
)


def at(core: Core, *days: int) -> None:
    """An event recorded on each of these days after `NOON`."""
    for day in days:
        core.clock = day * 86_400.0
        core.append(cost(f"call-{day}", at=core.now))


def found(core: Core, now: datetime, last: datetime | None = None) -> tuple[datetime, ...] | None:
    return leap(core.db, last, now, 60 * DAY)


def test_time_that_left_its_traces_is_believed(core: Core) -> None:
    at(core, 0, 50, 100, 150, 200)
    assert found(core, NOON + 255 * DAY) is None


def test_time_in_which_nothing_happened_for_long_is_not(core: Core) -> None:
    at(core, 0, 50, 120, 150)
    assert found(core, NOON + 160 * DAY) == (NOON + 50 * DAY, NOON + 120 * DAY)
    assert found(core, NOON + 160 * DAY, last=NOON + 110 * DAY) is None
    assert found(core, NOON + 211 * DAY, last=NOON + 110 * DAY) == (
        NOON + 150 * DAY,
        NOON + 211 * DAY,
    )


def test_what_is_recorded_after_a_leap_is_no_witness_of_it(core: Core) -> None:
    at(core, 0, 1_000, 1_001, 1_030)
    assert found(core, NOON + 1_031 * DAY) == (NOON, NOON + 1_000 * DAY)


def test_a_clock_that_was_not_set_yet_is_no_witness_either(core: Core) -> None:
    at(core, (FLOOR - NOON).days - 10_000, 0)
    assert found(core, NOON + DAY) is None


def test_an_empty_ledger_has_nothing_to_drop(core: Core) -> None:
    assert found(core, NOON + 10_000 * DAY) is None


def test_a_clock_that_was_put_back_is_believed_again(core: Core) -> None:
    at(core, 0, 1_000)
    assert found(core, NOON + DAY) is None


@pytest.mark.parametrize(("raw_days", "longest"), [(400, LONGEST), (30, 15 * DAY), (2, DAY)])
def test_the_shorter_events_are_kept_the_sooner_it_asks(raw_days: int, longest: timedelta) -> None:
    assert longest_leap(raw_days) == longest


def test_a_clock_that_is_ahead_by_years_drops_nothing_and_moves_no_mark(core: Core) -> None:
    at(core, 0, 1)
    years = NOON + 3_000 * DAY
    with pytest.raises(LedgerError, match="nothing was dropped: the clock says") as refused:
        keep(core, 400, years, clock_is_right=False)
    assert refused.value.code == "conflict"
    assert (count(core), pruned_before(core.db), last_retention(core.db)) == (2, None, None)
    assert keep(core, 400, years, clock_is_right=False, dry_run=True).held is not None
    assert dropped(keep(core, 400, years, clock_is_right=True)) == 2
    assert keep(core, 400, years + DAY, clock_is_right=False).held is None


def test_what_the_daemon_says_is_recorded_even_where_the_clock_stepped_back_past_the_mark(
    core: Core,
) -> None:
    at(core, 0)
    keep(core, 2, NOON + 30 * DAY)
    core.clock = 86_400.0
    assert core.append(cost("late", at=core.now)).quarantined == 1
    granted = core.do(OWN)
    assert granted == core.do(OWN)
    held = core.db.execute("SELECT call FROM open_call").fetchall()
    assert held == [("call-own",)]
    assert count(core) == 1
    assert damage_of(core.path) is None
