"""Calls are found by where they lie in the log: the same ones, however much of it is noted."""

import random
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import pytest

from personad import log, tidy
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.asking import Filter, Range
from personad.contract.events import Exported, Import
from personad.projections import call_blocks, call_order, call_places, call_questions, counted
from personad.projections.memory import Memory, share
from personad.questions import ANSWERS
from personad.store import open_for_reading
from personad.transaction import transaction

from .conftest import Core
from .facts import NOON, cost, fresh_id
from .past import a_past, between, kept
from .retaining import keep

EVENTS = a_past(seed=7)
RECORDED = [each for each in EVENTS if isinstance(each, c.CostRecorded)]
FIRST, LAST = date(2026, 9, 26), date(2026, 11, 22)
WHOLE = Range(since=str(FIRST), until=str(LAST))
FILTERS = (
    Filter(),
    Filter(providers=["anthropic", "azure"]),
    Filter(models=["gpt"], providers=["openai"]),
    Filter(experiments=["tone", "order"]),
    Filter(experiments=["length"], models=["sonnet"]),
    Filter(batches=["batch-1", "batch-2", "batch-3"]),
    Filter(batches=["batch-1", "batch-4"], experiments=["tone", "length"]),
)
FLAGS: tuple[dict[str, bool], ...] = ({}, {"unpriced": True}, {"unknown": True})


@pytest.fixture(
    autouse=True, params=[(1_000, 16, 4_000), (30, 1, 40)], ids=["sure", "tried in vain"]
)
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, streams, calls = request.param
    monkeypatch.setattr(call_places, "SHIFT", 3)
    monkeypatch.setattr(call_places, "CHUNK", 6)
    monkeypatch.setattr(call_order, "_CALLS_MAX", calls)
    monkeypatch.setattr(call_blocks, "_TRIED", tried)
    monkeypatch.setattr(call_blocks, "_STREAMS_MAX", streams)
    for module in (call_blocks, call_order):
        monkeypatch.setattr(module, "FEW", 4)
    monkeypatch.setattr(call_order, "_AT_ONCE", 2)
    monkeypatch.setattr(call_questions, "_AT_ONCE", 2)


def ask(core: Core, **asked: Any) -> k.CostCallsReply:
    request = k.CostCalls(**({"range": WHOLE} | asked))
    found = ANSWERS[k.CostCalls](core.db, request, core.now)
    assert isinstance(found, k.CostCallsReply)
    return found


def everything(core: Core) -> list[k.CostCallsReply]:
    spans = (WHOLE, Range(since="2026-10-10", until="2026-10-20", timezone="Asia/Kathmandu"))
    return [
        ask(core, range=span, filter=asked, limit=limit, **flag)
        for span in spans
        for asked in FILTERS
        for limit in (1, 7, 500)
        for flag in FLAGS
    ]


def correct(core: Core, name: str, nanousd: int, reason: Any = "reprice") -> None:
    event = c.CostCorrected(id=fresh_id(), at=NOON, call=name, cost_nanousd=nanousd, reason=reason)
    core.do(Import(items=[Exported(event=event)]))


@pytest.mark.no_cover
def test_a_few_blocks_are_noted_while_more_comes_in_and_whatever_is_not_is_found(
    core: Core,
) -> None:
    noted: list[int] = []
    for start in range(0, len(EVENTS), 100):
        core.append(*EVENTS[start : start + 100])
        noted.append(call_places.ahead_of(core.db).placed)
    # 8 of some 13 blocks at each of the later ones.
    assert noted[0] == 0
    assert 0 < noted[2] < noted[-1] < log.last_seq(core.db) >> call_places.SHIFT
    found = everything(core)
    place_all(core)
    assert everything(core) == found


