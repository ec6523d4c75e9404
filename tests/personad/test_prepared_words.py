"""What another process has made of an append proposes numbers for words that have none."""

from personad.contract.base import MAX_EVENT_BYTES
from personad.contract.codec import encode
from personad.contract.events import Append
from personad.log import read
from personad.names import OPEN_MOST
from tests.ledgers import damage_of

from .facts import cost
from .test_prepared import Kitchen, costs, kitchen, open_kitchen

__all__ = ["kitchen", "open_kitchen"]


def test_new_words_are_given_the_numbers_that_were_proposed(kitchen: Kitchen) -> None:
    first, second = kitchen.ready(cost("a")), kitchen.ready(cost("b", model="other"))
    assert first is not None
    assert second is not None
    assert first.prepared.words
    # The first isn't there yet, so its words are told once more.
    assert first.prepared.words.items() <= second.prepared.words.items()
    kitchen.commit([(first, [])])
    kitchen.commit([(second, [])])
    third = kitchen.ready(cost("c", model="other"))
    assert third is not None
    assert not third.prepared.words
    assert kitchen.taken == 2
    assert [each.event.model for each in read(kitchen.core.db)] == ["local", "other"]  # type: ignore[union-attr]


def test_a_number_that_another_word_got_is_not_used(kitchen: Kitchen) -> None:
    lot = costs("a", model="mine")
    ready = kitchen.ready(*lot)
    kitchen.core.append(cost("b", model="theirs"))
    kitchen.commit([(ready, lot)])
    assert kitchen.taken == 0
    # It was given another number then; what is made from now on goes by that.
    kitchen.append(costs("c", model="mine"))
    assert kitchen.taken == 1
    models = [each.event.model for each in read(kitchen.core.db)]  # type: ignore[union-attr]
    assert models == ["theirs", "mine", "mine"]
    assert damage_of(kitchen.core.path) is None


def test_a_word_whose_number_is_taken_is_proposed_another(kitchen: Kitchen) -> None:
    assert kitchen.ready(*costs("a", model="mine")) is not None
    kitchen.core.append(*(cost(f"call-{n}", model=f"theirs-{n}") for n in range(9)))
    kitchen.append(costs("c", model="mine"))
    assert kitchen.taken == 1
    assert [each.event.model for each in read(kitchen.core.db, after=9)] == ["mine"]  # type: ignore[union-attr]


def test_words_of_what_is_left_are_proposed_to_nobody(kitchen: Kitchen) -> None:
    assert kitchen.ready(*costs("a", "a", model="left")) is None
    assert kitchen.ready(*costs("a", model="x" * (MAX_EVENT_BYTES + 1))) is None
    ready = kitchen.ready(*costs("b", model="taken"))
    assert ready is not None
    assert "taken" in ready.prepared.words
    assert "left" not in ready.prepared.words
    assert max(map(len, ready.prepared.words)) < 99


def test_words_that_are_never_given_do_not_become_ever_more(kitchen: Kitchen) -> None:
    for lot in range(4):
        some = [cost(f"call-{lot}-{n}", model=f"model-{lot}-{n}") for n in range(OPEN_MOST)]
        ready = kitchen.ready(*some)
        assert ready is not None
        assert len(ready.prepared.words) < 2 * OPEN_MOST
    kitchen.commit([(ready, some)])
    assert kitchen.taken == 1
    # Some of these it had proposed and forgotten; now they have those numbers.
    kitchen.append([cost(f"{n}", model=f"model-3-{n}") for n in range(OPEN_MOST)])
    assert kitchen.taken == 2
    assert kitchen.preparer.prepare(encode(Append(events=[cost("z")]))).words == {}  # type: ignore[union-attr]
    assert damage_of(kitchen.core.path) is None
