"""The sockets' own corners, where no daemon is on the other side."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from personad.contract import nng
from personad.contract.nng import Closed, NngError, Replier, Requester, Subscriber, TimedOut


@pytest.fixture
def path(house: Path) -> str:
    return str(house / "s.sock")


@pytest.fixture
def listening(path: str) -> Iterator[socket.socket]:
    """Somebody who listens and takes nobody."""
    with socket.socket(socket.AF_UNIX) as plain:
        plain.bind(path)
        plain.listen(0)
        yield plain


def test_nobody_listens(path: str) -> None:
    with pytest.raises(Closed):
        Requester(path, connect_s=1)
    with pytest.raises(NngError):
        Requester(path)


def test_one_who_listens_and_is_silent_is_left_in_time(path: str, listening: socket.socket) -> None:
    with pytest.raises(TimedOut):
        Requester(path, connect_s=0.05)


def test_one_whom_too_many_ask_is_left_in_time(path: str, listening: socket.socket) -> None:
    with ExitStack() as waiting:
        while True:
            other = waiting.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            if other.connect_ex(path) == errno.EAGAIN:
                break
        with pytest.raises(TimedOut):
            Requester(path, connect_s=0.05)


def test_one_who_hangs_up_at_once_is_nobody(path: str, listening: socket.socket) -> None:
    def hang_up() -> None:
        found, _ = listening.accept()
        found.recv(8, socket.MSG_WAITALL)
        found.close()

    rude = threading.Thread(target=hang_up)
    rude.start()
    with pytest.raises(Closed):
        Requester(path, connect_s=10)
    rude.join(10)


def test_no_answer_in_time_is_said(path: str) -> None:
    with Replier(path), Requester(path) as requester, pytest.raises(TimedOut):
        requester.request(b"anybody?", 0.05)


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
        with Requester(path) as requester:
            requester._send_now(b"question")
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
