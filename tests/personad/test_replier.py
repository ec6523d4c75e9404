"""The answering side of the request socket: plain sockets and nng's own requesters ask it."""

import os
import resource
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from personad import replier as room
from personad.contract.sp import FRAME, HELLO_OF_A_REPLIER, HELLO_OF_A_REQUESTER
from personad.replier import IN_HAND, Closed, Incoming, Replier
from tests.chaos.greedy import connect, frame

LARGE = b"x" * (4 << 20)
PYNNG = """
import sys, pynng
with pynng.Req0(dial="ipc://" + sys.argv[1], resend_time=-1, recv_timeout=10_000) as asked:
    contexts = [asked.new_context() for _ in range(3)]
    for number, context in enumerate(contexts):
        context.send(b"%d" % number)
    print(*(context.recv().decode() for context in contexts))
    asked.send(bytes(8 << 20))
    print(len(asked.recv()))
"""


@pytest.fixture
def path(house: Path) -> str:
    return str(house / "s.sock")


@pytest.fixture
def replier(path: str) -> Iterator[Replier]:
    with Replier(path) as found:
        yield found


@pytest.fixture
def client(path: str) -> Iterator[Callable[[], socket.socket]]:
    """Connects somebody who has greeted, and has not waited for a greeting."""
    opened = []

    def client() -> socket.socket:
        plain = socket.socket(socket.AF_UNIX)
        opened.append(plain)
        plain.settimeout(10)
        plain.connect(path)
        with suppress(BrokenPipeError):
            plain.sendall(HELLO_OF_A_REQUESTER)
        return plain

    yield client
    for each in opened:
        each.close()


def exactly(plain: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer where the other side has hung up."""
    found = bytearray()
    with suppress(ConnectionResetError):
        while len(found) < size and (some := plain.recv(size - len(found))):
            found += some
    return bytes(found)


def answer(plain: socket.socket) -> tuple[int, bytes]:
    """The next answer's number, and its body."""
    _, size = FRAME.unpack(exactly(plain, FRAME.size))
    message = exactly(plain, size)
    return int.from_bytes(message[:4], "big") & 0x7FFFFFFF, message[4:]


def greeting(plain: socket.socket) -> bytes:
    return exactly(plain, len(HELLO_OF_A_REPLIER))


def hears(plain: socket.socket) -> bool:
    return bool(select.select([plain], [], [], 0.1)[0])


def receive_all(replier: Replier) -> list[Incoming]:
    """What may be taken now; it is looked for until no more comes for a while."""
    taken, until = [], time.monotonic() + 0.2
    while time.monotonic() < until:
        replier._look(0.01)
        while (incoming := replier.receive_now()) is not None:
            taken.append(incoming)
            until = time.monotonic() + 0.2
    return taken


def echo(replier: Replier) -> None:
    with suppress(Closed):
        while True:
            incoming = replier.receive()
            replier.reply(incoming, incoming.body)


@pytest.fixture
def echoing(replier: Replier) -> Iterator[Replier]:
    serving = threading.Thread(target=echo, args=(replier,))
    serving.start()
    yield replier
    replier.interrupt()
    serving.join(10)
    assert not serving.is_alive()


def test_it_is_its_owners_alone_and_leaves_nothing(path: str) -> None:
    with Replier(path) as replier:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        with pytest.raises(OSError, match="in use"):
            Replier(path)
    assert not Path(path).exists()
    replier.close()


def test_nngs_own_requester_is_answered_whatever_the_order(path: str, replier: Replier) -> None:
    command = [sys.executable, "-c", PYNNG, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        for incoming in reversed([replier.receive() for _ in range(3)]):
            assert replier.reply(incoming, incoming.body * 2)
        large = replier.receive()
        assert replier.reply(large, large.body)
        serving = threading.Thread(target=echo, args=(replier,))
        serving.start()
        said, _ = asking.communicate(timeout=30)
        replier.interrupt()
        serving.join(10)
    assert said.split() == ["00", "11", "22", str(8 << 20)]


def test_several_questions_of_one_connection_are_answered_by_number(
    replier: Replier, client: Callable[[], socket.socket]
) -> None:
    plain = client()
    plain.sendall(frame(1, b"one") + frame(2, b"two"))
    assert replier.receive().body == b"one"
    assert greeting(plain) == HELLO_OF_A_REPLIER
    second = replier.receive()
    plain.sendall(frame(3, b"three"))
    third = replier.receive()
    assert replier.reply(third, b"3")
    assert replier.reply(second, b"2")
    assert [answer(plain), answer(plain)] == [(3, b"3"), (2, b"2")]


def test_clients_take_turns(replier: Replier, client: Callable[[], socket.socket]) -> None:
    first, second = client(), client()
    assert receive_all(replier) == []
    first.sendall(b"".join(frame(number, b"first") for number in range(1, 4)))
    second.sendall(b"".join(frame(number, b"second") for number in range(1, 4)))
    taken = receive_all(replier)
    assert len({incoming.client for incoming in taken}) == 2
    bodies = [incoming.body for incoming in taken]
    assert bodies in ([b"first", b"second"] * 3, [b"second", b"first"] * 3)


def test_one_with_too_much_in_hand_waits_and_nobody_else_does(
    replier: Replier, client: Callable[[], socket.socket]
) -> None:
    many, one = client(), client()
    many.sendall(b"".join(frame(number, b"many") for number in range(1, 2 * IN_HAND + 1)))
    taken = receive_all(replier)
    assert [incoming.body for incoming in taken] == [b"many"] * IN_HAND
    one.sendall(frame(1, b"one"))
    (other,) = receive_all(replier)
    assert other.body == b"one"
    for incoming in taken:
        assert replier.reply(incoming, b"done")
    assert len(receive_all(replier)) == IN_HAND
    assert greeting(many) == HELLO_OF_A_REPLIER
    assert [answer(many)[0] for _ in range(IN_HAND)] == list(range(1, IN_HAND + 1))


def test_one_who_reads_no_answers_is_not_read_from_and_holds_nobody_up(
    echoing: Replier, path: str, client: Callable[[], socket.socket]
) -> None:
    slow = client()
    slow.sendall(frame(1, LARGE))
    slow.sendall(frame(2, b"small"))
    rest = frame(3, LARGE) + frame(4, LARGE)
    sending = threading.Thread(target=slow.sendall, args=(rest,))
    sending.start()
    with connect(path) as other:
        for number in range(1, 20):
            other.sendall(frame(number, b"other"))
            assert answer(other) == (number, b"other")
    assert sending.is_alive()
    assert greeting(slow) == HELLO_OF_A_REPLIER
    assert [answer(slow) for _ in range(4)] == [
        (1, LARGE),
        (2, b"small"),
        (3, LARGE),
        (4, LARGE),
    ]
    sending.join(10)


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x00SP\x00\x00\x31\x00\x00",
        HELLO_OF_A_REQUESTER + b"\x02" + bytes(8),
        HELLO_OF_A_REQUESTER + b"\x01" + b"\xff" * 8,
        HELLO_OF_A_REQUESTER + FRAME.pack(1, 4) + bytes(4),
        HELLO_OF_A_REQUESTER + FRAME.pack(1, 0),
    ],
    ids=["http", "a replier", "another kind", "too large", "no number", "empty"],
)
def test_what_is_no_requester_is_hung_up_on_and_nobody_else(
    echoing: Replier, path: str, words: bytes
) -> None:
    with connect(path) as kept, socket.socket(socket.AF_UNIX) as rude:
        rude.settimeout(10)
        rude.connect(path)
        rude.sendall(words)
        assert greeting(rude) == HELLO_OF_A_REPLIER
        assert exactly(rude, 1) == b""
        kept.sendall(frame(1, b"still here"))
        assert answer(kept) == (1, b"still here")
    assert Path(path).exists()


