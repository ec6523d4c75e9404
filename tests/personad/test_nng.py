"""The sockets' own corners, where no daemon is on the other side."""

import socket
import struct
import threading
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from personad.contract import nng
from personad.contract.nng import Closed, NngError, Replier, Subscriber
from personad.contract.requester import Requester


@pytest.fixture
def path(house: Path) -> str:
    return str(house / "s.sock")


def test_a_second_listener_is_refused(path: str) -> None:
    with Replier(path), pytest.raises(NngError, match="in use"):
        Replier(path)


def test_closed_twice_it_is_closed(path: str) -> None:
    subscriber = Subscriber(path, (b"",))
    assert subscriber.receive() is None
    subscriber.close()
    subscriber.close()
    with pytest.raises(Closed):
        subscriber.receive()


def test_a_reply_on_a_closed_socket_is_taken_by_nobody(path: str) -> None:
    with Replier(path) as replier:
        with Requester(path, 10) as requester:
            requester.send(b"question", 10)
            incoming = replier.receive()
        assert incoming.body == b"question"
    assert not replier.reply(incoming, b"answer")


def test_without_pynng_or_with_one_of_another_shape_it_says_what_is_missing(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house / "pynng").mkdir()
    (house / "pynng" / "__init__.py").touch()
    monkeypatch.setattr(nng, "find_spec", lambda name: PathFinder.find_spec(name, [str(house)]))
    with pytest.raises(ImportError, match="no extension module named _nng"):
        nng._load()
    monkeypatch.setattr(nng, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pynng is not installed"):
        nng._load()


def test_one_who_reads_late_gets_every_answer_and_keeps_nobody_waiting(path: str) -> None:
    numbers = range(1, 13)
    size = 300_000  # More than a socket holds.
    with Replier(path) as replier, socket.socket(socket.AF_UNIX) as late:
        late.connect(path)
        late.sendall(b"\x00SP\x00\x00\x30\x00\x00")
        assert late.recv(8, socket.MSG_WAITALL) == b"\x00SP\x00\x00\x31\x00\x00"
        for number in numbers:
            body = struct.pack(">I", 0x80000000 | number) + b"ask"
            late.sendall(struct.pack(">BQ", 1, len(body)) + body)
        asked = [replier.receive() for _ in numbers]
        assert {each.body for each in asked} == {b"ask"}
        assert len({each.client for each in asked}) == 1
        # None of these waits, though nobody reads.
        assert all(replier.reply(each, bytes(size)) for each in asked)
        with Requester(path, 5.0) as other:
            answer = threading.Thread(target=lambda: replier.reply(replier.receive(), b"here"))
            answer.start()
            assert other.request(b"there?", 5.0) == b"here"
            answer.join()
        told = []
        for _ in numbers:
            kind, length = struct.unpack(">BQ", late.recv(9, socket.MSG_WAITALL))
            assert (kind, length) == (1, size + 4)
            told.append(struct.unpack(">I", late.recv(4, socket.MSG_WAITALL))[0] & 0x7FFFFFFF)
            assert late.recv(size, socket.MSG_WAITALL) == bytes(size)
        assert told == [*numbers]
