"""Laws of the fold: whatever order, batching, splitting and repetition, the sums are the same."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import apsw
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from personad.contract import cost as c
from personad.contract.asking import Range
from personad.contract.events import Exported, Import
from personad.kinds import microseconds
from personad.log import read
from personad.projections import BUCKETS, counted
from personad.questions import ANSWERS
from personad.tidy import Tidier, all_at_once
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, cost, planned
from .streams import Stream, figures, producers, together

LAW = settings(
    max_examples=40,
    deadline=None,
    # Making a failing history smaller would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
BY_EVENT = {
    "call": f"SELECT call, e.id, f.id FROM {counted.ALL} AS c "  # noqa: S608 - a constant of ours
    "JOIN event AS e ON e.seq = c.seq LEFT JOIN event AS f ON f.seq = corrected ORDER BY 1",
    "open_call": "SELECT call, batch, state, reserved_nanousd FROM open_call ORDER BY 1",
    "anomaly": "SELECT id, reason FROM anomaly JOIN event USING (seq) ORDER BY 1",
    "persona": "SELECT * FROM persona ORDER BY 1, 2",
}
"""What was folded, without the seqs, which tell the order."""
ODD = sorted(
    name
    for name in available_timezones()
    if any(
        datetime(year, month, 1, tzinfo=ZoneInfo(name)).utcoffset() % timedelta(hours=1)  # type: ignore[operator]
        for year in (1935, 1971, 2026)
        for month in (1, 7)
    )
)
"""Zones whose clocks were ever off by other than hours where these tests ask."""


def take(core: Core, events: list[Any]) -> None:
    core.do(Import(items=[Exported(event=event) for event in events]))


def sums(core: Core) -> dict[str, Any]:
    """Everything that adds up, with names for numbers; noted values are worked in first."""
    all_at_once(core.book)
    tables = [f"{each.name}_quarter" for each in BUCKETS if "quarter" in each.tiers]
    found: dict[str, Any] = {
        table: core.named(table) for table in (*tables, "persona_cost", "sketch_quarter")
    }
    return found | {name: list(core.db.execute(sql)) for name, sql in BY_EVENT.items()}


@pytest.mark.no_cover
@given(data=st.data(), streams=producers())
@LAW
def test_any_order_batching_splitting_and_repetition_gives_the_same_sums(
    open_core: Callable[[], Core], data: st.DataObject, streams: list[Stream]
) -> None:
    one, other = open_core(), open_core()
    take(one, [event for stream in streams for event in stream])
    tidier = Tidier(lambda work: work(other.book))
    for commit in data.draw(together(streams)):
        take(other, commit)
        if data.draw(st.booleans()):
            tidier.tidy(other.now)
    assert damage_of(other.path) is None
    assert sums(other) == sums(one)
    assert damage_of(other.path) is None


@given(told=st.lists(figures("call-1", "batch-a"), min_size=1, max_size=6), data=st.data())
@LAW
def test_of_several_figures_of_a_call_the_greatest_alone_counts(
    open_core: Callable[[], Core], told: list[c.CostRecorded], data: st.DataObject
) -> None:
    core = open_core()
    for commit in data.draw(together([[each] for each in told])):
        take(core, commit)
    counted = max(told, key=lambda e: (e.input_tokens + e.output_tokens, e.output_tokens, e.id))
    (row,) = core.named("cost_quarter")
    kind = (counted.provider, counted.model, counted.operation, counted.outcome)
    assert row[:3] == (microseconds(counted.at) // 900_000_000, kind, 1)
    assert row[7:9] == (counted.input_tokens, counted.output_tokens)


@given(told=st.lists(figures("call-1", "batch-a"), min_size=1, max_size=4), data=st.data())
@LAW
def test_the_newest_correction_stands_over_every_figure_before_and_after(
    open_core: Callable[[], Core], told: list[c.CostRecorded], data: st.DataObject
) -> None:
    core = open_core()
    corrections = [
        c.CostCorrected(id=cost().id, at=NOON, call="call-1", cost_nanousd=n, reason="reconciled")
        for n in data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=3))
    ]
    first, *others = told
    for commit in data.draw(together([[first, *corrections], *([each] for each in others)])):
        take(core, commit)
    (row,) = core.named("cost_quarter")
    assert row[6] == corrections[-1].cost_nanousd
    assert core.db.execute("SELECT count(*) FROM open_call").get == 0


@given(st.lists(st.integers(-(10**7), 10**5), max_size=12), st.data())
@LAW
def test_late_events_land_in_their_own_quarter_hour_and_those_far_ahead_in_none(
    open_core: Callable[[], Core], offsets_s: list[int], data: st.DataObject
) -> None:
    core = open_core()
    made = [cost(f"call-{n}", 1, at=NOON + timedelta(seconds=s)) for n, s in enumerate(offsets_s)]
    for commit in data.draw(together([[each] for each in made])):
        take(core, commit)
    fit = [each for each in made if each.at <= core.now + timedelta(days=1)]
    expected = Counter(microseconds(each.at) // 900_000_000 for each in fit)
    assert {row[0]: row[2] for row in core.named("cost_quarter")} == expected
    marked = {each.event.id for each in read(core.db) if each.anomaly}
    assert marked == {each.id for each in made} - {each.id for each in fit}


@given(clocks=st.lists(st.integers(-(10**8), 10**4), min_size=1, max_size=6), streams=producers())
@LAW
def test_a_clock_that_steps_back_breaks_no_order_and_gives_no_seq_twice(
    open_core: Callable[[], Core], clocks: list[int], streams: list[Stream]
) -> None:
    core = open_core()
    events = [event for stream in streams for event in stream]
    for number, event in enumerate(events):
        core.clock = clocks[number % len(clocks)]
        take(core, [event])
    kept = list(read(core.db))
    assert [each.seq for each in kept] == list(range(1, len(events) + 1))
    assert [each.event for each in kept] == events
    assert damage_of(core.path) is None


FOLDED_INTO = (
    "event",
    "batch_key",
    "batch",
    "persona",
    "call",
    "call_fresh",
    "open_call",
    "cost_fresh",
    "cost_quarter",
    "cost_batch_quarter",
    "persona_cost",
    "score_experiment_quarter",
    "sketch_fresh",
    "stale",
    "price",
    "dim",
    "anomaly",
)


@pytest.mark.no_cover
@given(data=st.data(), streams=producers())
@LAW
def test_a_transaction_that_fails_midway_leaves_nothing_behind_on_disk_or_in_memory(
    open_core: Callable[[], Core], data: st.DataObject, streams: list[Stream]
) -> None:
    spared, struck = open_core(), open_core()
    for commit in data.draw(together(streams)):
        take(spared, commit)
        table = data.draw(st.sampled_from(FOLDED_INTO))
        struck.db.execute(
            f"CREATE TEMP TRIGGER struck BEFORE INSERT ON main.{table} "
            "BEGIN SELECT RAISE(ABORT, 'struck'); END"
        )
        before = core_state(struck)
        try:
            take(struck, commit)
        except apsw.ConstraintError as error:
            assert "struck" in str(error)  # noqa: PT017 - most tables are met by some events only
            assert core_state(struck) == before
        struck.db.execute("DROP TRIGGER struck")
        take(struck, commit)
    assert struck.rows() == spared.rows()
    assert damage_of(struck.path) is None


def core_state(core: Core) -> tuple[Any, ...]:
    return tuple(
        sorted(core.db.execute(f"SELECT * FROM {table}"), key=repr)  # noqa: S608 - names of ours
        for table in FOLDED_INTO
    )


@pytest.fixture(scope="module")
def ages(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """Calls at every twenty minutes or so around days when clocks were odd."""
    core = Core(tmp_path_factory.mktemp("ledger") / "ledger.db")
    made = [
        cost(
            f"call-{year}-{n}", 1, at=datetime(year, 6, 28, tzinfo=UTC) + n * timedelta(minutes=19)
        )
        for year in (1935, 1971, 2026)
        for n in range(500)
    ]
    core.append(*planned(), *made)
    all_at_once(core.book)
    return core


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_split_of_a_range_sums_to_the_whole_in_every_odd_zone(
    ages: Core, data: st.DataObject
) -> None:
    zone = data.draw(st.sampled_from(ODD))
    year = data.draw(st.sampled_from((1935, 1971, 2026)))
    day = st.dates(date(year, 6, 26), date(year, 7, 7))
    cuts = sorted(data.draw(st.sets(day, min_size=2, max_size=5)))

    def calls(first: date, until: date) -> int:
        last = until - timedelta(days=1)
        span = Range(since=str(first), until=str(last), timezone=zone)
        request: Any = c.CostHistory(range=span)
        reply = ANSWERS[c.CostHistory](ages.db, request, ages.now)
        assert sum(row.calls for row in reply.rows) == reply.total.calls
        return int(reply.total.calls)

    assert sum(calls(*cut) for cut in pairwise(cuts)) == calls(cuts[0], cuts[-1])
