"""Random and mutated messages: the daemon lives, answers, and keeps what it acknowledged."""

from pathlib import Path

import pytest

from tests.chaos.messages import storm

MESSAGES = 2_000


@pytest.mark.parametrize("seed", [1, 20261123])
def test_a_daemon_that_is_sent_nonsense_from_all_sides_answers_everybody(
    house: Path, seed: int
) -> None:
    found = storm(house / "L", MESSAGES, seed)
    assert found.is_good, found
    assert found.answers["invalid"] > MESSAGES / 2
    assert found.answers.keys() >= {"appended", "too-large", "not-found"}
