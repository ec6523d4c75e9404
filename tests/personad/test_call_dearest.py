"""The dearest calls of blocks are those that the log has, however they were asked for before."""

import random

import pytest

from personad import log
from personad.projections import call_dearest, call_places

from .conftest import Core
from .facts import cost

COSTS = [random.Random(5).randrange(1, 1_000) * 10**6 for _ in range(200)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_places, "SHIFT", 3)


@pytest.fixture
def filled(core: Core) -> Core:
    core.append(*(cost(f"c{n}", each) for n, each in enumerate(COSTS)))
    return core


def in_the_log(core: Core, blocks: list[int], least: int) -> set[tuple[int, int, int]]:
    rows = core.db.execute("SELECT cost, seq, at FROM event WHERE kind = 22").fetchall()
    return {row for row in rows if row[1] >> 3 in blocks and row[0] >= least}  # type: ignore[misc]


@pytest.mark.parametrize(("blocks_max", "calls_max"), [(1_000, 16), (9, 16), (1_000, 2)])
def test_whatever_is_remembered_they_are_those_of_the_log(
    filled: Core, monkeypatch: pytest.MonkeyPatch, blocks_max: int, calls_max: int
) -> None:
    monkeypatch.setattr(call_dearest, "BLOCKS_MAX", blocks_max)
    monkeypatch.setattr(call_dearest, "CALLS_MAX", calls_max)
    rng = random.Random(1)
    full = log.last_seq(filled.db) >> 3
    for _ in range(100):
        blocks = rng.sample(range(full), 5)
        least = rng.choice([0, *COSTS])
        found = call_dearest.at_least(filled.db, blocks, least)
        assert len(found) == len(set(found))
        assert set(found) == in_the_log(filled, blocks, least)


def test_what_was_asked_for_is_not_read_again_for_as_much_or_a_little_less(filled: Core) -> None:
    blocks, least = [3, 4, 5], 500 * 10**6
    found = call_dearest.at_least(filled.db, blocks, least)
    assert found
    read: list[str] = []

    def note(_cursor: object, sql: str, _values: object) -> bool:
        read.append(sql)
        return True

    filled.db.exec_trace = note
    assert call_dearest.at_least(filled.db, blocks, least) == found
    assert len(call_dearest.at_least(filled.db, blocks, least * 9 // 10)) >= len(found)
    assert read == []
    call_dearest.at_least(filled.db, blocks, least // 2)
    assert len(read) == 1
    filled.db.exec_trace = None
