"""Watching: whatever is lost on the way, the state shown is one that was, and ends as it is."""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from persona.autostart import wait_until_released
from persona.client import Ledger
from persona.identity import event_id, now, persona_id
from persona.watch import EventWatch, Mirror, Watch

from personad.contract.admin import Status, Stop, Tick
from personad.contract.base import Reply
from personad.contract.batch import (
    BatchCost,
    BatchFrame,
    BatchShow,
    BatchState,
    BatchUsage,
    Cancel,
    Claim,
    Counts,
    Eta,
    PersonaGenerating,
    PersonaQueued,
    PersonaRow,
    SegmentRef,
)
from personad.contract.codec import encode
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import EventsFrame, Read, Recorded
from personad.contract.nng import Publisher
from personad.contract.paths import Paths
from personad.contract.progress import Progress, ProgressFrame
from personad.contract.quality import GoalCleared
from personad.contract.settings import ConfigurationError

from .conftest import Answer, Peer, batch_started, polite

Serve = Callable[[Answer], Peer]

BATCH = "batch-a"
WAIT_S = 20.0


def state(seq: int, rows: dict[int, int], status: str = "running") -> BatchState:
    """A batch at `seq`; `rows` maps a persona's place to its attempts."""
    return BatchState(
        batch=BATCH,
        experiment=None,
        status=status,  # type: ignore[arg-type]
        reason=None,
        provider="local",
        model="local",
        total=9,
        counts=Counts(generating=seq),
        started_at=now().replace(2026, 11, 23, 12, 0, 0, 0),
        finished_at=None,
        elapsed_ms=seq,
        slept_ms=0,
        eta_ms=None,
        cost=BatchCost(
            spent_nanousd=seq,
            reserved_nanousd=0,
            unresolved_nanousd=0,
            projected_nanousd=None,
            budget_nanousd=None,
        ),
        usage=BatchUsage(
            calls=0, input_tokens=0, output_tokens=0, cache_read_tokens=0, cache_write_tokens=0
        ),
        quality=None,
        concurrency=1,
        output="/out",
        source="/data",
        personas=[
            PersonaRow(index=n, persona=f"persona-{n}", attempts=tries)
            for n, tries in sorted(rows.items())
        ],
        seq=seq,
        as_of=now().replace(2026, 11, 23, 12, 0, 0, 0),
    )


class History(NamedTuple):
    """Every state that a batch went through, and the frames that told of it."""

    states: dict[int, BatchState]
    frames: list[BatchFrame]
    newest: BatchState


@st.composite
def histories(draw: st.DrawFn) -> History:
    rows: dict[int, int] = {}
    seq, first = 1, state(1, {})
    states, frames = {1: first}, []
    for changed in draw(st.lists(st.sets(st.integers(1, 9)), max_size=12)):
        previous, seq = seq, seq + draw(st.integers(1, 5))
        for index in changed:
            rows[index] = rows.get(index, 0) + 1
        states[seq] = state(seq, rows)
        part = state(seq, {index: rows[index] for index in changed})
        is_small = draw(st.booleans()) or draw(st.booleans())
        frames.append(
            BatchFrame(
                batch=BATCH, seq=seq, previous_seq=previous, state=part if is_small else None
            )
        )
    return History(states, frames, states[seq])


def copy(found: BatchState) -> BatchState:
    return replace(found, personas=list(found.personas))


@given(histories(), st.data())
def test_lost_repeated_and_reordered_frames_never_show_a_state_that_was_not(
    history: History, data: st.DataObject
) -> None:
    arriving = st.lists(st.sampled_from(history.frames)) if history.frames else st.just([])
    mirror = Mirror(copy(history.states[1]))
    for frame in data.draw(arriving):
        mirror.take_frame(frame)
        if mirror.is_behind(0) and data.draw(st.booleans()):
            mirror.replace(copy(history.newest))
        assert mirror.state == history.states[mirror.state.seq]
    tick = Tick(last_seq=history.newest.seq, batches={BATCH: history.newest.seq})
    mirror.take_tick(tick, 0)
    mirror.take_tick(tick, 1)
    if mirror.is_behind(1):
        mirror.replace(copy(history.newest))
    assert mirror.state == history.newest


@given(histories())
def test_frames_that_all_arrive_need_no_second_snapshot(history: History) -> None:
    mirror = Mirror(copy(history.states[1]))
    whole = [frame for frame in history.frames if frame.state is not None]
    if len(whole) == len(history.frames):
        assert all(mirror.take_frame(frame) for frame in whole)
        assert not mirror.is_behind(1_000)
        assert mirror.state == history.newest


