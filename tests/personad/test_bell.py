"""A thread waits for others and for a file at once."""

import socket
from collections.abc import Iterator

import pytest

from personad.bell import Bell


@pytest.fixture
def bell() -> Iterator[Bell]:
    made = Bell()
    yield made
    made.close()


def test_it_may_be_rung_before_anybody_waits_and_is_heard_once(bell: Bell) -> None:
    bell.ring()
    bell.ring()
    assert not bell.wait(None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        # Nothing is left of the ringing.
        assert bell.wait(ours.fileno())
        ours.recv(1)
        bell.ring()
        assert not bell.wait(ours.fileno())


def test_another_file_may_be_waited_for_each_time(bell: Bell) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    for ours, theirs in pairs:
        theirs.send(b"x")
        assert bell.wait(ours.fileno())
    # What is not waited for any more is not heard, though there is something.
    bell.ring()
    assert not bell.wait(None)
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_it_may_be_closed_twice(bell: Bell) -> None:
    bell.close()
