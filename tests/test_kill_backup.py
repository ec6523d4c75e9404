"""`kill -9` while a backup is made: the old backup or the new one, and no event lost."""

import random
from pathlib import Path

import pytest

from .chaos.backup_kills import storm

pytestmark = pytest.mark.cold


def test_a_daemon_killed_while_it_makes_backups_leaves_whole_ones(house: Path) -> None:
    stock = storm(house / "L", 5, random.Random(20_261_123))
    assert stock.wrong == []
    assert stock.ledger.is_good, stock.ledger
    assert stock.met > 0
