"""The one writer: groups, refusals that hurt nobody else, a disk that is full for a while."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from personad.contract import batch as b
from personad.contract.base import Reply
from personad.contract.errors import Failure
from personad.contract.events import Append, Appended
from personad.jobs import Expiry, Job, Trial
from personad.log import Entry, last_seq, read
from personad.projections import counted
from personad.projections.counted import Counted
from personad.store import open_for_reading, open_for_writing
from personad.writer import QUEUE_BYTES, Writer

from .facts import SPECIMENS, cost, happened, planned, started

UTC = ZoneInfo("UTC")


class Desk:
    """A writer and everything that it answered and published."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = open_for_writing(str(path))
        self.published: list[Sequence[Entry]] = []
        self.writer = Writer(
            self.db, zone=UTC, publish=lambda txn: partial(self.published.append, txn.entries)
        )
        self.replies: dict[int, Reply | None] = {}
        self.seen_at_reply: list[int] = []
        self._reader = open_for_reading(str(path))

    def put(self, number: int, request: Any, size_bytes: int = 100) -> bool:
        def answer(reply: Reply | None) -> None:
            self.replies[number] = reply
            self.seen_at_reply.append(last_seq(self._reader))

        return self.writer.submit(Job(request, size_bytes, answer))

    def close(self) -> None:
        self._reader.close()
        self.db.close()


@pytest.fixture
def desk(house: Path) -> Iterator[Desk]:
    made = Desk(house / "w.db")
    yield made
    made.close()


def append(*events: Any) -> Append:
    return Append(events=list(events))


def test_what_waits_is_done_in_one_commit_and_answered_after_it(desk: Desk) -> None:
    for number in range(20):
        desk.put(number, append(cost(f"call-{number}")))
    desk.writer.start()
    desk.writer.drain()
    assert [each.first_seq for each in desk.replies.values()] == list(range(1, 21))  # type: ignore[union-attr]
    assert len(desk.published) == 1
    assert desk.seen_at_reply == [20] * 20


def test_a_refused_request_leaves_its_group_in_peace(desk: Desk) -> None:
    desk.put(0, append(started()))
    desk.put(1, append(cost(), SPECIMENS["call.started"]))
    desk.put(2, b.Pause(batch="nope"))
    desk.put(3, append(happened(b.PersonaGenerating, persona="p9")))
    desk.writer.start()
    desk.writer.drain()
    kinds = [type(reply) for reply in desk.replies.values()]
    assert kinds == [Appended, Failure, Failure, Appended]
    assert desk.writer.last_seq == 2


def test_a_request_that_breaks_leaves_its_group_in_peace(desk: Desk) -> None:
    desk.db.execute(
        "CREATE TEMP TRIGGER broken BEFORE INSERT ON main.batch WHEN NEW.batch = 'bad' "
        "BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END"
    )
    for number, batch in enumerate(["one", "bad", "two"]):
        desk.put(number, append(started(batch)))
    desk.writer.start()
    desk.writer.drain()
    refused = desk.replies[1]
    assert isinstance(refused, Failure)
    assert refused.code == "internal"
    assert "broken on purpose" not in refused.message
    assert [each.event.batch for each in read(desk.db)] == ["one", "two"]  # type: ignore[union-attr]


def test_what_two_producers_send_at_once_counts_once(desk: Desk) -> None:
    events = [cost(f"call-{number}") for number in range(200)]
    desk.writer.start()

    def produce(first: int) -> None:
        for number, event in enumerate(events):
            desk.put(first + number, append(event))

    producers = [threading.Thread(target=produce, args=(first,)) for first in (0, 1_000)]
    for each in producers:
        each.start()
    for each in producers:
        each.join()
    desk.writer.drain()
    duplicates = sum(each.duplicates for each in desk.replies.values())  # type: ignore[union-attr]
    assert (desk.writer.last_seq, duplicates) == (200, 200)
    assert [each.seq for each in read(desk.db)] == list(range(1, 201))


def test_a_full_disk_is_said_and_forgotten_once_there_is_room(desk: Desk) -> None:
    pages = desk.db.pragma("page_count")
    desk.db.pragma("max_page_count", pages)
    large = [happened(b.PersonaFailed, error=SPECIMENS["persona.failed"].error) for _ in range(500)]
    desk.put(0, append(started()))
    desk.put(1, append(*large))
    desk.put(2, None)
    desk.writer.start()
    wait_for(desk, 2)
    refused = desk.replies[1]
    assert isinstance(refused, Failure)
    assert refused.code == "unavailable"
    assert "can't be written" in refused.message
    assert desk.writer.trouble is not None
    desk.db.pragma("max_page_count", pages * 100)
    desk.put(3, Trial())
    wait_for(desk, 3)
    assert desk.writer.trouble is None
    desk.put(4, append(*large))
    desk.writer.drain()
    assert isinstance(desk.replies[4], Appended)


def wait_for(desk: Desk, number: int) -> None:
    """Goes through the queue, behind what is in it."""
    done = threading.Event()
    desk.writer.submit(Job(None, 0, lambda _: done.set()))
    assert done.wait(10)
    assert number in desk.replies


def test_another_writer_in_the_way_is_trouble_that_passes(desk: Desk) -> None:
    desk.db.set_busy_timeout(1)
    other = open_for_writing(str(desk.path))
    other.execute("BEGIN IMMEDIATE")
    desk.put(0, append(started()))
    desk.writer.start()
    wait_for_nothing(desk)
    assert isinstance(desk.replies[0], Failure)
    other.execute("ROLLBACK")
    other.close()
    desk.put(1, append(started()))
    desk.writer.drain()
    assert isinstance(desk.replies[1], Appended)
    assert desk.writer.trouble is None


