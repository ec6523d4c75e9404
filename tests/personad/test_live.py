"""What is published after a commit: topics, chains of seqs, ticks; nothing without watchers."""

import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from personad.contract import batch as b
from personad.contract.admin import Hello, Status, Tick
from personad.contract.batch import BatchFrame
from personad.contract.events import EventsFrame
from personad.contract.nng import Publisher, Subscriber
from personad.live import AT_ONCE_EVENTS, FRAME_EVENTS, QUEUE_EVENTS, Live
from personad.store import open_for_reading

from .conftest import Core, Running
from .facts import cost, happened, planned, queued, started

PATIENCE_S = 10.0


class Watcher:
    """Subscribed to everything, and connected."""

    def __init__(self, path: Path, *topics: bytes) -> None:
        self._socket = Subscriber(str(path), topics or (b"",))
        self.path = path

    def next(self) -> tuple[str, Any]:
        """The next frame and its topic."""
        assert select.select([self._socket], [], [], PATIENCE_S)[0], "nothing was published"
        message = self._socket.receive()
        assert message is not None
        topic, _, _ = message.partition(b"{")
        kind = {b"batch": BatchFrame, b"all/": EventsFrame, b"tick/": Tick}[
            b"batch" if topic.startswith(b"batch/") else topic
        ]
        return topic.decode(), msgspec.json.decode(message[len(topic) :], type=kind)

    def next_of(self, topic: str) -> Any:
        while True:
            found, frame = self.next()
            if found == topic:
                return frame

    def close(self) -> None:
        self._socket.close()


class Stage:
    """The live thread over a ledger in this process."""

    def __init__(self, core: Core, folder: Path) -> None:
        self.core = core
        self.socket = folder / "live.sock"
        self.publisher = Publisher(str(self.socket))
        self.db = open_for_reading(str(core.path))
        self.live = Live(self.publisher, self.db, 0)
        self.watchers: list[Watcher] = []
        self.live.start()

    def commit(self, *events: Any) -> None:
        self.core.append(*events)
        assert self.core.txn is not None
        self.live.prepare(self.core.txn)()

    def watch(self) -> Watcher:
        known = self.live.watchers
        self.watchers.append(Watcher(self.socket))
        until = time.monotonic() + PATIENCE_S
        while self.live.watchers == known and time.monotonic() < until:
            time.sleep(0.001)
        return self.watchers[-1]

    def close(self) -> None:
        self.live.close()
        for each in self.watchers:
            each.close()
        self.publisher.close()
        self.db.close()


@pytest.fixture
def stage(core: Core, house: Path) -> Iterator[Stage]:
    made = Stage(core, house)
    yield made
    made.close()


def test_a_commit_is_published_by_batch_and_as_a_whole(stage: Stage) -> None:
    watcher = stage.watch()
    stage.commit(*planned("batch-a"), started("batch-b"))
    frames = dict(watcher.next() for _ in range(3))
    assert set(frames) == {"batch/batch-a/", "batch/batch-b/", "all/"}
    assert (frames["batch/batch-a/"].previous_seq, frames["batch/batch-a/"].seq) == (0, 3)
    assert [each.persona for each in frames["batch/batch-a/"].state.personas] == ["p1", "p2"]
    assert (frames["all/"].previous_seq, frames["all/"].seq) == (0, 4)
    assert [each.seq for each in frames["all/"].events] == [1, 2, 3, 4]


def test_frames_make_a_chain_and_hold_only_what_changed(stage: Stage) -> None:
    watcher = stage.watch()
    frames = []
    for events in (planned(), [happened(b.PersonaGenerating, persona="p2")], [cost(persona="p2")]):
        stage.commit(*events)
        frames.append(watcher.next_of("batch/batch-a/"))
    assert [(each.previous_seq, each.seq) for each in frames] == [(0, 3), (3, 4), (4, 5)]
    assert [[p.persona for p in each.state.personas] for each in frames[1:]] == [["p2"], ["p2"]]


def test_with_nobody_watching_nothing_is_built_and_a_late_watcher_gets_a_right_chain(
    stage: Stage,
) -> None:
    stage.commit(*planned())
    stage.commit(happened(b.PersonaGenerating))
    watcher = stage.watch()
    stage.commit(happened(b.PersonaValidating))
    frame = watcher.next_of("batch/batch-a/")
    assert (frame.previous_seq, frame.seq) == (4, 5)