@pytest.mark.parametrize("seed", range(4))
def test_what_was_seen_going_by_is_noted_as_if_it_were_read(core: Core, seed: int) -> None:
    rng, start = random.Random(seed), 0
    events = EVENTS[: rng.randrange(300, len(EVENTS))]
    while start < len(events):
        count = rng.choice((1, 1, 3, 40, 200))
        core.append(*events[start : start + count])
        start += count
        if rng.random() < 0.1:
            correct(core, rng.choice(RECORDED[:40]).call, rng.randrange(10**9))
        if rng.random() < 0.1:
            call_places.place(core.db, 2, rng.choice((None, core.book.passing.take)))
        if rng.random() < 0.05:
            core.book.passing.forget()
    seen = 0

    def take(first: int, end: int) -> list[call_places.Place] | None:
        nonlocal seen
        places = core.book.passing.take(first, end)
        seen += places is not None
        return places

    while call_places.place(core.db, 1, take):
        pass
    assert seen
    tables = [f"SELECT * FROM {table}" for table in ("call_place", "correction")]  # noqa: S608
    found = [noted(core, table) for table in tables]
    core.db.execute("DELETE FROM call_place; DELETE FROM correction")
    core.db.execute("DELETE FROM meta WHERE name = 'calls_placed'")
    call_places.place(core.db, 10_000)
    assert [noted(core, table) for table in tables] == found


def test_what_a_failed_commit_brought_is_not_noted(core: Core) -> None:
    def fail() -> None:
        with transaction(core.book, log.last_seq(core.db), core.now) as txn:
            txn.add([cost(f"dear-{n}", 10**12) for n in range(20)])
            raise ZeroDivisionError

    core.append(*(cost(f"plain-{n}", n) for n in range(20)))
    with pytest.raises(ZeroDivisionError):
        fail()
    core.append(*(cost(f"more-{n}", n) for n in range(20, 40)))
    while call_places.place(core.db, 1, core.book.passing.take):
        pass
    assert core.db.execute("SELECT max(dearest), max(block) FROM call_place").fetchone() == (38, 4)


def place_all(core: Core) -> None:
    tidy.all_at_once(core.book)
    assert not call_places.are_due(core.db)
    assert core.db.execute("SELECT count(*) FROM call_place").get > 50


@pytest.mark.parametrize("asked", FILTERS, ids=repr)
def test_they_are_those_of_the_events_the_dearest_first(core: Core, asked: Filter) -> None:
    core.append(*EVENTS)
    place_all(core)
    events = kept(between(RECORDED, "UTC", FIRST, LAST), asked)
    priced = sorted((each for each in events if each.cost_nanousd), key=lambda e: -e.cost_nanousd)
    found = ask(core, filter=asked, limit=len(priced)).calls
    assert [each.call for each in found] == [each.call for each in priced]
    newest = [each.call for each in events if each.cost_nanousd is None][::-1]
    assert [each.call for each in ask(core, filter=asked, unpriced=True).calls] == newest[:20]


@pytest.mark.no_cover
def test_no_answer_depends_on_how_much_is_noted(core: Core) -> None:
    half = len(EVENTS) // 2
    core.append(*EVENTS[:half])
    correct(core, "call-3", 999_999_999)
    core.append(*EVENTS[half:])
    rng = random.Random(3)
    for _ in range(60):
        reason = rng.choice(("reprice", "settled", "reconciled"))
        correct(
            core, rng.choice(RECORDED).call, rng.choice((1, 10**9, rng.randrange(10**9))), reason
        )
    before = everything(core)
    assert sum(len(each.calls) for each in before) > 1_000
    for blocks, of_models in ((60, 20), (0, 50), (70, 40)):
        call_places.place(core.db, blocks)
        call_places.place_models(core.db, of_models)
        assert everything(core) == before
    place_all(core)
    assert everything(core) == before
    core.append(cost("late", 10**12, at=NOON - timedelta(days=9)))
    assert ask(core).calls[0].call == "late"


@pytest.mark.parametrize("seed", range(3))
def test_what_comes_after_a_question_is_found_by_the_next_one(core: Core, seed: int) -> None:
    rng = random.Random(seed)
    came: list[c.CostRecorded] = []
    for first in range(0, len(EVENTS), 61):
        part = EVENTS[first : first + 61]
        core.append(*part)
        came += [each for each in part if isinstance(each, c.CostRecorded)]
        asked = rng.choice(FILTERS)
        events = kept(between(came, "UTC", FIRST, LAST), asked)
        priced = sorted(
            (each for each in events if each.cost_nanousd), key=lambda e: -e.cost_nanousd
        )
        found = ask(core, filter=asked, limit=1 + len(priced)).calls[: len(priced)]
        assert [each.call for each in found] == [each.call for each in priced]
        newest = [each.call for each in events if each.cost_nanousd is None][::-1]
        assert [each.call for each in ask(core, filter=asked, unpriced=True).calls] == newest[:20]
        call_places.place(core.db, rng.choice((0, 0, 0, 5, 20)))
        call_places.place_models(core.db, rng.choice((0, 0, 3, 20)))


