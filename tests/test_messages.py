"""Random and mutated messages: the daemon lives, answers, and keeps what it acknowledged."""

from pathlib import Path

import pytest

from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.requester import Requester
from tests.chaos.messages import storm
from tests.chaos.vitals import ledger, vitals

MESSAGES = 2_000
LARGE = 10


@pytest.mark.parametrize("seed", [1, 20261123])
def test_a_daemon_that_is_sent_nonsense_from_all_sides_answers_everybody(
    house: Path, seed: int
) -> None:
    found = storm(house / "L", MESSAGES, seed)
    assert found.is_good, found
    assert found.answers["invalid"] > MESSAGES / 2
    assert found.answers.keys() >= {"appended", "too-large", "not-found"}


def test_memory_that_large_messages_took_is_given_back(house: Path) -> None:
    with ledger(house / "L") as (paths, pid):
        with Requester(paths.api_socket, 10) as requester:
            before = vitals(pid).rss_mib
            for _ in range(LARGE):
                assert requester.request(bytes(2 * MAX_MESSAGE_BYTES - 1_000), 60)
            after = vitals(pid).rss_mib
    # The last one may still be in hand when its answer is here.
    assert after < before + 3 * MAX_MESSAGE_BYTES / 2**20
