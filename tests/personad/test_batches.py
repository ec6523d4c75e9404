"""The fold of a batch: laws that hold for any sequence of events, and what is asked of the rows."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personad.contract import batch as b
from personad.contract.errors import LedgerError
from personad.contract.events import Exported, Import
from personad.kinds import microseconds
from personad.log import entry, read
from personad.projections import fold
from personad.projections.batch_questions import find, list_batches, show
from personad.store import open_for_writing

from .conftest import Core
from .facts import NOON, SPECIMENS, cost, fresh_id, happened, planned, queued, started

PERSONA_KINDS = [
    b.PersonaGenerating,
    b.PersonaValidating,
    b.PersonaRetrying,
    b.PersonaCompleted,
    b.PersonaFailed,
]
BATCH_KINDS = [
    b.BatchPausing,
    b.BatchPaused,
    b.BatchResumed,
    b.BatchInterrupted,
    b.BatchFinished,
    b.BatchHeld,
    b.BatchSlept,
]


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    """Anything that could happen to two batches, sensible or not."""
    events: list[Any] = planned("batch-a", 2) + planned("batch-b", 1)
    for _ in range(draw(st.integers(0, 25))):
        batch = draw(st.sampled_from(["batch-a", "batch-b"]))
        persona = draw(st.sampled_from(["p1", "p2"]))
        kind = draw(st.sampled_from([*PERSONA_KINDS, *BATCH_KINDS, "cost", "started"]))
        at = NOON + timedelta(seconds=draw(st.integers(-100, 100)))
        if kind == "cost":
            call = f"{batch}-{persona}-{draw(st.integers(1, 2))}"
            tokens = draw(st.integers(0, 5))
            events.append(cost(call, tokens, output_tokens=tokens, batch=batch, persona=persona))
        elif kind == "started":
            events.append(started(batch))
        else:
            ended = draw(st.sampled_from(["completed", "failed"]))
            events.append(happened(kind, batch, persona, at=at, status=ended))
    return events


def take(core: Core, events: list[Any]) -> None:
    core.do(Import(items=[Exported(event=event) for event in events]))


LAW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(events=histories(), cuts=st.lists(st.integers(0, 30), max_size=6))
@LAW
def test_however_a_history_is_cut_into_commits_the_rows_are_the_same(
    open_core: Callable[[], Core], events: list[Any], cuts: list[int]
) -> None:
    whole, parts = open_core(), open_core()
    take(whole, events)
    places = [0, *sorted(cuts), len(events)]
    for begin, end in pairwise(places):
        take(parts, events[begin:end])
    assert parts.rows() == whole.rows()


@pytest.mark.no_cover
@given(events=histories(), again=st.data())
@LAW
def test_what_is_sent_again_changes_nothing(
    open_core: Callable[[], Core], events: list[Any], again: st.DataObject
) -> None:
    once, repeated = open_core(), open_core()
    take(once, events)
    for number, event in enumerate(events):
        take(repeated, [event, *again.draw(st.lists(st.sampled_from(events[: number + 1])))])
    assert repeated.rows() == once.rows()


@pytest.mark.no_cover
@given(events=histories())
@LAW
def test_the_rows_are_a_fold_of_the_log_and_of_nothing_else(
    open_core: Callable[[], Core], events: list[Any]
) -> None:
    core, fresh = open_core(), open_core()
    take(core, events)
    taken = [
        (each.seq, microseconds(each.event.at), each.event, each.cost_nanousd)
        for each in read(core.db)
    ]
    fresh.book.past = lambda seq: entry(core.db, seq)
    misfits = fold(fresh.book, taken, since=0)
    found, wanted = fresh.rows(), core.rows()
    assert {**found, "anomaly": misfits_as_rows(misfits)} == wanted


def misfits_as_rows(misfits: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return sorted(misfits, key=repr)


@given(events=histories())
@LAW
def test_counts_add_up_and_figures_stay_in_their_ranges(
    open_core: Callable[[], Core], events: list[Any]
) -> None:
    core = open_core()
    take(core, events)
    for name in ("batch-a", "batch-b"):
        shown = core.show(name)
        counts = shown.counts
        assert sum(getattr(counts, each) for each in counts.__struct_fields__) == shown.total
        assert shown.quality is None or 0 <= shown.quality <= 1
        assert shown.elapsed_ms >= 0


@given(events=histories())
@LAW
def test_changes_put_together_give_the_whole(
    open_core: Callable[[], Core], events: list[Any]
) -> None:
    core = open_core()
    seen: dict[str, b.PersonaRow] = {}
    told = None
    for event in events:
        take(core, [event])
        delta, told = core.change(told)
        seen |= {each.persona: each for each in delta.personas}
        whole = core.show()
        assert list(seen.values()) == whole.personas
        assert delta.counts == whole.counts


def test_time_spent_running_leaves_pauses_out(core: Core) -> None:
    def at(seconds: int) -> dict[str, Any]:
        return {"at": NOON + timedelta(seconds=seconds)}

    core.append(*planned(), happened(b.PersonaGenerating, **at(10)))
    core.append(happened(b.BatchPaused, **at(40)), happened(b.BatchResumed, **at(100)))
    core.clock = 105
    assert core.show().elapsed_ms == 35_000
    core.append(happened(b.BatchFinished, **at(110)))
    core.clock = 500
    assert core.show().elapsed_ms == 40_000


def test_a_delay_of_ages_is_a_fact_like_any_other(core: Core) -> None:
    core.append(*planned(), happened(b.PersonaGenerating))
    answer = core.append(happened(b.PersonaRetrying, delay_ms=2**63 - 1))
    assert answer.anomalies == 0
    assert core.show().personas[0].retry_at is not None


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([queued("p1", 1, "other")], "other was never started"),
        ([happened(b.BatchPaused, "other")], "other was never started"),
        ([happened(b.PersonaGenerating, "other")], "other was never started"),
        ([happened(b.PersonaGenerating, persona="p9")], "p9 was never queued"),
        ([queued("p1", 2)], "p1 is already in batch-a"),
        ([queued("p3", 2)], "place 2 of batch-a is taken by p2"),
        ([queued("p3", 3)], "place 3 is past the 2 personas"),
        ([started()], "batch-a was already started"),
    ],
    ids=range(8),
)
def test_a_fact_that_fits_nowhere_is_kept_with_its_reason(
    core: Core, events: list[Any], reason: str
) -> None:
    core.append(*planned())
    again = [type(each)(**{**_fields(each), "id": fresh_id()}) for each in events]
    assert core.append(*again).anomalies == 1
    kept = list(read(core.db, after=3))
    assert reason in str(kept[0].anomaly)
    assert kept[0].event == again[0]


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_a_fact_from_tomorrow_is_kept_and_not_folded(core: Core) -> None:
    answer = core.append(*planned(), happened(b.PersonaGenerating, at=NOON + timedelta(days=2)))
    assert answer.anomalies == 1
    assert core.show().status == "queued"


def test_kinds_that_no_fold_uses_yet_are_kept_and_read_back(core: Core) -> None:
    take(core, list(SPECIMENS.values()))
    assert [each.event for each in read(core.db)] == list(SPECIMENS.values())


def test_a_paused_batch_shows_what_was_in_flight_as_paused(core: Core) -> None:
    core.append(*planned(), happened(b.PersonaGenerating))
    core.append(happened(b.BatchPaused))
    delta, _ = core.change()
    assert [each.status for each in delta.personas] == ["paused"]
    assert (delta.counts.paused, delta.counts.pending) == (1, 1)


def test_an_estimate_is_there_once_something_is_known(core: Core) -> None:
    core.append(*planned(total=4), happened(b.PersonaGenerating))
    assert core.show().eta_ms is None
    core.append(happened(b.PersonaCompleted))
    assert core.show().eta_ms is not None
    core.append(happened(b.BatchPaused))
    assert core.show().eta_ms is None


def test_earlier_batches_of_the_same_model_stand_in_for_a_young_one(core: Core) -> None:
    core.append(*planned("old", 1), happened(b.PersonaGenerating, "old"))
    core.append(happened(b.PersonaCompleted, "old", duration_ms=5_000), *planned())
    eta = core.show().eta_ms
    assert eta is not None
    assert eta.expected >= 5_000


class TestFindingABatch:
    @pytest.fixture(autouse=True)
    def batches(self, core: Core) -> None:
        for number, name in enumerate(["batch-2026-a1", "batch-2026-a2", "batch-2027-b1"]):
            core.append(started(name, at=NOON + timedelta(minutes=number)))

    @pytest.mark.parametrize("name", ["batch-2027-b1", "batch-2027", "last"])
    def test_by_its_id_its_beginning_or_as_the_last(self, core: Core, name: str) -> None:
        assert find(core.db, name) == "batch-2027-b1"

    def test_a_beginning_of_several_names_them(self, core: Core) -> None:
        with pytest.raises(LedgerError, match="batch-2026-a1, batch-2026-a2"):
            find(core.db, "batch-2026")

    def test_a_slip_gets_the_nearest(self, core: Core) -> None:
        with pytest.raises(LedgerError) as missed:
            find(core.db, "batch-2026-a3")
        assert "batch-2026-a1" in str(missed.value.hint)

    def test_nothing_near_points_at_the_list(self, core: Core) -> None:
        with pytest.raises(LedgerError) as missed:
            find(core.db, "zzz")
        assert "batch list" in str(missed.value.hint)

    def test_the_newest_are_listed_first_and_states_can_be_chosen(self, core: Core) -> None:
        core.append(happened(b.BatchPaused, "batch-2026-a2"), cost(batch="batch-2026-a2"))
        paused = list_batches(core.db, b.BatchList(statuses=["paused"])).batches
        assert [(each.batch, each.cost_nanousd) for each in paused] == [("batch-2026-a2", 1_500)]
        everything = list_batches(core.db, b.BatchList(limit=2)).batches
        assert [each.batch for each in everything] == ["batch-2027-b1", "batch-2026-a2"]


def test_without_batches_there_is_no_last(core: Core) -> None:
    with pytest.raises(LedgerError, match="no batch yet"):
        find(core.db, "last")
    with pytest.raises(LedgerError, match="no batch 'nope'"):
        show(core.db, "nope", NOON)


def test_what_the_batch_was_at_before_is_that_of_the_commit(core: Core) -> None:
    core.append(*planned())
    core.append(happened(b.PersonaGenerating), happened(b.PersonaValidating))
    row = core.db.execute("SELECT seq, previous_seq FROM batch").get
    assert row == (5, 3)


def test_ids_of_uuid_version_4_and_of_none_are_taken(core: Core) -> None:
    assert core.append(started(id=UUID(int=0)), started("b", id=UUID(int=2**128 - 1))).last_seq == 2


def test_a_ledger_opened_again_goes_on_where_it_was(core: Core) -> None:
    core.append(*planned())
    again = open_for_writing(str(core.path))
    assert show(again, "batch-a", NOON).counts == core.show().counts
    again.close()


def test_what_the_machine_slept_is_shown_and_is_no_running_time(core: Core) -> None:
    later = NOON + timedelta(seconds=100)
    core.append(*planned(), happened(b.PersonaGenerating))
    core.append(happened(b.BatchSlept, slept_ms=60_000), happened(b.BatchPaused, at=later))

    shown = core.show()

    assert (shown.slept_ms, shown.elapsed_ms) == (60_000, 40_000)


def test_what_holds_a_batch_up_is_shown_for_as_long_as_it_does(core: Core) -> None:
    core.append(*planned(), happened(b.PersonaGenerating))
    until = NOON + timedelta(seconds=95)
    core.append(happened(b.BatchHeld, reason="breaker", until=until))
    assert (core.show().status, core.show().reason) == ("running", "breaker")
    assert core.show().held_until == until
    core.append(happened(b.BatchHeld, reason=None))
    assert core.show().reason is None
    assert core.show().held_until is None
    core.append(happened(b.BatchHeld, reason="rate limit", until=until))
    core.append(happened(b.BatchPaused, reason="user"))
    assert core.show().held_until is None
    core.append(happened(b.BatchHeld, reason="breaker", until=until))
    assert (core.show().reason, core.show().held_until) == ("user", None)


def test_a_batch_that_goes_on_again_is_not_held_by_whoever_resumed_it(core: Core) -> None:
    core.append(*planned(), happened(b.PersonaGenerating), happened(b.BatchPaused, reason="user"))
    core.append(happened(b.BatchResumed, reason="user"))
    assert (core.show().status, core.show().reason) == ("running", None)


def test_what_has_no_price_is_null_and_never_nothing(core: Core) -> None:
    core.append(
        *planned(total=3), happened(b.PersonaGenerating), cost("call-1", None, provider="house")
    )
    core.append(
        happened(b.PersonaValidating),
        happened(b.PersonaCompleted),
        happened(b.PersonaGenerating, persona="p2"),
    )

    state = core.show()

    assert [row.cost_nanousd for row in state.personas] == [None, 0, 0]
    assert (state.usage.unpriced_calls, state.cost.projected_nanousd) == (1, None)
    (listed,) = list_batches(core.db, b.BatchList()).batches
    assert listed.cost_nanousd is None


def test_what_was_estimated_is_projected_until_one_is_made(core: Core) -> None:
    first, *queue = planned(total=4)
    core.append(msgspec.structs.replace(first, estimate_nanousd=9_000), *queue)
    assert core.show().cost.projected_nanousd == 9_000
    core.append(happened(b.PersonaGenerating), cost("call-1", 1_500))
    assert core.show().cost.projected_nanousd == 9_000
    core.append(happened(b.PersonaValidating), happened(b.PersonaCompleted))
    assert core.show().cost.projected_nanousd == 6_000


def test_answers_that_are_being_looked_at_are_paid_for_already(core: Core) -> None:
    core.append(*planned(total=4))
    for number, persona in enumerate(("p1", "p2"), 1):
        core.append(
            happened(b.PersonaGenerating, persona=persona),
            cost(f"call-{number}", 1_500, persona=persona),
            happened(b.PersonaValidating, persona=persona),
        )
    core.append(happened(b.PersonaCompleted))

    assert core.show().cost.projected_nanousd == 6_000


def test_a_wait_for_the_next_attempt_counts_into_what_is_left(core: Core) -> None:
    core.append(*planned(total=2), happened(b.PersonaGenerating), happened(b.PersonaCompleted))
    core.append(happened(b.PersonaGenerating, persona="p2"))
    soon = core.show().eta_ms
    core.append(happened(b.PersonaRetrying, persona="p2", delay_ms=600_000))

    late = core.show().eta_ms

    assert soon is not None
    assert late is not None
    assert late.expected > soon.expected + 500_000


@pytest.mark.parametrize("total", [2, 3])
def test_while_no_call_begins_what_is_left_is_no_shorter_than_that(core: Core, total: int) -> None:
    core.append(*planned(total=total), happened(b.PersonaGenerating), happened(b.PersonaCompleted))
    core.append(happened(b.PersonaGenerating, persona="p2"))
    core.append(happened(b.PersonaRetrying, persona="p2", delay_ms=1_000))
    until = NOON + timedelta(seconds=600)
    core.append(happened(b.BatchHeld, reason="breaker", until=until))

    left = core.show().eta_ms

    assert left is not None
    assert 590_000 < left.low <= left.high < 700_000


def test_paused_time_does_not_count_into_what_is_left(core: Core) -> None:
    core.append(*planned(total=9))
    for place in range(1, 5):
        core.append(
            happened(b.PersonaGenerating, persona=f"p{place}"),
            happened(b.PersonaCompleted, persona=f"p{place}"),
        )
    before = core.show().eta_ms
    core.append(happened(b.BatchPaused))
    assert core.show().eta_ms is None
    core.clock += 3_600
    later = NOON + timedelta(hours=1)
    core.append(happened(b.BatchResumed, at=later))
    core.append(happened(b.PersonaGenerating, persona="p5", at=later))

    after = core.show().eta_ms

    assert before is not None
    assert after is not None
    assert after.expected < 2 * before.expected