def test_what_is_dropped_after_a_question_is_not_told_by_the_next_one(core: Core) -> None:
    core.append(*EVENTS)
    before = ask(core, limit=50).calls
    core.db.execute("DELETE FROM event WHERE seq = ?", (before[0].seq,))
    assert [each.seq for each in ask(core, limit=49).calls] == [each.seq for each in before[1:]]


@pytest.mark.no_cover
def test_a_log_with_too_many_blocks_to_look_through_is_read_as_it_is(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.append(*EVENTS)
    looked_through = everything(core)
    assert call_places.ahead_of(core.db).places
    monkeypatch.setattr(call_places, "_AHEAD_MAX", 10)
    assert everything(core) == looked_through
    assert not call_places.ahead_of(core.db).places


def test_what_one_reader_has_looked_through_others_know(core: Core) -> None:
    """Each sees blocks, corrections and a log of its own moment; the writer places some."""
    core.append(*EVENTS[:100])
    correct(core, RECORDED[0].call, 10**9)
    core.append(*EVENTS[100:200])
    together = Memory()
    with (
        closing(open_for_reading(str(core.path))) as one,
        closing(open_for_reading(str(core.path))) as other,
    ):
        for reader in (one, other):
            share(reader, together)
        first, second = call_places.ahead_of(one), call_places.ahead_of(other)
        assert first.places
        assert first.corrections
        assert (second.places, second.corrections) == (first.places, first.corrections)
        other.execute("BEGIN")
        assert call_places.ahead_of(other).end == second.end
        core.append(*EVENTS[200:])
        call_places.place(core.db, 3)
        newer, older = call_places.ahead_of(one), call_places.ahead_of(other)
        assert newer.end > older.end
        other.execute("COMMIT")
        read: list[str] = []

        def note(_cursor: object, sql: str, _values: object) -> bool:
            read.append(sql)
            return True

        other.exec_trace = note
        assert call_places.ahead_of(other).places == newer.places
        other.exec_trace = None
        assert len(read) == 1


@pytest.mark.parametrize("seed", range(12))
def test_of_those_that_cost_the_same_the_earlier_ones_come_first(core: Core, seed: int) -> None:
    rng = random.Random(seed)
    costs = [rng.choice((None, 0, 0, 5, 7)) for _ in range(rng.randrange(20, 60))]
    core.append(
        *(
            cost(f"{n}", nanousd, provider="nobody", at=NOON - timedelta(days=9, minutes=5 * n))
            for n, nanousd in enumerate(costs)
        )
    )
    limit = rng.randrange(1, 60)
    before = [ask(core, limit=limit, **flag) for flag in FLAGS]
    call_places.place(core.db, rng.randrange(8))
    assert [ask(core, limit=limit, **flag) for flag in FLAGS] == before
    ranks = sorted(range(len(costs)), key=lambda n: (costs[n] is None, -(costs[n] or 0), n))
    assert [each.call for each in before[0].calls] == [str(n) for n in ranks][:limit]


def test_what_retention_has_dropped_is_not_listed(core: Core) -> None:
    core.append(*EVENTS)
    for name in ("call-5", "call-6", "call-7", "call-8"):
        correct(core, name, 10**9)
    core.append(*(cost(f"more-{n}", 1) for n in range(9)))
    place_all(core)
    # Of a corrected call all is dropped together.
    core.db.execute("DELETE FROM event WHERE kind = 22 AND seq % 3")
    core.db.execute("""DELETE FROM event WHERE kind = 23
      OR seq IN (SELECT seq FROM call WHERE corrected IS NOT NULL)""")
    core.db.execute("DELETE FROM call WHERE corrected IS NOT NULL")
    (left,) = zip(*core.db.execute("SELECT seq FROM event WHERE kind = 22"), strict=True)
    found = ask(core, limit=500).calls
    assert {each.seq for each in found} <= set(left)
    assert len(found) > 50


def test_a_call_before_1970_is_in_the_quarter_hour_in_which_it_was(core: Core) -> None:
    core.append(cost("old", 5, at=NOON.replace(year=1969, minute=7)))
    core.append(*(cost(f"c{n}", n) for n in range(20)))
    tidy.all_at_once(core.book)
    assert core.db.execute("SELECT count(*) FROM call_place").get > 0
    span = Range(since="1969-11-23", until="1969-11-23")
    assert [each.call for each in ask(core, range=span).calls] == ["old"]


def test_of_many_corrected_calls_few_are_looked_up_for_the_dearest(core: Core) -> None:
    core.append(*EVENTS)
    names = [each.call for each in RECORDED[:300]]
    for place, name in enumerate(names):
        correct(core, name, 10**12 + place)
    place_all(core)
    looked_up: list[str] = []

    def note(_cursor: object, sql: str, _values: object) -> bool:
        looked_up.append(sql)
        return True

    core.db.exec_trace = note
    found = ask(core, limit=5)
    core.db.exec_trace = None
    assert [each.call for each in found.calls] == names[:-6:-1]
    assert found.more
    assert 0 < looked_up.count(counted.CALL) < 20


def noted(core: Core, sql: str) -> set[tuple[int, ...]]:
    return {tuple(row) for row in core.db.execute(sql)}


@pytest.mark.no_cover
@pytest.mark.parametrize("days", [2, 20, 35, 50])
def test_what_retention_drops_is_noted_no_more(core: Core, days: int) -> None:
    core.append(*EVENTS[:400])
    for name in ("call-5", "call-6"):
        correct(core, name, 10**9)
    core.append(*EVENTS[400:], *(cost(f"more-{n}", 1) for n in range(90)))
    place_all(core)
    before = core.db.execute("SELECT count(*) FROM event").get
    # Later than what is noted of: what is corrected today goes in a month.
    keep(core, days, NOON + timedelta(days=3))
    assert core.db.execute("SELECT count(*) FROM event").get < before
    calls = core.db.execute("SELECT seq, at, body FROM event WHERE kind = 22").fetchall()
    left = [call_places.call_of(*row) for row in calls]
    shift, chunk = call_places.SHIFT, call_places.CHUNK
    end = call_places.ahead_of(core.db).by_model << shift
    left = [each for each in left if each.seq < end]
    quarters = {(each.at // 900_000_000, each.seq >> shift) for each in left}
    assert noted(core, "SELECT quarter, block FROM call_place") == quarters
    models = {(e.provider, e.model, e.at // 900_000_000, e.seq >> shift) for e in left}
    by_model = "SELECT provider, model, quarter, block FROM call_place_model"
    assert noted(core, by_model) == models
    named = {(each.seq >> chunk, each.experiment) for each in left if each.experiment is not None}
    assert noted(core, "SELECT chunk, experiment FROM call_of_experiment") == named
    corrected = noted(core, "SELECT seq FROM event WHERE kind = 23")
    assert noted(core, "SELECT seq FROM correction") <= corrected
    told = everything(core)
    for table in call_places.TABLES:
        core.db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
    core.db.execute("DELETE FROM meta WHERE name GLOB 'calls_placed*'")
    again = call_places.place(core.db, 10_000) + call_places.place_models(core.db, 10_000)
    assert again
    assert everything(core) == told


def test_an_experiment_of_which_a_call_outlives_the_last_has_that_one(core: Core) -> None:
    core.append(*(cost(f"c{n}", n, experiment="tone") for n in range(40)))
    tidy.all_at_once(core.book)
    rows = core.db.execute("SELECT seq, at, body FROM event WHERE kind = 22").fetchall()
    calls = [call_places.call_of(*row) for row in rows]
    stays = calls[3]
    gone = [each for each in calls if each is not stays]
    core.db.executemany("DELETE FROM event WHERE seq = ?", [(each.seq,) for each in gone])
    call_places.forget(core.db, gone, [])
    number = stays.experiment
    assert number is not None
    assert call_places.of_experiments(core.db, 1, [number], 1, 100) == [stays.seq]
    core.db.execute("DELETE FROM event")
    call_places.forget(core.db, [stays], [])
    for table in call_places.TABLES:
        assert noted(core, f"SELECT * FROM {table}") == set()  # noqa: S608 - names of ours
