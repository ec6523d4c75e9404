"""One client that takes all it can get, and a small one beside it: who is served in what order.

The order is that of the seqs, which the writer gives; nothing here looks at a clock.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.codec import encode
from personad.contract.events import Append
from personad.contract.quality import GoalCleared
from personad.writer import QUEUE_BYTES
from tests.chaos.greedy import answer, connect, frame

from .conftest import Running
from .facts import NOON, fresh_id

CONNECTIONS = 4
MESSAGES = 10
"""Over each connection, nearly 8 MiB each."""
ASKED = 4
AHEAD = QUEUE_BYTES // MAX_MESSAGE_BYTES + 1 + 1 + CONNECTIONS
"""What may be in front of whoever comes now: a full queue of large messages, the one that waits for
room in it, the one that is being committed, and the next of each other connection."""
JITTER = 3
"""What more may be committed until a process that has its answer has asked again."""
ROOT = Path(__file__).parents[2]


class Greedy:
    """The greedy client, as a process; it is well under way."""

    def __init__(self, daemon: Running) -> None:
        command = [sys.executable, "-m", "tests.chaos.greedy", str(daemon.paths.api_socket)]
        command += [str(CONNECTIONS), str(MESSAGES)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self._seqs = [self._next() for _ in range(CONNECTIONS)]

    def _next(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def seqs(self) -> list[int]:
        """Where each of its appends has come to lie, once all are answered."""
        self._seqs += [self._next() for _ in range(CONNECTIONS * MESSAGES - len(self._seqs))]
        return self._seqs


@pytest.fixture
def greedy(daemon: Running) -> Iterator[Greedy]:
    client = Greedy(daemon)
    yield client
    client.process.kill()
    client.process.communicate()


def small(number: int) -> bytes:
    event = GoalCleared(id=fresh_id(), at=NOON, metric="m")
    return frame(number, encode(Append(events=[event]), "json"))


def seq_of(reply: dict[str, object]) -> int:
    seq = reply["last_seq"]
    assert isinstance(seq, int)
    return seq


def between(seqs: list[int], others: list[int]) -> list[int]:
    """How many of the others were served between one and the next."""
    return [sum(first < seq < second for seq in others) for first, second in pairwise(seqs)]


def test_every_connection_that_has_something_to_say_gets_its_turn(
    daemon: Running, greedy: Greedy
) -> None:
    with connect(str(daemon.paths.api_socket)) as plain:
        plain.sendall(b"".join(small(number) for number in range(1, ASKED + 1)))
        seqs = [seq_of(answer(plain)) for _ in range(ASKED)]
    assert max(between(seqs, greedy.seqs())) <= 2 * CONNECTIONS


def test_what_is_in_front_of_a_small_client_is_bounded(daemon: Running, greedy: Greedy) -> None:
    seqs = []
    with connect(str(daemon.paths.api_socket)) as plain:
        for number in range(1, ASKED + 1):
            plain.sendall(small(number))
            seqs.append(seq_of(answer(plain)))
    others = greedy.seqs()
    assert statistics.median(between(seqs, others)) <= AHEAD + JITTER
    assert len(set(others)) == CONNECTIONS * MESSAGES
