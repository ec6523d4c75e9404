"""Large appends go by way of another process, in order, and whatever becomes of that process."""

import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from personad import preparing, preparing_process
from personad.bell import Bell
from personad.contract.codec import codec, encode
from personad.contract.events import Append
from personad.jobs import Job, Unread
from personad.preparer import READY, Received, send
from personad.preparing import FROM_BYTES, MANY, Preparing
from personad.replier import Incoming
from personad.store import open_for_writing
from personad.transaction import Ready

from .facts import cost

_calls = count()
WITHIN_S = 30.0


def bills(number: int = 80) -> bytes:
    return encode(Append(events=[cost(f"call-{next(_calls)}") for _ in range(number)]))


class Way:
    """What is sent on the way, and what arrives at its end, where a thread waits as the writer
    does."""

    def __init__(self, house: Path) -> None:
        self.database = house / "l.db"
        open_for_writing(str(self.database)).close()
        self.arrived: list[tuple[bytes, str]] = []
        """Of which client, and as what."""
        self.counts: list[int] = []
        """Of how many events what arrived prepared is."""
        self.read: list[bytes] = []
        self._some = threading.Condition(threading.RLock())
        self._bell = Bell()
        self._has_ended = False
        self.preparing = Preparing(
            self.database,
            read=self._read,
            put=self._put,
            wake=self._bell.ring,
            append_of=codec(Append).decode,
        )
        self.preparing.start()
        self._writer = threading.Thread(target=self._take)
        self._writer.start()

    def close(self) -> None:
        self.preparing.hand_over()
        self.end_writing()
        self.preparing.close()
        self._bell.close()

    def end_writing(self) -> None:
        """From now on nobody takes what was made."""
        self._has_ended = True
        self._bell.ring()
        self._writer.join()

    def _take(self) -> None:
        while not self._has_ended:
            with self._some:
                for job in self.preparing.take():
                    self._put(job)
            if self._bell.wait(self.preparing.awaited()):
                self.preparing.notice()

    def _read(self, job: Job) -> Job | None:
        assert type(job.request) is Unread
        self.read.append(job.request.incoming.body)
        return Job(Append(events=[]), job.size_bytes, job.answer, job.client)

    def _put(self, job: Job) -> None:
        with self._some:
            self.arrived.append((job.client, type(job.request).__name__))
            if isinstance(job.request, Ready):
                self.counts.append(job.request.prepared.count)
            self._some.notify_all()

    def send(self, body: bytes, client: bytes = b"a") -> None:
        incoming = Incoming(None, b"", body)  # type: ignore[arg-type]
        self.preparing.follow(Job(Unread(incoming), len(body), lambda _: None, client))

    def follow(self, client: bytes = b"a") -> None:
        self.preparing.follow(Job(Append(events=[]), 100, lambda _: None, client))

    def wait(self, number: int) -> list[str]:
        """What has arrived once it is so many."""
        with self._some:
            assert self._some.wait_for(lambda: len(self.arrived) >= number, WITHIN_S)
            return [kind for _, kind in self.arrived]

    def begin(self) -> int:
        """Has the process begin; its number."""
        body = bills()
        with self.preparing._changed:
            for _ in range(MANY):
                assert not self.preparing.takes(body)
            assert self.preparing._changed.wait_for(lambda: self.pid is not None, WITHIN_S)
        assert self.pid is not None
        return self.pid

    @property
    def pid(self) -> int | None:
        process = self.preparing._process
        return None if process is None else process.pid


@pytest.fixture
def way(house: Path) -> Iterator[Way]:
    made = Way(house)
    yield made
    made.close()


def test_a_process_is_begun_once_much_comes_and_prepares(way: Way) -> None:
    way.begin()
    assert way.preparing.takes(bills())
    for _ in range(3):
        way.send(bills())
    assert way.wait(3) == ["Ready"] * 3
    assert not way.read


def test_little_is_not_worth_it(way: Way) -> None:
    way.begin()
    assert not way.preparing.takes(b"\xa4type\xa6append")
    assert not way.preparing.takes(b"x" * FROM_BYTES)
    assert way.preparing.takes(encode(Append(events=[cost("a" * 100)] * 99), "json"))