def test_what_is_left_is_judged_anew_while_answers_arrive() -> None:
    mirror = Mirror(state(5, {1: 1}))
    before = mirror.state
    rest = Eta(low=1, expected=2, high=3)
    later = before.as_of + timedelta(seconds=7)

    assert mirror.take_progress(ProgressFrame(batch=BATCH, tokens={}, as_of=later, eta_ms=rest))

    assert mirror.state.eta_ms == rest
    assert mirror.state.elapsed_ms == before.elapsed_ms + 7_000
    assert (mirror.state.seq, mirror.state.personas) == (before.seq, before.personas)
    older = ProgressFrame(batch=BATCH, tokens={}, as_of=before.as_of, eta_ms=rest)
    assert not mirror.take_progress(older)
    assert not mirror.take_progress(ProgressFrame(batch=BATCH, tokens={}, as_of=later))


def test_a_frame_changes_the_rows_in_place() -> None:
    mirror = Mirror(state(1, {1: 1, 3: 1}))
    rows = mirror.state.personas
    mirror.take_frame(BatchFrame(batch=BATCH, seq=2, previous_seq=1, state=state(2, {2: 1, 3: 2})))
    assert mirror.state.personas is rows
    assert [(row.index, row.attempts) for row in rows] == [(1, 1), (2, 1), (3, 2)]


def tick(seq: int | None, last_seq: int = 5) -> Tick:
    return Tick(last_seq=last_seq, batches={} if seq is None else {BATCH: seq})


def test_a_frame_that_a_tick_overtook_is_given_time() -> None:
    mirror = Mirror(state(1, {}))
    mirror.take_tick(tick(2), 0)
    assert not mirror.is_behind(0.9)
    assert mirror.is_behind(1.0)
    mirror.take_frame(BatchFrame(batch=BATCH, seq=2, previous_seq=1, state=state(2, {})))
    assert not mirror.is_behind(9)


def test_a_second_tick_ends_the_patience() -> None:
    mirror = Mirror(state(1, {}))
    mirror.take_tick(tick(2), 0)
    mirror.take_tick(tick(2), 0.1)
    assert mirror.is_behind(0.1)


def test_a_tick_that_agrees_ends_the_doubt() -> None:
    mirror = Mirror(state(1, {}))
    mirror.take_tick(tick(2), 0)
    mirror.replace(state(2, {}))
    mirror.take_tick(tick(2), 0.5)
    assert not mirror.is_behind(9)


def test_a_batch_that_ticks_no_more_was_perhaps_closed() -> None:
    mirror = Mirror(state(1, {}))
    mirror.take_tick(tick(None), 0)
    assert mirror.is_behind(1)
    mirror.replace(state(2, {}, "completed"))
    mirror.take_tick(tick(None), 5)
    assert not mirror.is_behind(9)


class Clock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def started(ledger: Ledger) -> Ledger:
    queued = [
        PersonaQueued(
            id=event_id(),
            at=now(),
            batch=BATCH,
            persona=persona_id(BATCH, index),
            index=index,
            segment=SegmentRef(digest="d", record_ids=[]),
        )
        for index in range(1, 4)
    ]
    ledger.append([batch_started(BATCH), *queued])
    return ledger


@pytest.fixture
def watch(started: Ledger, paths: Paths) -> Iterator[Watch]:
    with Ledger(paths) as own, Watch(own, paths, "last") as found:
        heard(found)
        yield found


def heard(watch: Watch) -> None:
    """Waits for the first thing that comes in, so that the subscription is known to stand."""
    assert select.select([watch], [], [], WAIT_S)[0]
    watch.poll()


def generating(index: int) -> PersonaGenerating:
    return PersonaGenerating(
        id=event_id(), at=now(), batch=BATCH, persona=persona_id(BATCH, index), attempt=1
    )


def until_seq(watch: Watch, seq: int) -> BatchState:
    for _ in range(100):
        if watch.state.seq >= seq:
            return watch.state
        select.select([watch], [], [], 1)
        watch.poll()
    raise AssertionError(f"seq {seq} did not arrive")


def test_a_watch_follows_its_batch(watch: Watch, started: Ledger) -> None:
    last = started.append([generating(1), generating(2)]).last_seq
    assert last is not None
    seen = until_seq(watch, last)
    assert seen.personas == started.ask(BatchShow(batch=BATCH)).personas
    assert [row.status for row in seen.personas] == ["generating", "generating", "pending"]


def test_a_watch_hears_what_is_arriving(watch: Watch, started: Ledger) -> None:
    fence = started.ask(Claim(batch=BATCH, runner="r")).fence
    one, two = persona_id(BATCH, 1), persona_id(BATCH, 2)
    before = watch.state

    for tokens in ({one: 10}, {one: 250, two: 7}, {}):
        started.ask(Progress(batch=BATCH, fence=fence, tokens=tokens))
        for _ in range(100):
            if watch.poll():
                break
            select.select([watch], [], [], 1)
        assert watch.tokens == tokens
    assert watch.state is before
    assert started.ask(Read(batch=BATCH)).last_seq == before.seq


