"""Where calls lie is noted in quiet moments, a part at a time; little of it while much comes in."""

import pytest

from personad import log, tidy
from personad.projections import call_places
from personad.tidy import Tidier

from .conftest import Core
from .past import a_past

EVENTS = a_past(seed=7)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_places, "SHIFT", 3)
    monkeypatch.setattr(call_places, "CHUNK", 6)


def test_tidying_notes_full_blocks_a_part_at_a_time(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidy, "BLOCKS_A_ROUND", 40)
    core.append(*EVENTS)
    full = len(EVENTS) + 8 >> 3
    tidier = Tidier(lambda work: work(core.book))
    rounds = 0
    while not rounds or tidier.is_behind:
        tidier.tidy(core.now)
        rounds += 1
    assert 2 <= rounds <= full / 40 + 2
    assert not call_places.are_due(core.db)
    assert call_places.place(core.db, 1) == call_places.place_models(core.db, 1) == 0


def test_while_much_comes_in_few_blocks_are_noted_by_model(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidier = Tidier(lambda work: work(core.book))
    tidier.tidy(core.now)
    core.append(*EVENTS)
    # As they are when they were seen going by.
    while call_places.place(core.db, tidy.BLOCKS):
        pass
    noted: list[int] = []
    place_models = call_places.place_models
    monkeypatch.setattr(
        call_places,
        "place_models",
        lambda db, most: noted.append(place_models(db, most)) or noted[-1],
    )
    full = log.last_seq(core.db) >> call_places.SHIFT
    assert full > 2 * tidy.BLOCKS_UNDER_LOAD
    tidier.tidy(core.now)
    assert sum(noted) == tidy.BLOCKS_UNDER_LOAD
    assert tidier.is_behind
    tidier.tidy(core.now)
    assert sum(noted) == full
    assert not tidier.is_behind


def test_what_came_before_the_first_round_is_no_quiet_moment(core: Core) -> None:
    """A daemon that is sent much as soon as it is there."""
    tidier = Tidier(lambda work: work(core.book), last_seq=log.last_seq(core.db))
    core.append(*EVENTS)
    tidier.tidy(core.now)
    assert tidier.is_behind
    assert call_places.are_due(core.db)
    tidier.tidy(core.now)
    assert not call_places.are_due(core.db)