def test_another_users_connection_is_closed_before_it_is_heard(
    echoing: Replier, client: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: -1)
    assert greeting(client()) == b""


def test_a_reply_to_one_who_is_gone_is_taken_by_nobody(
    replier: Replier, client: Callable[[], socket.socket]
) -> None:
    plain = client()
    plain.sendall(frame(1, b"question") * (IN_HAND + 1))
    taken = receive_all(replier)
    plain.close()
    assert not replier.reply(taken[0], b"answer")
    assert receive_all(replier) == []
    assert not replier._connections
    assert not replier.reply(taken[1], b"answer")


def test_more_than_may_be_let_in_wait_until_somebody_leaves(
    echoing: Replier, client: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_most_connections", lambda: 2)
    first, second = client(), client()
    assert greeting(first) == greeting(second) == HELLO_OF_A_REPLIER
    third = client()
    third.sendall(frame(1, b"patient"))
    assert not hears(third)
    second.sendall(frame(1, b"served"))
    assert answer(second) == (1, b"served")
    first.close()
    assert greeting(third) == HELLO_OF_A_REPLIER
    assert answer(third) == (1, b"patient")


def test_without_descriptors_who_is_in_is_served_and_others_wait(
    echoing: Replier,
    client: Callable[[], socket.socket],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "_most_connections", lambda: 1_000)
    inside, outside = client(), socket.socket(socket.AF_UNIX)
    assert greeting(inside) == HELLO_OF_A_REPLIER
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        outside.settimeout(10)
        outside.connect(str(inside.getpeername()))
        outside.sendall(HELLO_OF_A_REQUESTER + frame(1, b"patient"))
        inside.sendall(frame(1, b"served"))
        assert answer(inside) == (1, b"served")
        assert not hears(outside)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert greeting(outside) == HELLO_OF_A_REPLIER
    assert answer(outside) == (1, b"patient")
    outside.close()
    assert [each.getMessage() for each in caplog.records if each.name == room.__name__] == [
        "nobody can be let in for now: [Errno 24] Too many open files"
    ]


def test_of_the_descriptors_some_are_left_for_everything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    assert room._most_connections() == 1_024 - room.SPARE_DESCRIPTORS
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 4_096))
    assert room._most_connections() == 32


def in_the_middle_of_an_answer(
    path: str, client: Callable[[], socket.socket]
) -> tuple[Replier, socket.socket]:
    """One whose only requester has not read what it was sent, which is more than sockets hold."""
    replier = Replier(path)
    plain = client()
    plain.sendall(frame(1, b"question"))
    assert replier.reply(replier.receive(), LARGE)
    return replier, plain


def test_at_the_end_those_who_read_get_the_rest_of_their_answers(
    path: str, client: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FLUSH_S", 10.0)
    replier, plain = in_the_middle_of_an_answer(path, client)
    closing = threading.Thread(target=replier.close)
    closing.start()
    assert greeting(plain) == HELLO_OF_A_REPLIER
    assert answer(plain) == (1, LARGE)
    closing.join(5)
    assert not closing.is_alive()


def test_at_the_end_nobody_waits_long_for_one_who_does_not_read(
    path: str, client: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FLUSH_S", 0.01)
    replier, plain = in_the_middle_of_an_answer(path, client)
    replier.close()
    assert len(exactly(plain, len(LARGE))) < len(LARGE)
