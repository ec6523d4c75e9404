"""The request socket's own part: mistakes of ours, answers that fit nowhere, and closing."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from personad import api
from personad.api import READERS, Answers, Api, Keeps, Own
from personad.contract import batch as b
from personad.contract.admin import Hello, Status, Stop
from personad.contract.base import MAX_MESSAGE_BYTES, Done, Request
from personad.contract.codec import encode, reply_codec
from personad.contract.cost import StartCall
from personad.contract.errors import Failure
from personad.contract.events import Append, Appended
from personad.contract.progress import Progress
from personad.contract.requester import Requester
from personad.contract.sp import FRAME, HELLO_OF_A_REQUESTER, LAST, MESSAGE, NUMBER
from personad.contract.spool import SUFFIX
from personad.intake import Intake
from personad.jobs import Job, Unread
from personad.log import read
from personad.preparing import FROM_BYTES
from personad.replier import Replier
from personad.store import open_for_writing
from personad.writer import Writer

from .facts import cost, planned

PROGRESS = Progress(batch="b", fence=1, tokens={})
CALL = StartCall(call="c", provider="local", model="m", max_input_tokens=1, max_output_tokens=1)


class Counter:
    """A request socket over a ledger in this process, whose answers a test gives."""

    def __init__(self, house: Path, *, own: Own, answers: Answers, keeps: Keeps) -> None:
        self.socket = house / "api.sock"
        self.db = open_for_writing(str(house / "l.db"))
        self.writer = Writer(self.db, zone=ZoneInfo("UTC"), publish=lambda *_: lambda: None)
        self.intake = Intake(self.writer, house / "spool", house / "quarantine")
        self.api = Api(
            Replier(str(self.socket)),
            self.writer,
            str(house / "l.db"),
            own=own,
            answers=answers,
            keeps=keeps,
            later={},
            before_call=self.intake.first,
        )
        self.api.start()
        self.intake.start()
        self.is_open = True

    def ask(self, request: Request[Any]) -> Any:
        with Requester(self.socket, 10) as requester:
            return reply_codec(type(request)).decode(requester.request(encode(request), 10))

    def close_api(self) -> None:
        if self.is_open:
            self.is_open = False
            self.api.close()

    def close(self) -> None:
        self.writer.drain()
        self.intake.close()
        self.close_api()
        self.db.close()


Open = Callable[..., Counter]


@pytest.fixture
def opened(house: Path) -> Iterator[Open]:
    made: list[Counter] = []

    def open_one(
        *,
        own: Own | None = None,
        answers: Answers | None = None,
        keeps: Keeps | None = None,
        idle: bool = False,
    ) -> Counter:
        made.append(Counter(house, own=own or {}, answers=answers or {}, keeps=keeps or {}))
        if not idle:
            made[-1].writer.start()
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def broken(*_: object) -> Any:
    raise ZeroDivisionError("on purpose")


@pytest.mark.parametrize(
    ("own", "answers", "asked"),
    [
        ({Stop: broken}, {}, Stop()),
        ({}, {Status: broken}, Status()),
        ({Stop: lambda _: Failure(code="invalid", message="\udcff")}, {}, Stop()),
        ({}, {}, Stop()),
    ],
    ids=["at once", "by a reader", "not to be written", "nobody's"],
)
def test_a_mistake_of_ours_is_answered_and_ends_nothing(
    opened: Open, own: Own, answers: Answers, asked: Request[Any]
) -> None:
    counter = opened(own={Hello: lambda _: Done(), **own}, answers=answers)
    for _ in range(3):
        assert counter.ask(asked).code == "internal"
    assert isinstance(counter.ask(b.BatchShow(batch="x")), Failure)


def test_an_answer_too_large_for_a_message_is_said_to_be(opened: Open) -> None:
    large = Failure(code="invalid", message="x" * (MAX_MESSAGE_BYTES + 1))
    counter = opened(answers={Status: lambda *_: large})
    assert counter.ask(Status()).code == "too-large"


def test_what_of_an_answer_is_to_be_kept_is_written_before_it_leaves(opened: Open) -> None:
    event = planned()[0]
    counter = opened(answers={Progress: lambda *_: Done()}, keeps={Progress: lambda *_: [event]})
    for _ in range(2):
        assert isinstance(counter.ask(PROGRESS), Done)
        assert counter.writer.last_seq == 1


def test_an_answer_comes_though_nothing_of_it_can_be_kept(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = opened(answers={Progress: lambda *_: Done()}, keeps={Progress: lambda *_: planned()})
    full = Failure(code="unavailable", message="the disk is full")
    monkeypatch.setattr(counter.writer.health, "refuses", lambda request: full)
    assert isinstance(counter.ask(PROGRESS), Done)
    counter.writer.drain()
    assert isinstance(counter.ask(PROGRESS), Done)
    assert counter.writer.last_seq == 0


def test_a_question_that_comes_while_it_closes_is_refused(opened: Open) -> None:
    asked, go_on = threading.Semaphore(0), threading.Event()

    late = Failure(code="not-found", message="late, but here")

    def slow(*_: object) -> Failure:
        asked.release()
        go_on.wait(20)
        return late

    counter = opened(answers={Status: slow})
    replies: list[Any] = []
    askers = [
        threading.Thread(target=lambda: replies.append(counter.ask(Status())))
        for _ in range(READERS)
    ]
    for each in askers:
        each.start()
    for _ in askers:
        assert asked.acquire(timeout=20)
    closing = threading.Thread(target=counter.close_api)
    closing.start()
    while not counter.api._closing:
        pass
    assert counter.ask(Status()).code == "unavailable"
    go_on.set()
    for each in (*askers, closing):
        each.join(20)
    assert replies == [late] * READERS


def test_with_so_many_questions_waiting_no_more_is_received_and_none_is_lost(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "QUESTIONS", READERS)
    go_on, asked = threading.Event(), threading.Semaphore(0)
    late = Failure(code="not-found", message="late, but here")

    def slow(*_: object) -> Failure:
        asked.release()
        go_on.wait(20)
        return late

    counter = opened(answers={Status: slow})
    with ExitStack() as stack:
        # One question each: readers answer in any order, and a requester waits for one answer.
        requesters = [
            stack.enter_context(Requester(counter.socket, 10)) for _ in range(READERS + 2)
        ]
        numbers = [each.send(encode(Status()), 10) for each in requesters]
        for _ in range(READERS):
            assert asked.acquire(timeout=20)
        assert not requesters[0].ends_within(0.05)
        assert counter.api._questions.empty()
        go_on.set()
        answers = [
            each.answer(number, 20) for each, number in zip(requesters, numbers, strict=True)
        ]
    assert [reply_codec(Status).decode(answer) for answer in answers] == [late] * len(numbers)


def test_a_reply_that_nobody_takes_any_more_ends_nothing(opened: Open) -> None:
    counter = opened(idle=True)
    with Requester(counter.socket, 10) as requester:
        requester.send(encode(Append(events=planned())), 10)  # type: ignore[arg-type]
        while not counter.writer._queue:
            pass
        counter.close_api()
        counter.writer.start()
        counter.writer.drain()
    assert counter.writer.last_seq == 3


def test_what_was_sent_before_a_large_append_is_written_before_it(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = opened()

    def prepared_at_once(job: Job) -> None:
        assert type(job.request) is Unread
        left = counter.api._dispatched(job.request.incoming)
        assert left is not None
        counter.api._change(left)

    monkeypatch.setattr(counter.api._preparing, "takes", lambda body: len(body) > FROM_BYTES)
    monkeypatch.setattr(counter.api._preparing, "follow", prepared_at_once)
    bills: list[Any] = [cost(f"call-{n}") for n in range(80)]
    small, large = encode(Append(events=planned())), encode(Append(events=bills))  # type: ignore[arg-type]
    frames = [
        FRAME.pack(MESSAGE, NUMBER.size + len(body)) + NUMBER.pack(LAST | number) + body
        for number, body in enumerate((small, large), 1)
    ]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(counter.socket))
        connection.sendall(HELLO_OF_A_REQUESTER + b"".join(frames))
        while counter.writer.last_seq < 83:
            assert connection.recv(1 << 16)
    kinds = [type(each.event) for each in read(counter.db)]
    assert kinds == [*map(type, planned()), *map(type, bills)]


class TestBeforeACall:
    def test_where_nothing_is_spooled_nobody_waits(self, opened: Open, house: Path) -> None:
        counter = opened()
        assert counter.ask(CALL).reserved_nanousd == 0
        (house / "spool").mkdir()
        assert counter.ask(CALL).reserved_nanousd == 0

    def test_a_folder_that_can_t_be_read_is_logged_and_stops_no_call(
        self, opened: Open, house: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (house / "spool").mkdir()
        (house / "spool" / f"a{SUFFIX}").mkdir()
        (house / "quarantine").write_text("no folder")
        counter = opened()
        assert counter.ask(CALL).reserved_nanousd == 0
        assert "the spool folder can't be read" in caplog.text

    def test_once_it_is_closed_it_takes_nothing_in(self, opened: Open, house: Path) -> None:
        (house / "spool").mkdir()
        (house / "spool" / "other").touch()
        counter = opened()
        assert counter.ask(Append(events=planned())) == Appended(  # type: ignore[arg-type]
            first_seq=1, last_seq=3, duplicates=0, anomalies=0, quarantined=0
        )
        counter.intake.close()
        assert not counter.intake.first(broken)

    def test_after_the_spools_it_follows_what_its_client_sent_before(
        self, opened: Open, house: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (house / "spool").mkdir()
        (house / "spool" / "other").touch()
        counter = opened()
        followed: list[Any] = []

        def follow(job: Job) -> None:
            followed.append(job.request)
            counter.api._change(job)

        monkeypatch.setattr(counter.api._preparing, "has", lambda _: True)
        monkeypatch.setattr(counter.api._preparing, "follow", follow)
        counter.ask(CALL)
        assert followed == [CALL]
