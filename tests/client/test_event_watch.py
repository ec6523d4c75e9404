"""Watching events: each comes once and in its order, whatever is lost on the way."""

import select

import pytest
from msgspec.structs import replace
from persona.client import Ledger
from persona.identity import event_id, now
from persona.watch import EventWatch

from personad.contract.admin import Status
from personad.contract.codec import encode
from personad.contract.errors import LedgerError
from personad.contract.events import EventsFrame, Recorded
from personad.contract.nng import Publisher
from personad.contract.paths import Paths
from personad.contract.quality import GoalCleared

from .conftest import batch_started
from .watching import BATCH, Clock, generating


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
