"""A disk that fails under the real writer: what was acknowledged is there, once, afterwards."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from personad.transaction import Ready, Transaction
from tests.chaos.disk_faults import run
from tests.faulty_disk import Fault


@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 13, 21])
@pytest.mark.parametrize("kind", ["full", "short", "broken"])
def test_a_write_that_fails_is_no_acknowledgement(house: Path, kind: str, nth: int) -> None:
    script = [Fault("write", nth, kind, times=500)]  # type: ignore[arg-type]
    outcome = run(house, random.Random(nth), [[], script, script])
    assert outcome.wrong == []
    assert outcome.faults
    assert outcome.refused > 0


def test_a_sync_that_fails_is_no_acknowledgement(house: Path) -> None:
    script = [Fault("sync", 1, times=500)]
    outcome = run(house, random.Random(7), [[], script, script])
    assert outcome.wrong == []
    assert outcome.refused > 3


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_what_failed_once_is_done_again(house: Path, operation: str) -> None:
    outcome = run(house, random.Random(7), [[Fault(operation, 1)]] * 5)  # type: ignore[arg-type]
    assert outcome.wrong == []
    assert len(outcome.faults) == 5


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_a_read_that_fails_loses_nothing(house: Path, nth: int) -> None:
    outcome = run(house, random.Random(nth), [[Fault("read", nth, times=3)]] * 3)
    assert outcome.wrong == []
    assert outcome.acknowledged


@pytest.mark.parametrize("seed", range(6))
def test_random_scripts_lose_nothing_and_double_nothing(house: Path, seed: int) -> None:
    outcome = run(house, random.Random(seed))
    assert outcome.wrong == []
    assert len(outcome.faults) > 5
    assert len(outcome.acknowledged) > 100


@pytest.mark.parametrize("seed", range(3))
def test_random_scripts_lose_nothing_of_what_was_prepared(
    house: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    add = Transaction.add_prepared

    def added(txn: Transaction, some: Sequence[Ready]) -> Any:
        answers = add(txn, some)
        taken.extend([] if answers is None else map(id, some))
        return answers

    monkeypatch.setattr(Transaction, "add_prepared", added)
    outcome = run(house, random.Random(seed), are_prepared=True)
    assert outcome.wrong == []
    assert len(outcome.faults) > 5
    # Some of them more than once: what was taken back is done again as it was.
    assert 30 < len(set(taken)) < len(taken)


def test_a_disk_that_lies_about_syncing_is_found_out(house: Path) -> None:
    """So the others would fail, too, if an acknowledgement didn't wait for the disk."""
    script = [Fault("sync", 1, "lying", times=10_000)]
    outcome = run(house, random.Random(3), [script] * 8)
    assert any("after a power cut" in each for each in outcome.wrong)
    assert not [each for each in outcome.wrong if "clean close" in each]