def test_what_is_too_large_for_a_frame_is_only_told_of(stage: Stage) -> None:
    watcher = stage.watch()
    count = FRAME_EVENTS + 1
    stage.commit(started(total=count), *(queued(f"p{n}", n) for n in range(1, count + 1)))
    assert watcher.next_of("batch/batch-a/").state is None
    assert watcher.next_of("all/").events is None


def test_events_too_large_for_a_message_are_only_told_of(stage: Stage) -> None:
    watcher = stage.watch()
    segment = b.SegmentRef(digest="s", record_ids=["\x01" * 800_000])
    whole = [queued(f"p{n}", n) for n in (1, 2)]
    fields = [{name: getattr(each, name) for name in each.__struct_fields__} for each in whole]
    stage.commit(started(), *(b.PersonaQueued(**(each | {"segment": segment})) for each in fields))
    frame = watcher.next_of("all/")
    assert (frame.events, frame.seq) == (None, 3)


def test_a_batch_that_was_never_started_has_no_frame(stage: Stage) -> None:
    watcher = stage.watch()
    stage.commit(happened(b.BatchPaused, "lost"))
    topic, frame = watcher.next()
    assert topic == "all/"
    assert frame.events[0].anomaly


def test_a_batch_s_end_is_published_and_what_comes_after_it_too(stage: Stage) -> None:
    watcher = stage.watch()
    frames = []
    ended = happened(b.BatchFinished, status="partial")
    for events in ([*planned(), happened(b.PersonaGenerating)], [ended], [cost()]):
        stage.commit(*events)
        frames.append(watcher.next_of("batch/batch-a/"))
    assert [each.state.status for each in frames] == ["running", "partial", "partial"]
    assert [(each.previous_seq, each.seq) for each in frames] == [(0, 4), (4, 5), (5, 6)]


def test_a_tick_names_the_newest_seq_of_each_open_batch(stage: Stage) -> None:
    watcher = stage.watch()
    stage.commit(*planned("batch-a"), *planned("batch-b"), happened(b.BatchFinished, "batch-b"))
    stage.live.tick()
    tick = watcher.next_of("tick/")
    assert (tick.last_seq, tick.batches) == (7, {"batch-a": 3})


def test_without_an_open_batch_or_a_watcher_there_is_no_tick(stage: Stage) -> None:
    stage.live.tick()
    watcher = stage.watch()
    stage.live.tick()
    stage.commit(cost(batch=None))
    assert watcher.next()[0] == "all/"


def test_what_piles_up_is_dropped_and_seen_as_a_gap(core: Core, house: Path) -> None:
    publisher = Publisher(str(house / "live.sock"))
    db = open_for_reading(str(core.path))
    live = Live(publisher, db, 0)
    watcher = Watcher(house / "live.sock")
    core.append(*planned())
    many = [cost(f"call-{n}", batch=None) for n in range(AT_ONCE_EVENTS + 1)]
    core.append(*many)
    assert core.txn is not None
    for _ in range(QUEUE_EVENTS // len(many) + 2):
        live.prepare(core.txn)()
    live.start()
    live.close()
    watcher.close()
    publisher.close()
    db.close()
    assert live.watchers == 0


def test_a_fault_in_one_frame_does_not_end_the_publishing(stage: Stage) -> None:
    watcher = stage.watch()
    stage.core.append(*planned())
    stage.core.db.execute("ALTER TABLE persona RENAME COLUMN status TO state")
    assert stage.core.txn is not None
    stage.live.prepare(stage.core.txn)()
    stage.core.db.execute("ALTER TABLE persona RENAME COLUMN state TO status")
    stage.commit(happened(b.PersonaGenerating))
    assert watcher.next_of("batch/batch-a/").seq == 4


def test_after_a_restart_the_chain_goes_on(daemon: Running) -> None:
    daemon.append(*planned())
    daemon.append(happened(b.PersonaGenerating))
    daemon.stop()
    daemon.start()
    watcher = Watcher(daemon.paths.live_socket, b"batch/batch-a/")
    while daemon.ask(Status()).watchers == 0:
        pass
    daemon.append(happened(b.PersonaValidating))
    frame = watcher.next_of("batch/batch-a/")
    watcher.close()
    assert (frame.previous_seq, frame.seq) == (4, 5)


def test_a_watcher_that_does_not_listen_holds_nobody_up(daemon: Running) -> None:
    watcher = Watcher(daemon.paths.live_socket)
    while daemon.ask(Status()).watchers == 0:
        pass
    daemon.append(started())
    text = "x" * 9_000
    for number in range(300):
        daemon.append(*(cost(f"{number}-{n}", error_kind=text[:200]) for n in range(100)))
    assert daemon.ask(Hello()).last_seq == 30_001
    watcher.close()
