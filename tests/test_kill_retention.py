"""`kill -9` while old events are dropped: no young one lost, no old one kept, no sum changed."""

import random
from pathlib import Path

import pytest

from .chaos.retention_kills import storm

pytestmark = pytest.mark.cold


def test_a_daemon_killed_while_it_drops_old_events_loses_nothing_else(house: Path) -> None:
    remains = storm(house / "L", 5, random.Random(20_261_126))
    assert remains.is_good, remains
