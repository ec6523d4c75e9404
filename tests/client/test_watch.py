"""Watching: whatever is lost on the way, the state shown is one that was, and ends as it is."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from msgspec.structs import replace
from persona.autostart import wait_until_released
from persona.client import Ledger
from persona.identity import persona_id
from persona.watch import Watch

from personad.contract.admin import Status, Stop
from personad.contract.base import Reply
from personad.contract.batch import BatchShow, BatchState, Cancel, Claim
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Read
from personad.contract.nng import Publisher
from personad.contract.paths import Paths
from personad.contract.progress import Progress
from personad.contract.settings import ConfigurationError

from .conftest import Serve, polite
from .watching import BATCH, WAIT_S, Clock, generating, state


@pytest.fixture
def watch(started: Ledger, paths: Paths) -> Iterator[Watch]:
    with Ledger(paths) as own, Watch(own, paths, "last") as found:
        heard(found)
        yield found


def heard(watch: Watch) -> None:
    """Waits for the first thing that comes in, so that the subscription is known to stand."""
    assert select.select([watch], [], [], WAIT_S)[0]
    watch.poll()


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


def test_a_closed_batch_is_not_asked_about_in_silence(paths: Paths, peer: Serve) -> None:
    clock = Clock()
    served = peer(polite(lambda _: state(1, {}, "completed")))
    with Ledger(paths) as ledger, Watch(ledger, paths, BATCH, clock=clock) as watch:
        clock.now_s = 100.0
        assert not watch.poll()
        assert len(served.asked) == 3
