"""What is answered about costs, against plain arithmetic over the events."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personad import tidy
from personad.contract import cost as c
from personad.contract.asking import Filter, Interval, Range
from personad.contract.batch import PersonaCompleted, PersonaGenerating
from personad.contract.errors import LedgerError
from personad.projections import wide
from personad.projections.asked import resolve
from personad.projections.book import Book
from personad.projections.cost_sums import COST
from personad.projections.summing import Columns, Only, Without
from personad.questions import ANSWERS

from . import past
from .conftest import Core
from .facts import NOON, cost, happened, planned, started
from .past import ZONES, a_past, between, kept, label, lived, spent

EVENTS = a_past()
FACTS = [each for each in EVENTS if hasattr(each, "experiment") and not hasattr(each, "total")]
FIRST, LAST = date(2026, 9, 26), date(2026, 11, 22)
WHOLE = Range(since=str(FIRST), until=str(LAST))
DIMENSIONS = get_args(c.Dimension)
FILTERS = (
    Filter(),
    Filter(providers=["anthropic", "azure"]),
    Filter(models=["gpt"], providers=["openai"]),
    Filter(experiments=["tone", "order"]),
    Filter(experiments=["length"], models=["sonnet"]),
    Filter(batches=["batch-1", "batch-2", "batch-3"]),
    Filter(batches=["batch-1", "batch-4", "batch-5"], experiments=["tone", "length"]),
)


def ask(core: Core, request: Any) -> Any:
    return ANSWERS[type(request)](core.db, request, core.now)


def told(row: Any, *leave_out: str) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    return {name: fields[name] for name in fields if name not in leave_out}


@pytest.fixture(scope="module", params=["UTC", "Asia/Kathmandu", "Australia/Lord_Howe"])
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Core]:
    """A ledger of each of these zones, many of whose days are stale."""
    core = Core(tmp_path_factory.mktemp("ledger") / "ledger.db")
    lived(core, request.param, EVENTS)
    yield core
    core.db.close()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("interval", get_args(Interval))
def test_each_slice_holds_what_happened_in_it_on_the_clocks_of_any_zone(
    home: Core, zone: str, interval: Any
) -> None:
    span = msgspec.structs.replace(WHOLE, timezone=zone)
    reply = ask(home, c.CostHistory(range=span, interval=interval))
    expected: dict[str, list[Any]] = defaultdict(list)
    if interval == "day":
        expected |= {str(day): [] for day in past.days(FIRST, LAST)}
    for event in between(FACTS, zone, FIRST, LAST):
        expected[label(interval, zone)(event)].append(event)
    found = {row.start: told(row, "start") for row in reply.rows}
    assert len(found) == len(reply.rows)
    if zone == "Australia/Lord_Howe" and interval == "hour":
        # Half an hour of the clock is left out or shown twice there.
        expected = {each: some for each, some in expected.items() if each in found}
        assert len(expected) > 100
    told_of = {each: spent(some) for each, some in expected.items()}
    if interval != "day":
        found, told_of = _filled(found), _filled(told_of)
    assert found == told_of
    for name in spent([]):
        assert sum(row[name] for row in found.values()) == getattr(reply.total, name)


def _filled(rows: dict[str, Any]) -> dict[str, Any]:
    return {key: row for key, row in rows.items() if any(row.values())}


@pytest.mark.no_cover
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize("by", DIMENSIONS)
def test_rows_by_any_dimension_are_those_of_the_events_and_sum_to_the_total(
    home: Core, zone: str, by: Any
) -> None:
    span = msgspec.structs.replace(WHOLE, timezone=zone)
    of_calls_only = by in ("operation", "outcome")
    left_out = ["failed_calls", "unpriced_calls", *["personas", "accepted"] * of_calls_only]
    name = label(by, zone) if by in get_args(Interval) else lambda event: getattr(event, by, None)
    for asked in FILTERS:
        reply = ask(home, c.CostBreakdown(by=by, range=span, filter=asked))
        expected: dict[Any, list[Any]] = defaultdict(list)
        facts = kept(between(FACTS, zone, FIRST, LAST), asked)
        for event in facts:
            expected[name(event)].append(event)
        whole = spent(facts)
        assert told(reply.total, *AVERAGES) == whole
        rows = {row.key: told(row, "key", "share", *AVERAGES[1:], *left_out) for row in reply.rows}
        for field in whole.keys() - {*left_out}:
            assert sum(row[field] for row in rows.values()) == whole[field]
        if zone == "Australia/Lord_Howe" and by == "hour":
            continue
        told_of = {key: spent(some) for key, some in expected.items()}
        for row in told_of.values():
            for field in left_out:
                del row[field]
        assert _filled(rows) == _filled(told_of)


AVERAGES = (
    "daily_average_nanousd",
    "cost_per_persona_nanousd",
    "cost_per_accepted_persona_nanousd",
)


def every_question() -> Iterator[Any]:
    for zone in ZONES:
        span = msgspec.structs.replace(WHOLE, timezone=zone)
        for asked in FILTERS:
            for interval in get_args(Interval):
                yield c.CostHistory(range=span, filter=asked, interval=interval)
            for by in DIMENSIONS:
                yield c.CostBreakdown(by=by, range=span, filter=asked)


@pytest.mark.no_cover
def test_no_answer_depends_on_what_was_added_up(open_core: Callable[[], Core]) -> None:
    core = open_core()
    lived(core, "Europe/Berlin", EVENTS)
    questions = list(every_question())
    before = [ask(core, each) for each in questions]
    tidy.all_at_once(core.book)
    assert not core.book.stale["day"]
    assert [ask(core, each) for each in questions] == before


def test_no_answer_depends_on_the_ledger_s_zone_or_on_the_one_before(
    open_core: Callable[[], Core],
) -> None:
    core = open_core()
    # Late in the day of one zone, so that another one has nothing of that day.
    lived(core, "UTC", [started(), cost(nanousd=100, at=NOON.replace(hour=23, day=20))])
    for zone in ("Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"):
        tidy.all_at_once(core.book)
        tidy.rezone(core.db, ZoneInfo(zone))
        core.book = Book(core.db, ZoneInfo(zone))
        reply = ask(core, c.CostHistory(range=Range(days=9)))
        assert reply.range.timezone == zone
        assert reply.total.cost_nanousd == sum(row.cost_nanousd for row in reply.rows) == 100


@pytest.mark.no_cover
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_split_of_a_range_sums_to_the_whole(home: Core, data: st.DataObject) -> None:
    zone, asked = data.draw(st.sampled_from(ZONES)), data.draw(st.sampled_from(FILTERS))
    day = st.dates(FIRST - timedelta(days=3), LAST + timedelta(days=3))
    cuts = sorted(data.draw(st.sets(day, min_size=2, max_size=6)))

    def total(first: date, until: date) -> dict[str, int]:
        last = until - timedelta(days=1)
        span = Range(since=str(first), until=str(last), timezone=zone)
        return told(
            ask(home, c.CostBreakdown(by="model", range=span, filter=asked)).total, *AVERAGES
        )

    parts = [total(*cut) for cut in pairwise(cuts)]
    whole = total(cuts[0], cuts[-1])
    assert whole == {name: sum(part[name] for part in parts) for name in whole}


def test_a_call_without_an_answer_counts_at_its_maximum_and_is_told_apart(core: Core) -> None:
    core.append(
        *planned(),
        cost("one", 10),
        cost("two", 700, outcome="unknown"),
        cost("three", None, provider="nobody", output_tokens=7),
        cost("four", 5, estimated=True, outcome="error"),
    )
    reply = ask(core, c.CostHistory())
    assert reply.total.cost_nanousd == 715
    assert (reply.total.calls, reply.total.failed_calls) == (4, 1)
    assert reply.coverage == c.Coverage(
        priced_calls=2,
        estimated_calls=1,
        unpriced_calls=1,
        unpriced_tokens=17,
        unknown_calls=1,
        unknown_max_nanousd=700,
    )


def test_sums_of_some_outcomes_by_experiment_are_the_same_from_days_that_know_no_outcome(
    open_core: Callable[[], Core],
) -> None:
    core = open_core()
    at = NOON - timedelta(days=3)
    core.append(
        *(cost(f"one-{n}", 10, experiment="one", at=at) for n in range(3)),
        cost("failed", 5, experiment="one", outcome="error", at=at),
        cost("lost", 7, experiment="two", outcome="unknown", at=at),
    )
    columns = Columns(
        COST,
        ("calls", Only("error", "calls"), Without("unknown", "cost_nanousd")),
    )

    def found() -> list[list[int]]:
        asked = resolve(core.db, Range(days=7), Filter(), core.now)
        return sorted(wide.by_key(core.db, asked, columns, "experiment").sums.T.tolist())

    before = found()
    tidy.all_at_once(core.book)
    assert before == found() == [[1, 0, 0], [4, 1, 35]]


def test_averages_are_over_what_there_was(core: Core) -> None:
    core.append(*planned(), cost(nanousd=100), happened(PersonaGenerating))
    core.append(happened(PersonaCompleted, accepted=False))
    total = ask(core, c.CostHistory(range=Range(month="this"))).total
    # November 23rd has begun.
    assert total.daily_average_nanousd == 4
    assert (total.cost_per_persona_nanousd, total.cost_per_accepted_persona_nanousd) == (100, None)


def test_each_row_tells_what_a_persona_and_an_accepted_one_cost(core: Core) -> None:
    core.append(*planned(), cost(nanousd=100), cost("other", 50, model="x"))
    for persona, accepted in (("p1", True), ("p2", False)):
        core.append(happened(PersonaGenerating, persona=persona))
        core.append(happened(PersonaCompleted, persona=persona, accepted=accepted))
    rows = {row.key: row for row in ask(core, c.CostBreakdown(by="model")).rows}
    local, other = rows["local"], rows["x"]
    assert (local.cost_per_persona_nanousd, local.cost_per_accepted_persona_nanousd) == (50, 100)
    assert (other.cost_per_persona_nanousd, other.cost_per_accepted_persona_nanousd) == (None, None)
    (ok,) = ask(core, c.CostBreakdown(by="outcome")).rows
    assert (ok.cost_per_persona_nanousd, ok.cost_per_accepted_persona_nanousd) == (None, None)


def test_an_empty_ledger_has_a_row_of_nothing_for_each_day(core: Core) -> None:
    reply = ask(core, c.CostHistory(range=Range(days=7)))
    assert [row.start for row in reply.rows] == [f"2026-11-{day}" for day in range(17, 24)]
    assert {row.calls for row in reply.rows} == {0}
    assert ask(core, c.CostBreakdown(by="model")).rows == []


def test_beyond_the_limit_rows_are_one(core: Core) -> None:
    calls = [cost(f"call-{n}", n, model=f"m{n}") for n in range(5)]
    core.append(started(), *calls)
    reply = ask(core, c.CostBreakdown(by="model", limit=2))
    assert [(row.key, row.cost_nanousd) for row in reply.rows] == [("m4", 4), ("m3", 3)]
    assert (reply.rest.cost_nanousd, reply.rest.calls, reply.rest_rows) == (3, 3, 3)


def test_as_of_a_day_leaves_out_what_happened_after_it(core: Core) -> None:
    core.append(
        started(),
        *(cost(f"call-{n}", 1, at=NOON - timedelta(days=n)) for n in range(10)),
    )
    as_of = date(2026, 11, 20)
    reply = ask(core, c.CostHistory(range=Range(days=3, as_of=as_of)))
    assert [(row.start, row.calls) for row in reply.rows] == [
        ("2026-11-18", 1),
        ("2026-11-19", 1),
        ("2026-11-20", 1),
    ]
    month = ask(core, c.CostHistory(range=Range(month="this", as_of=as_of)))
    assert (len(month.rows), month.total.calls, month.rows[21].calls) == (30, 7, 0)
    assert (
        ask(core, c.CostBreakdown(by="day", range=Range(month="this", as_of=as_of))).total.calls
        == 7
    )


def test_sums_stop_at_what_the_wire_can_carry(core: Core) -> None:
    most = 10**16
    core.append(
        started(),
        *(cost(f"call-{n}", most, at=NOON - timedelta(hours=n % 3)) for n in range(3_000)),
    )
    for by in DIMENSIONS:
        reply = ask(core, c.CostBreakdown(by=by))
        assert reply.total.cost_nanousd == 2**63 - 1
    assert ask(core, c.CostHistory()).rows[-1].cost_nanousd == 2**63 - 1
    assert {row.cost_nanousd for row in ask(core, c.CostHistory(interval="hour")).rows} == {
        0,
        2**63 - 1,
    }


@pytest.mark.parametrize(
    ("request_", "code", "field", "said"),
    [
        (
            c.CostHistory(range=Range(timezone="Europe/Berlim")),
            "invalid",
            "$.range.timezone",
            "Berlin",
        ),
        (c.CostHistory(range=Range(since="yesterday")), "invalid", "$.range.since", "2026-10-05"),
        (c.CostHistory(range=Range(days=2, month="this")), "invalid", "$.range.month", "days"),
        (c.CostHistory(range=Range(as_of=date(2500, 1, 1))), "invalid", "$.range.as_of", "reach"),
        (
            c.CostHistory(range=Range(as_of=NOON.date() + timedelta(days=1))),
            "invalid",
            "$.range.as_of",
            "has not come yet",
        ),
        (
            c.CostHistory(range=Range(since="1950-01-01"), interval="hour"),
            "invalid",
            "$.range",
            "10,000 hours",
        ),
        (
            c.CostHistory(filter=Filter(providers=["openai", "antropic"])),
            "not-found",
            "$.filter.providers[1]",
            "anthropic",
        ),
        (
            c.CostHistory(filter=Filter(models=["sonet"])),
            "not-found",
            "$.filter.models[0]",
            "sonnet",
        ),
        (
            c.CostBreakdown(by="model", filter=Filter(experiments=["lenght"])),
            "not-found",
            "$.filter.experiments[0]",
            "length",
        ),
        (
            c.CostBreakdown(by="model", filter=Filter(batches=["batsch-7"])),
            "not-found",
            "$.filter.batches[0]",
            "batch-7",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_can_t_be_asked_is_refused_with_what_is_near(
    home: Core, request_: Any, code: str, field: str, said: str
) -> None:
    with pytest.raises(LedgerError) as refused:
        ask(home, request_)
    error = refused.value
    assert (error.code, error.field) == (code, field)
    assert said in f"{error.message} {error.hint}"
