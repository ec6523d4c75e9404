"""`kill -9` in the midst of a rebuild, a backup or a migration: whole before it, or whole after."""

import random
from pathlib import Path

import pytest

from .chaos.work_kills import storm

pytestmark = pytest.mark.cold


def test_works_that_are_killed_leave_a_sound_ledger_that_lost_nothing(house: Path) -> None:
    stock = storm(house, 2, random.Random(20_261_123), first_calls=2_000)
    assert stock.wrong == []
    assert stock.ledger.is_good, stock.ledger
    assert sum(stock.met.values()) > 0