def wait_for_nothing(desk: Desk) -> None:
    done = threading.Event()
    desk.writer.submit(Job(None, 0, lambda _: done.set()))
    assert done.wait(10)


def test_leases_are_as_before_where_a_group_was_taken_back(desk: Desk) -> None:
    desk.put(0, append(*planned(), happened(b.PersonaGenerating)))
    desk.put(1, b.Claim(batch="batch-a", runner="r"))
    desk.put(2, Expiry("batch-a"))
    desk.db.execute(
        "CREATE TEMP TRIGGER broken BEFORE INSERT ON main.lease "
        "BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END"
    )
    desk.writer.start()
    desk.writer.drain()
    assert desk.writer.leases.deadlines == {}


def test_once_it_drains_it_does_what_it_has_and_takes_no_more(desk: Desk) -> None:
    desk.put(0, append(started()))
    desk.writer.start()
    desk.writer.drain()
    assert isinstance(desk.replies[0], Appended)
    assert not desk.put(1, append(cost()))


def test_a_full_queue_makes_wait_and_drops_nothing(desk: Desk) -> None:
    assert desk.put(0, append(started()), QUEUE_BYTES + 1)
    taken: list[bool] = []
    waiting = threading.Thread(target=lambda: taken.append(desk.put(1, append(cost()))))
    waiting.start()
    assert taken == []
    desk.writer.start()
    waiting.join(10)
    desk.writer.drain()
    assert taken == [True]
    assert set(desk.replies) == {0, 1}


def test_whoever_waits_for_room_when_it_drains_is_refused(house: Path) -> None:
    go_on = threading.Event()
    db = open_for_writing(str(house / "slow.db"))
    writer = Writer(db, zone=UTC, publish=lambda *_: lambda: assert_true(go_on.wait(10)))
    taken: list[bool] = []

    def put(size_bytes: int) -> None:
        taken.append(writer.submit(Job(append(cost(str(size_bytes))), size_bytes, lambda _: None)))

    put(QUEUE_BYTES)
    put(QUEUE_BYTES + 1)
    writer.start()
    late = threading.Thread(target=put, args=(5,))
    late.start()
    draining = threading.Thread(target=writer.drain)
    draining.start()
    late.join(10)
    go_on.set()
    draining.join(10)
    db.close()
    assert taken == [True, True, False]
    assert writer.last_seq == 2


def assert_true(what: bool) -> None:
    assert what


def test_the_fold_makes_no_difference_to_who_reads(desk: Desk, core: Any) -> None:
    events = [*planned(), happened(b.PersonaGenerating), cost()]
    core.append(*events)
    for number, event in enumerate(events):
        desk.put(number, append(event))
    desk.writer.start()
    desk.writer.drain()
    found: Callable[[Any], Any] = lambda db: list(db.execute("SELECT * FROM persona"))  # noqa: E731
    assert found(desk.db) == found(core.db)


def test_calls_are_brought_into_their_table_once_all_who_told_of_them_have_their_answers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted, "FRESH_MOST", 10)
    waiting: list[int] = []
    work_in = Counted.work_in

    def noted(table: Counted) -> None:
        waiting.append(10 - len(desk.replies))
        work_in(table)

    monkeypatch.setattr(Counted, "work_in", noted)
    for number in range(10):
        desk.put(number, append(cost(f"call-{number}")))
    desk.writer.start()
    desk.writer.drain()
    assert waiting == [0]
    assert desk.db.execute("SELECT count(*) FROM call").get == 10
    assert desk.db.execute("SELECT count(*) FROM call_fresh").get == 0


def test_some_calls_are_brought_into_their_table_before_they_are_many_while_nobody_waits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted, "PIECES_FROM", 10)
    monkeypatch.setattr(counted, "PIECE", 4)
    monkeypatch.setattr(counted, "STRUCK_OFF_FROM", 10)
    monkeypatch.setattr("personad.writer.LONG_WAIT_S", 0.0)
    done = threading.Event()
    waiting: list[bool] = []
    piece = Counted.work_piece_in

    def noted(table: Counted) -> None:
        waiting.append(bool(desk.writer._queue))
        piece(table)
        if not table.is_piece_due:
            done.set()

    monkeypatch.setattr(Counted, "work_piece_in", noted)
    for number in range(10):
        desk.put(number, append(cost(f"call-{number}")))
    desk.writer.start()
    assert done.wait(10)
    desk.writer.drain()
    # Each of about four; then they are struck off.
    assert waiting == [False] * 4
    assert desk.db.execute("SELECT count(*) FROM call").get == 10
    assert desk.db.execute("SELECT count(*) FROM call_fresh").get == 0


def test_nothing_is_done_at_once_before_what_his_thread_has_taken(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = desk.writer._take
    done: list[bool] = []

    def taken_and_overtaken() -> list[Job]:
        group = taken()
        if group:
            overtaking = Job(Append(events=[started("b")]), 100, lambda _: None)
            done.append(desk.writer.do_at_once([overtaking]))
        return group

    monkeypatch.setattr(desk.writer, "_take", taken_and_overtaken)
    desk.put(1, Append(events=[started("a")]))
    desk.writer.start()
    desk.writer.drain()
    assert done == [False]
