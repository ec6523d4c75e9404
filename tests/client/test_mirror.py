"""A mirror of a batch: whatever is lost on the way, the state shown is one that was."""

from datetime import timedelta
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from persona.watch import Mirror

from personad.contract.admin import Tick
from personad.contract.batch import BatchFrame, BatchState, Eta
from personad.contract.progress import ProgressFrame

from .watching import BATCH, state


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
