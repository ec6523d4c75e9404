"""Work of other threads on the writer's connection, between two groups."""

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import apsw
import pytest

from personad.contract.base import Reply
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Appended
from personad.jobs import Job
from personad.log import last_seq
from personad.store import open_for_writing
from personad.writer import Writer
from tests.ledgers import UTC

from .facts import cost


@pytest.fixture
def writer(house: Path) -> Iterator[Writer]:
    db = open_for_writing(str(house / "w.db"))
    made = Writer(db, zone=UTC, publish=lambda *_: lambda: None)
    made.start()
    yield made
    made.drain()
    db.close()


def append(writer: Writer, call: str) -> Reply | None:
    replies: SimpleQueue[Reply | None] = SimpleQueue()
    assert writer.submit(Job(Append(events=[cost(call)]), 100, replies.put))
    return replies.get(timeout=30)


def test_it_runs_in_the_writer_s_thread_and_in_no_transaction(writer: Writer) -> None:
    def look(db: apsw.Connection) -> tuple[str, bool]:
        return threading.current_thread().name, db.in_transaction

    assert writer.between(look) == ("writer", False)


def test_it_sees_what_was_acknowledged(writer: Writer) -> None:
    append(writer, "call-1")
    assert writer.between(last_seq) == 1


def test_what_it_raises_comes_back_and_ends_nothing(writer: Writer) -> None:
    with pytest.raises(ZeroDivisionError):
        writer.between(lambda _: 1 / 0)
    with pytest.raises(apsw.SQLError):
        writer.between(lambda db: db.execute("SELECT nothing FROM nowhere"))
    assert isinstance(append(writer, "call-1"), Appended)


def test_a_transaction_that_it_leaves_open_is_taken_back(writer: Writer) -> None:
    def leave_open(db: apsw.Connection) -> None:
        db.execute("BEGIN IMMEDIATE; INSERT INTO meta VALUES ('left', 'open')")

    writer.between(leave_open)
    assert isinstance(append(writer, "call-1"), Appended)
    found = "SELECT count(*) FROM meta WHERE name = 'left'"
    assert writer.between(lambda db: db.execute(found).get) == 0


def test_a_long_job_in_slices_lets_appends_in(writer: Writer) -> None:
    seen = []
    for number in range(20):
        seen.append(writer.between(last_seq))
        append(writer, f"call-{number}")
    assert seen == list(range(20))


def test_a_steady_stream_of_appends_keeps_nobody_out(writer: Writer) -> None:
    enough = threading.Event()

    def produce() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            append(writer, f"call-{number}")

    producers = [threading.Thread(target=produce) for _ in range(3)]
    for each in producers:
        each.start()
    seqs = [writer.between(last_seq) for _ in range(50)]
    enough.set()
    for each in producers:
        each.join()
    assert seqs == sorted(seqs)


def test_one_that_waited_too_long_is_never_run(writer: Writer) -> None:
    begun, go_on = threading.Event(), threading.Event()
    ran: list[str] = []

    def hold_up(_: apsw.Connection) -> None:
        begun.set()
        assert go_on.wait(30)

    holding = threading.Thread(target=writer.between, args=(hold_up,))
    holding.start()
    assert begun.wait(30)
    with pytest.raises(LedgerError) as refused:
        writer.between(lambda _: ran.append("late"), timeout_s=0.01)
    go_on.set()
    holding.join()
    assert writer.between(lambda _: ran.copy()) == []
    assert refused.value.code == "unavailable"


def test_after_the_writer_has_ended_it_is_refused(house: Path) -> None:
    db = open_for_writing(str(house / "w.db"))
    writer = Writer(db, zone=UTC, publish=lambda *_: lambda: None)
    writer.start()
    writer.drain()
    with pytest.raises(LedgerError) as refused:
        writer.between(last_seq)
    db.close()
    assert refused.value.code == "unavailable"


def test_what_waits_when_it_drains_is_done(house: Path) -> None:
    db = open_for_writing(str(house / "w.db"))
    writer = Writer(db, zone=UTC, publish=lambda *_: lambda: None)
    found: SimpleQueue[int] = SimpleQueue()
    asking = threading.Thread(target=lambda: found.put(writer.between(last_seq)))
    asking.start()
    while not writer._visits:
        asking.join(0.001)
    writer.start()
    writer.drain()
    asking.join(30)
    db.close()
    assert found.get(timeout=1) == 0
