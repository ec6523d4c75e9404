"""What never changes is remembered: by each connection for itself, or by several together."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import apsw
import pytest

from personad.projections import memory
from personad.projections.memory import Memory, memory_of, share


@pytest.fixture
def connections() -> Iterator[list[apsw.Connection]]:
    with closing(apsw.Connection(":memory:")) as one, closing(apsw.Connection(":memory:")) as other:
        yield [one, other]


def test_each_connection_has_its_own_unless_they_share_one(
    connections: list[apsw.Connection],
) -> None:
    one, other = connections
    memory_of(one).known("source", 1)[1] = "a"
    assert memory_of(one).known("source", 0) == {1: "a"}
    assert memory_of(other).known("source", 0) == {}
    together = Memory()
    for db in connections:
        share(db, together)
    memory_of(one).known("source", 1)[1] = "b"
    assert memory_of(other).known("source", 0) == {1: "b"}
    assert memory_of(other).known("batch", 0) == {}


def test_what_is_full_begins_anew_and_who_is_reading_it_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MOST", 3)
    some = Memory()
    read = some.known("batch", 3)
    read.update({1: "a", 2: "b", 3: "c"})
    reading = iter(read.items())
    assert next(reading) == (1, "a")
    some.known("batch", 1)[4] = "d"
    assert list(islice(reading, 2)) == [(2, "b"), (3, "c")]
    assert some.known("batch", 0) == {4: "d"}
