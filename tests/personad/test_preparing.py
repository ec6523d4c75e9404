"""Large appends go by way of another process, in order; clients take turns."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from personad import preparing
from personad.contract.codec import encode
from personad.contract.events import Append
from personad.preparing import FROM_BYTES, MANY

from .facts import cost
from .way import WITHIN_S, Way, bills


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
    pid = way.begin_stopped()
    for _ in range(40):
        way.send(bills(), b"greedy")
    way.send(bills(), b"modest")
    os.kill(pid, signal.SIGCONT)
    way.wait(41)
    # Behind those that the process had already, and one more.
    assert [client for client, _ in way.arrived].index(b"modest") <= preparing.MOST_ON_THE_WAY + 1


def test_few_large_ones_are_on_the_way_at_once(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "LITTLE_BYTES", 10)
    pid = way.begin_stopped()
    for _ in range(9):
        way.send(bills())
    assert way.preparing._in_hand == len(way.preparing._sent) == preparing.ON_THE_WAY
    os.kill(pid, signal.SIGCONT)
    assert way.wait(9) == ["Ready"] * 9


def test_what_nobody_takes_any_more_is_read_when_it_closes(house: Path) -> None:
    way = Way(house)
    way.begin()
    way.end_writing()
    for _ in range(9):
        way.send(bills())
    way.preparing.close()
    assert way.wait(9) == ["Append"] * 9
    assert way.pid is None


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


def test_what_comes_once_it_ends_needs_neither_the_process_nor_the_writer(house: Path) -> None:
    way = Way(house)
    way.begin()
    way.preparing.hand_over()
    way.end_writing()
    for _ in range(3):
        way.send(bills())
    assert way.wait(3) == ["Append"] * 3
    way.preparing.close()


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
