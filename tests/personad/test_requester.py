"""The asking side of the request socket, where no daemon is on the other side."""

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.errors import LedgerError
from personad.contract.requester import Gone, Requester, Silent
from personad.replier import Closed, Replier

HELLO = b"\x00SP\x00\x00\x31\x00\x00"


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


@pytest.fixture
def met(path: str, listening: socket.socket) -> Iterator[tuple[Requester, socket.socket]]:
    """A requester and the bare socket that it asks."""

    def greeted() -> socket.socket:
        found, _ = listening.accept()
        found.settimeout(10)
        assert found.recv(8, socket.MSG_WAITALL)[1:3] == b"SP"
        found.sendall(HELLO)
        return found

    with ThreadPoolExecutor() as other:
        accepted = other.submit(greeted)
        with Requester(path, 10) as requester, accepted.result(10) as found:
            yield requester, found


@contextmanager
def replying(path: str, answer: Callable[[bytes], bytes | None]) -> Iterator[None]:
    """Somebody who says to each question what `answer` gives, if anything."""

    def reply() -> None:
        with suppress(Closed):
            while True:
                incoming = replier.receive()
                body = answer(incoming.body)
                if body is not None:
                    assert replier.reply(incoming, body)

    with Replier(path) as replier, ThreadPoolExecutor() as other:
        replies = other.submit(reply)
        yield
        replier.interrupt()
        replies.result(10)


def frame(number: bytes, body: bytes) -> bytes:
    return b"\x01" + (len(number) + len(body)).to_bytes(8, "big") + number + body


def asked(found: socket.socket) -> tuple[bytes, bytes]:
    """A question's number, and what it is."""
    head = found.recv(9, socket.MSG_WAITALL)
    body = found.recv(int.from_bytes(head[1:], "big"), socket.MSG_WAITALL)
    return body[:4], body[4:]


def test_nobody_listens(path: str) -> None:
    with pytest.raises(Gone):
        Requester(path, 1)


def test_one_who_listens_and_is_silent_is_left_in_time(path: str, listening: socket.socket) -> None:
    with pytest.raises(Silent):
        Requester(path, 0.05)


def test_one_whom_too_many_ask_is_left_in_time(path: str, listening: socket.socket) -> None:
    with ExitStack() as waiting:
        while True:
            other = waiting.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            if other.connect_ex(path) == errno.EAGAIN:
                break
        with pytest.raises(Silent):
            Requester(path, 0.05)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1"])
def test_one_who_hangs_up_is_nobody_and_one_who_says_something_else_no_daemon(
    path: str, listening: socket.socket, said: bytes
) -> None:
    def hang_up() -> None:
        found, _ = listening.accept()
        found.recv(8, socket.MSG_WAITALL)
        found.sendall(said)
        found.close()

    rude = threading.Thread(target=hang_up)
    rude.start()
    with pytest.raises(LedgerError if said else Gone):
        Requester(path, 10)
    rude.join(10)


def test_no_answer_in_time_is_said(path: str) -> None:
    silent = replying(path, lambda _: None)
    with silent, Requester(path, 10) as requester, pytest.raises(Silent):
        requester.request(b"anybody?", 0.05)


def test_who_wants_to_wait_on_is_asked_after_each_while(path: str) -> None:
    had_enough = threading.Event()

    def answer(_: bytes) -> bytes:
        had_enough.wait(10)
        return b"at last"

    def go_on() -> bool:
        waited.append(len(waited))
        if len(waited) == 3:
            had_enough.set()
        return True

    waited: list[int] = []
    with replying(path, answer), Requester(path, 10) as requester:
        assert requester.request_while(b"well?", 0.01, go_on) == b"at last"
    assert waited[:3] == [0, 1, 2]


@pytest.mark.parametrize("size", [0, 1, 70_000, MAX_MESSAGE_BYTES])
def test_messages_of_any_size_come_back_whole(path: str, size: int) -> None:
    with replying(path, lambda body: body), Requester(path, 10) as requester:
        assert requester.request(b"\xa5" * size, 30) == b"\xa5" * size


def test_the_late_answer_to_one_question_is_never_taken_for_that_to_another(
    met: tuple[Requester, socket.socket],
) -> None:
    requester, found = met
    with pytest.raises(Silent):
        requester.request(b"first", 0.01)
    first, _ = asked(found)
    with ThreadPoolExecutor() as other:
        second = other.submit(requester.request, b"second", 10.0)
        number, body = asked(found)
        assert body == b"second"
        assert number != first
        found.sendall(frame(first, b"late") + frame(number, b"right"))
        assert second.result(10) == b"right"


def test_an_answer_may_come_in_pieces_over_several_waits(
    met: tuple[Requester, socket.socket],
) -> None:
    requester, found = met
    pieces: list[bytes] = []

    def go_on() -> bool:
        if not pieces:
            number, _ = asked(found)
            pieces.extend(bytes([byte]) for byte in frame(number, b"in pieces"))
        found.sendall(pieces.pop(0))
        return True

    assert requester.request_while(b"question", 0.001, go_on) == b"in pieces"


def test_one_who_goes_is_seen_before_and_while_he_is_asked(
    met: tuple[Requester, socket.socket],
) -> None:
    requester, found = met
    assert requester.is_alive
    found.sendall(frame(b"\x80\x00\x00\x63", b"nobody asked for this"))
    assert requester.is_alive
    with ThreadPoolExecutor() as other:
        lost = other.submit(requester.request, b"question", 10.0)
        asked(found)
        found.close()
        with pytest.raises(Gone):
            lost.result(10)
    assert not requester.is_alive
    assert requester.ends_within(10)
    with pytest.raises(Gone):
        requester.request(b"question", 1)


def test_an_answer_that_was_given_is_heard_although_its_giver_is_gone(
    met: tuple[Requester, socket.socket],
) -> None:
    requester, found = met
    with ThreadPoolExecutor() as other:
        heard = other.submit(requester.request, b"question", 10.0)
        number, _ = asked(found)
        found.sendall(frame(number, b"last words"))
        found.close()
        assert heard.result(10) == b"last words"


def test_what_is_no_message_ends_the_conversation(met: tuple[Requester, socket.socket]) -> None:
    requester, found = met
    found.sendall(b"\x02" + bytes(8))
    with pytest.raises(Gone):
        requester.request(b"question", 10)


def test_one_who_takes_nothing_is_left_in_time(met: tuple[Requester, socket.socket]) -> None:
    requester, _ = met
    with pytest.raises(Silent):
        requester.request(bytes(MAX_MESSAGE_BYTES), 0.05)