def test_a_machine_with_one_processor_has_none(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    body = bills()
    assert not any(way.preparing.takes(body) for _ in range(3 * MANY))
    assert not way.preparing._is_wanted


def test_what_one_client_sends_arrives_in_its_order(way: Way) -> None:
    way.begin()
    for _ in range(5):
        way.send(bills())
        way.follow()
        way.send(b"no append" * 9)
    assert way.wait(15) == ["Ready", "Append", "Append"] * 5
    assert len(way.read) == 5
    assert not way.preparing.has(b"a")


@pytest.mark.parametrize(("room_bytes", "by"), [(1 << 20, "MainThread"), (0, "preparing")])
def test_what_there_is_room_for_is_sent_by_who_received_it(
    way: Way, monkeypatch: pytest.MonkeyPatch, room_bytes: int, by: str
) -> None:
    way.begin()
    process = way.preparing._process
    assert process is not None
    monkeypatch.setattr(process, "room_bytes", room_bytes)
    senders: list[str] = []
    send_it = process.send

    def sent(message: bytes) -> None:
        senders.append(threading.current_thread().name)
        send_it(message)

    monkeypatch.setattr(process, "send", sent)
    for _ in range(3):
        way.send(bills())
        way.wait(len(senders))
    assert way.wait(3) == ["Ready"] * 3
    assert senders == [by] * 3


def test_nobody_overtakes_what_waits(way: Way) -> None:
    """Small ones have room, and are behind a large one that hasn't."""
    pid = way.begin()
    assert way.preparing._process is not None
    way.preparing._process.room_bytes = 50_000
    os.kill(pid, signal.SIGSTOP)
    numbers = (80, 300, 80, 80, 300, 80)
    for number in numbers:
        way.send(bills(number))
    os.kill(pid, signal.SIGCONT)
    way.wait(len(numbers))
    assert way.counts == [*numbers]


def test_clients_take_turns(way: Way) -> None:
    pid = way.begin()
    os.kill(pid, signal.SIGSTOP)
    for _ in range(40):
        way.send(bills(), b"greedy")
    way.send(bills(), b"modest")
    os.kill(pid, signal.SIGCONT)
    way.wait(41)
    # Behind those that the process had already, and one more.
    assert [client for client, _ in way.arrived].index(b"modest") <= preparing.ON_THE_WAY + 1


def test_a_process_that_is_killed_loses_nothing(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    pid = way.begin()
    with caplog.at_level(logging.WARNING):
        for number in range(30):
            way.send(bills())
            if number == 9:
                os.kill(pid, signal.SIGKILL)
        kinds = way.wait(30)
    assert len(kinds) == 30
    assert kinds.count("Append") == len(way.read) > 0
    assert sum("by itself" in record.getMessage() for record in caplog.records) == 1


def test_one_that_ends_while_it_has_nothing_to_do_is_cleared_away(way: Way) -> None:
    pid = way.begin()
    os.kill(pid, signal.SIGKILL)
    gone(way)
    assert not Path(f"/proc/{pid}").exists()
    way.send(bills())
    assert way.wait(1) == ["Append"]


def test_what_nobody_takes_any_more_is_read_when_it_closes(house: Path) -> None:
    way = Way(house)
    way.begin()
    way.end_writing()
    for _ in range(9):
        way.send(bills())
    way.preparing.close()
    assert way.wait(9) == ["Append"] * 9
    assert way.pid is None


def test_what_was_given_up_meanwhile_is_read_once(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer has an answer in his hand to what is just taken from him."""
    way.begin()
    process = way.preparing._process
    assert process is not None
    receive, read = process.receive, way.preparing._read
    is_read = threading.Event()

    def read_then(job: Job) -> Job | None:
        is_read.set()
        return read(job)

    def given_up() -> Any:
        made = receive()
        if made:
            process.kill()
            with way.preparing._changed:
                way.preparing._changed.notify_all()
            assert is_read.wait(WITHIN_S)
        return made

    monkeypatch.setattr(way.preparing, "_read", read_then)
    monkeypatch.setattr(process, "receive", given_up)
    way.send(bills())
    assert way.wait(1) == ["Append"]
    gone(way)
    assert len(way.arrived) == 1


def test_one_that_broke_is_not_begun_again_at_once(way: Way) -> None:
    os.kill(way.begin(), signal.SIGKILL)
    way.send(bills())
    way.wait(1)
    gone(way)
    body = bills()
    assert not any(way.preparing.takes(body) for _ in range(3 * MANY))
    assert not way.preparing._is_wanted


def test_one_that_broke_ends_while_more_is_waiting(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = way.preparing._end
    is_more: list[bool] = []

    def ended_with() -> None:
        is_more.append(bool(way.preparing._waiting))
        end()

    monkeypatch.setattr(way.preparing, "_end", ended_with)
    bodies = [bills() for _ in range(30)]
    pid = way.begin()
    os.kill(pid, signal.SIGSTOP)
    with way.preparing._changed:
        for body in bodies:
            way.send(body)
        os.kill(pid, signal.SIGKILL)
    assert way.wait(30) == ["Append"] * 30
    assert is_more == [True]
    assert not Path(f"/proc/{pid}").exists()


def test_one_that_was_wanted_twice_is_begun_once(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = way.preparing._begun
    body = bills()

    def wanted_meanwhile() -> Any:
        for _ in range(2 * MANY):
            way.preparing.takes(body)
        return begun()

    monkeypatch.setattr(way.preparing, "_begun", wanted_meanwhile)
    os.kill(way.begin(), signal.SIGKILL)
    way.send(body)
    way.wait(1)
    gone(way)
    assert not way.preparing._is_wanted


def test_what_is_on_the_way_is_handed_over_before_the_writer_ends(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "END_WITHIN_S", WITHIN_S)
    way.begin()
    for _ in range(9):
        way.send(bills())
    way.preparing.hand_over()
    assert [kind for _, kind in way.arrived] == ["Ready"] * 9
    assert not way.preparing.takes(bills())
    way.follow()
    assert way.wait(10)[-1] == "Append"


def test_what_stands_still_is_handed_over_unprepared(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing_process, "ANSWER_WITHIN_S", 10 * WITHIN_S)
    os.kill(way.begin(), signal.SIGSTOP)
    for _ in range(9):
        way.send(bills())
    way.preparing.hand_over()
    assert way.wait(9) == ["Append"] * 9


def test_one_that_stands_still_keeps_nobody_from_closing(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing_process, "ANSWER_WITHIN_S", 10 * WITHIN_S)
    way = Way(house)
    pid = way.begin()
    os.kill(pid, signal.SIGSTOP)
    way.send(bills())
    closing = threading.Thread(target=way.close)
    closing.start()
    closing.join(WITHIN_S)
    assert not closing.is_alive()
    assert [kind for _, kind in way.arrived] == ["Append"]
    assert not Path(f"/proc/{pid}").exists()


def test_one_that_does_not_come_up_keeps_nobody_from_closing(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing_process, "ANSWER_WITHIN_S", 10 * WITHIN_S)
    way = Way(house)
    monkeypatch.setattr(way.preparing, "_command", ["/bin/sleep", str(10 * WITHIN_S)])
    body = bills()
    for _ in range(MANY):
        way.preparing.takes(body)
    closing = threading.Thread(target=way.close)
    closing.start()
    closing.join(WITHIN_S)
    assert not closing.is_alive()


def test_a_process_that_stands_still_is_given_up(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing_process, "ANSWER_WITHIN_S", 0.5)
    pid = way.begin()
    os.kill(pid, signal.SIGSTOP)
    for _ in range(3):
        way.send(bills())
    assert way.wait(3) == ["Append"] * 3
    gone(way)


def test_one_with_nothing_to_do_ends(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    way.begin()
    way.send(bills())
    way.wait(1)
    assert not way.preparing._is_to_end()
    monkeypatch.setattr(preparing, "IDLE_S", 0.05)
    with way.preparing._changed:
        # Else it looks only when the time is over that it began to wait for.
        way.preparing._changed.notify_all()
    gone(way)


def test_it_says_nothing_where_the_daemon_is_gone(house: Path) -> None:
    way = Way(house)
    way.close()
    ours, theirs = socket.socketpair()
    with theirs:
        command = way.preparing._command
        process = subprocess.Popen(command, stdin=theirs, stderr=subprocess.PIPE)
    with process, ours:
        assert Received(ours).next() == READY
        # What it says to this nobody reads, so that it finds the connection broken.
        for _ in range(2):
            send(ours, bills())
        assert ours.recv(1)
        ours.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("program", "said"),
    [("/nowhere/python", "no process can be begun"), ("/bin/true", "it did not come up")],
)
def test_one_that_is_not_there_is_told_of(
    way: Way,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    program: str,
    said: str,
) -> None:
    monkeypatch.setattr(way.preparing, "_command", [program])
    body = bills()
    with caplog.at_level(logging.WARNING):
        for _ in range(MANY):
            way.preparing.takes(body)
        way.follow()
        way.wait(1)
        ended(way, lambda: way.preparing._broke_at is not None)
    assert said in caplog.text


def test_too_much_waits_before_it_is_taken(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "WAITING_BYTES", 10)
    way.begin()
    for _ in range(20):
        way.send(bills())
    assert way.wait(20) == ["Ready"] * 20


def test_it_closes_once_all_is_handed_over(house: Path) -> None:
    way = Way(house)
    way.begin()
    for _ in range(9):
        way.send(bills())
    way.close()
    assert len(way.arrived) == 9
    assert way.pid is None


def gone(way: Way) -> None:
    ended(way, lambda: way.pid is None)


def ended(way: Way, condition: Callable[[], Any]) -> None:
    """Waits for what the other thread does."""
    with way.preparing._changed:
        assert way.preparing._changed.wait_for(condition, WITHIN_S)