def test_what_a_runner_says_that_lost_its_batch_is_not_published(started: Ledger) -> None:
    fence = started.ask(Claim(batch=BATCH, runner="r")).fence
    with pytest.raises(LedgerError) as caught:
        started.ask(Progress(batch=BATCH, fence=fence + 1, tokens={}))
    assert caught.value.code == "conflict"


def test_a_batch_that_is_not_there_cannot_be_watched(ledger: Ledger, paths: Paths) -> None:
    with pytest.raises(LedgerError) as caught:
        Watch(ledger, paths, "batch-none")
    assert caught.value.code == "not-found"


def test_the_states_end_with_the_batch(watch: Watch, started: Ledger) -> None:
    seen = watch.states()
    assert next(seen).status == "queued"
    started.ask(Cancel(batch=BATCH))
    assert [found.status for found in seen][-1] == "cancelled"


def test_the_states_end_when_the_time_is_over(watch: Watch) -> None:
    assert len(list(watch.states(timeout_s=0))) == 1


def test_a_watch_outlives_the_daemon(watch: Watch, started: Ledger) -> None:
    os.kill(started.ask(Status()).pid, signal.SIGKILL)
    last = started.append([generating(3)]).last_seq
    assert last is not None
    assert until_seq(watch, last).personas[2].status == "generating"


def test_silence_makes_a_watch_ask(started: Ledger, paths: Paths) -> None:
    clock = Clock()
    # Nobody publishes here, so nothing but the question can tell.
    deaf = replace(paths, live_socket=paths.live_socket.with_name("deaf.sock"))
    with Ledger(paths) as own, Watch(own, deaf, BATCH, clock=clock) as watch:
        started.append([generating(1)])
        clock.now_s = 2.9
        assert not watch.poll()
        clock.now_s = 3.0
        assert watch.poll()
        assert watch.state.personas[0].status == "generating"


def test_a_frame_that_cannot_be_read_makes_a_watch_ask(started: Ledger, paths: Paths) -> None:
    other = replace(paths, live_socket=paths.live_socket.with_name("other.sock"))
    with ExitStack() as closing:
        publisher = closing.enter_context(Publisher(str(other.live_socket)))
        watch = closing.enter_context(Watch(closing.enter_context(Ledger(paths)), other, BATCH))
        started.append([generating(1)])
        while not select.select([watch], [], [], 0.05)[0]:
            publisher.publish(b"batch/batch-a/", b'{"type":"news"}')
        assert watch.poll()
        assert watch.state.personas[0].status == "generating"


def test_a_watch_says_why_it_stands_still_and_goes_on_when_it_can(
    started: Ledger, paths: Paths
) -> None:
    clock = Clock()
    deaf = replace(paths, live_socket=paths.live_socket.with_name("deaf.sock"))
    with Ledger(paths, autostart=False) as own, Watch(own, deaf, BATCH, clock=clock) as watch:
        started.ask(Stop())
        assert wait_until_released(paths, WAIT_S)
        clock.now_s = 3.0
        while not watch.poll():
            clock.now_s += 3.0
        assert watch.problem is not None
        assert watch.problem.code == "unavailable"
        asked_at = clock.now_s
        clock.now_s = asked_at + 1.9
        assert not watch.poll()
        last = started.append([generating(1)]).last_seq
        clock.now_s = asked_at + 6
        assert watch.poll()
        assert watch.problem is None
        assert watch.state.seq == last


def test_a_batch_that_is_not_there_any_more_ends_its_watch(paths: Paths, peer: Serve) -> None:
    def forgets(request: object) -> Reply:
        asked.append(request)
        gone = Failure(code="not-found", message="there is no such batch")
        return state(1, {}) if len(asked) < 3 else gone

    asked: list[object] = []
    peer(polite(forgets))
    clock = Clock()
    with Ledger(paths) as ledger, Watch(ledger, paths, BATCH, clock=clock) as watch:
        clock.now_s = 3.0
        with pytest.raises(LedgerError, match="no such batch"):
            watch.poll()


def test_a_snapshot_that_fails_leaves_no_socket_open(paths: Paths, peer: Serve) -> None:
    def forgets(request: object) -> Reply:
        asked.append(request)
        gone = Failure(code="not-found", message="there is no such batch")
        return state(1, {}) if len(asked) < 2 else gone

    asked: list[object] = []
    peer(polite(forgets))
    with Ledger(paths) as ledger, pytest.raises(LedgerError, match="no such batch"):
        Watch(ledger, paths, BATCH)


def test_a_live_socket_whose_path_is_too_long_is_named(started: Ledger, paths: Paths) -> None:
    too_long = replace(paths, live_socket=paths.runtime_dir / ("x" * 100))
    with pytest.raises(ConfigurationError, match="bytes"):
        Watch(started, too_long, BATCH)


