"""Messages between the daemon and the process that prepares, in whatever pieces they arrive."""

import socket
import struct
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad import preparer
from personad.preparer import SIZE, Received, send

LENGTHS = st.lists(st.one_of(st.integers(0, 40), st.integers(200, 400)), max_size=8)


def messages(lengths: Sequence[int]) -> list[bytes]:
    return [bytes([65 + n % 26]) * length for n, length in enumerate(lengths)]


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparer, "AT_ONCE_BYTES", 64)


@given(LENGTHS, st.lists(st.integers(1, 120), min_size=1))
def test_they_are_what_was_sent_however_they_arrive(lengths: list[int], pieces: list[int]) -> None:
    sent = messages(lengths)
    stream = b"".join(SIZE.pack(len(each)) + each for each in sent)
    ours, theirs = socket.socketpair()

    def pass_on() -> None:
        with theirs:
            at = 0
            for turn in range(len(stream)):
                end = at + pieces[turn % len(pieces)]
                theirs.sendall(stream[at:end])
                at = end

    with ours:
        thread = threading.Thread(target=pass_on)
        thread.start()
        received = Received(ours)
        assert [received.next() for _ in sent] == sent
        assert received.next() is None
        thread.join()


@given(LENGTHS, st.lists(st.integers(1, 120), min_size=1))
def test_each_is_there_at_once_when_all_of_it_has_come(
    lengths: list[int], pieces: list[int]
) -> None:
    sent = messages(lengths)
    stream = b"".join(SIZE.pack(len(each)) + each for each in sent)
    ends = [*accumulate(SIZE.size + len(each) for each in sent)]
    ours, theirs = socket.socketpair()
    with ours:
        received, found, at = Received(ours), [], 0
        with theirs:
            for turn in range(len(stream)):
                end = at + pieces[turn % len(pieces)]
                theirs.sendall(stream[at:end])
                at = end
                while (message := received.at_once()) is not None:
                    found.append(message)
                assert len(found) == sum(each <= at for each in ends)
        assert found == sent
        with pytest.raises(EOFError):
            received.at_once()


@pytest.mark.parametrize("cut", [1, SIZE.size, SIZE.size + 10, SIZE.size + 100])
def test_one_that_breaks_off_is_none(cut: int) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall((SIZE.pack(200) + bytes(200))[:cut])
        assert Received(ours).next() is None


def test_what_is_not_taken_in_time_is_tried_again_until_the_other_stands_still() -> None:
    sent, asked = bytes(range(256)) * 4_000, 0
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 1_000))
    with ours, theirs, ThreadPoolExecutor(1) as receiving:
        received = Received(ours)

        def stands_still() -> bool:
            nonlocal asked
            asked += 1
            if asked == 3:
                whole.append(receiving.submit(received.next))
            return False

        whole: list[Future[bytes | bytearray | None]] = []
        send(theirs, sent, stands_still)
        assert whole[0].result() == sent
        assert asked >= 3
        with pytest.raises(BlockingIOError):
            send(theirs, sent)


def test_what_one_sends_the_other_receives() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for each in (b"", b"one", bytes(5_000)):
            send(theirs, each)
        received = Received(ours)
        assert [received.next() for _ in range(3)] == [b"", b"one", bytes(5_000)]
