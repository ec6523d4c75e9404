"""`kill -9` at random moments: no acknowledged event is lost and none counts twice."""

import random
from pathlib import Path

import pytest

from tests.chaos.daemon_kills import Outcome, storm

KILLS = 13

pytestmark = pytest.mark.cold


def test_a_daemon_killed_again_and_again_keeps_what_it_acknowledged(house: Path) -> None:
    found = storm(house / "L", KILLS, random.Random(20261123))
    assert found.acknowledged > 100
    assert found.helped > 0
    assert found == Outcome(KILLS, found.acknowledged, helped=found.helped)