def goal(metric: str) -> GoalCleared:
    return GoalCleared(id=event_id(), at=now(), metric=metric)


def until_count(watch: EventWatch, number: int) -> list[Recorded]:
    found: list[Recorded] = []
    for _ in range(100):
        found += watch.poll()
        if len(found) >= number:
            return found
        select.select([watch], [], [], 0.2)
    raise AssertionError(f"only {len(found)} events came")


def test_events_come_once_and_in_order_from_where_one_was(ledger: Ledger, paths: Paths) -> None:
    sent = [goal(f"m{n}") for n in range(6)]
    ledger.append(sent[:3])
    with EventWatch(ledger, paths, 1) as watch:
        found = until_count(watch, 2)
        for one in sent[3:]:
            ledger.append([one])
        found += until_count(watch, 3)
        assert [each.event for each in found] == sent[1:]
        assert watch.poll() == []


def test_only_the_wanted_events_come(started: Ledger, paths: Paths) -> None:
    with EventWatch(started, paths, 4, ["persona.generating"], BATCH) as watch:
        assert watch.poll() == []
        wanted = generating(1)
        started.append([goal("m"), wanted, goal("n")])
        assert [each.event for each in until_count(watch, 1)] == [wanted]
        other = replace(generating(2), id=event_id(), batch="batch-b")
        started.append([batch_started("batch-b"), other, generating(3)])
        assert [each.seq for each in until_count(watch, 1)] == [10]


def test_iterating_waits_for_what_comes(ledger: Ledger, paths: Paths) -> None:
    sent = [goal("a"), goal("b")]
    ledger.append(sent[:1])
    with EventWatch(ledger, paths, 0) as watch:
        coming = iter(watch)
        assert next(coming).event == sent[0]
        ledger.append(sent[1:])
        assert next(coming).event == sent[1]


def test_a_long_history_comes_in_pieces(ledger: Ledger, paths: Paths) -> None:
    ledger.append([goal("m") for _ in range(12_000)])
    with EventWatch(ledger, paths, 0) as watch:
        pieces = [watch.poll(), watch.poll(), watch.poll()]
        assert [len(piece) for piece in pieces] == [10_000, 2_000, 0]


def published(publisher: Publisher, watch: EventWatch, frame: bytes) -> list[Recorded]:
    while not select.select([watch], [], [], 0.05)[0]:
        publisher.publish(b"all/", frame)
    return watch.poll()


def test_events_that_a_frame_leaves_out_are_read(ledger: Ledger, paths: Paths) -> None:
    other = replace(paths, live_socket=paths.live_socket.with_name("other.sock"))
    sent = [goal(f"m{n}") for n in range(4)]
    ledger.ask(Status())
    with Publisher(str(other.live_socket)) as publisher, EventWatch(ledger, other, 0) as watch:
        assert watch.poll() == []
        ledger.append(sent[:1])
        too_large = encode(EventsFrame(seq=1, previous_seq=0, events=None), "json")
        assert [each.event for each in published(publisher, watch, too_large)] == sent[:1]
        ledger.append(sent[1:2])
        assert [each.event for each in published(publisher, watch, b'{"no":1}')] == sent[1:2]
        ledger.append(sent[2:])
        gap = EventsFrame(seq=4, previous_seq=3, events=[])
        assert [each.event for each in published(publisher, watch, encode(gap, "json"))] == sent[2:]
        old = EventsFrame(seq=1, previous_seq=0, events=[])
        assert published(publisher, watch, encode(old, "json")) == []


def test_events_wait_for_a_ledger_that_is_away(ledger: Ledger, paths: Paths) -> None:
    clock = Clock()
    with Ledger(paths, autostart=False) as own, EventWatch(own, paths, 0, clock=clock) as watch:
        assert watch.poll() == []
        assert watch.problem is not None
        ledger.append([goal("m")])
        assert watch.poll() == []
        clock.now_s = 2.0
        assert len(watch.poll()) == 1
        assert watch.problem is None


def test_a_question_that_the_ledger_refuses_is_an_error(ledger: Ledger, paths: Paths) -> None:
    with EventWatch(ledger, paths, 0, batch="not a batch id") as watch:
        with pytest.raises(LedgerError) as caught:
            watch.poll()
        assert caught.value.code == "invalid"


def test_a_closed_batch_is_not_asked_about_in_silence(paths: Paths, peer: Serve) -> None:
    clock = Clock()
    served = peer(polite(lambda _: state(1, {}, "completed")))
    with Ledger(paths) as ledger, Watch(ledger, paths, BATCH, clock=clock) as watch:
        clock.now_s = 100.0
        assert not watch.poll()
        assert len(served.asked) == 3
