"""Whatever becomes of the process that prepares large appends, nothing is lost or waits for it."""

import logging
import os
import select
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from personad import preparing, preparing_process
from personad.jobs import Job
from personad.preparer import READY, Received, send
from personad.preparing import MANY
from personad.preparing_process import Process

from .way import WITHIN_S, Way, bills, ended, gone


@pytest.fixture
def way(house: Path) -> Iterator[Way]:
    made = Way(house)
    yield made
    made.close()


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


def test_one_that_makes_what_cannot_be_read_is_given_up(
    way: Way, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when another release was installed while the daemon runs."""
    way.begin()
    monkeypatch.setattr(way.preparing, "_decode", msgspec.msgpack.Decoder(int).decode)
    with caplog.at_level(logging.WARNING):
        for _ in range(9):
            way.send(bills())
        assert way.wait(9) == ["Append"] * 9
    gone(way)
    assert sum("can't be read" in record.getMessage() for record in caplog.records) == 1


def test_one_that_ends_while_it_has_nothing_to_do_is_missed(way: Way) -> None:
    os.kill(way.begin(), signal.SIGKILL)
    gone(way)
    way.send(bills())
    assert way.wait(1) == ["Append"]


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
    pid = way.begin_stopped()
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


def test_what_stands_still_is_handed_over_unprepared(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing_process, "ANSWER_WITHIN_S", 10 * WITHIN_S)
    way.begin_stopped()
    for _ in range(9):
        way.send(bills())
    way.preparing.hand_over()
    assert way.wait(9) == ["Append"] * 9


def test_one_that_stands_still_keeps_nobody_from_closing(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing_process, "ANSWER_WITHIN_S", 10 * WITHIN_S)
    way = Way(house)
    pid = way.begin_stopped()
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
    way.begin_stopped()
    for _ in range(3):
        way.send(bills())
    assert way.wait(3) == ["Append"] * 3
    gone(way)


def test_one_whose_answers_nobody_takes_does_not_stand_still(
    house: Path,
) -> None:
    """As when a slow disk holds the writer up."""
    way = Way(house)
    way.close()
    asked: list[bool] = []

    class Asked(Process):
        @property
        def has_something(self) -> bool:
            asked.append(super().has_something)
            if len(asked) == 3:
                os.kill(self.pid, signal.SIGCONT)
            return asked[-1]

    process = Asked(way.preparing._command)
    process.come_up()
    within = struct.pack("ll", 0, 10_000)
    process._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, within)
    process.send(bills())
    assert select.select([process.number], [], [], WITHIN_S)[0]
    os.kill(process.pid, signal.SIGSTOP)
    process.send(bytes(16 << 20))
    assert asked[:3] == [True] * 3
    assert process.receive()
    assert select.select([process.number], [], [], WITHIN_S)[0]
    assert process.receive() == b""
    assert process.is_sound
    process.close()


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
