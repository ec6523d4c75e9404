"""Sums of hours and days: nobody ever reads one that is not what its quarter-hours come to."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from personad.contract.asking import Range
from personad.contract.cost import CostHistory
from personad.projections.book import Book
from personad.questions import ANSWERS
from personad.tidy import all_at_once, rezone
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, cost, planned


def days(core: Core, zone: str) -> dict[str, int]:
    request: Any = CostHistory(range=Range(days=10, timezone=zone))
    reply = ANSWERS[CostHistory](core.db, request, core.now)
    return {row.start: row.calls for row in reply.rows if row.calls}


def move(core: Core, zone: str) -> None:
    rezone(core.db, ZoneInfo(zone))
    core.book = Book(core.db, ZoneInfo(zone))


@pytest.mark.parametrize("is_tidied", [False, True])
def test_a_ledger_moved_to_another_zone_counts_nothing_on_two_days(
    core: Core, is_tidied: bool
) -> None:
    move(core, "UTC")
    core.append(*planned(), cost(at=NOON - timedelta(days=3) + timedelta(hours=11, minutes=30)))
    all_at_once(core.book)
    assert days(core, "UTC") == {"2026-11-20": 1}
    move(core, "Europe/Berlin")
    if is_tidied:
        all_at_once(core.book)
    assert days(core, "Europe/Berlin") == {"2026-11-21": 1}
    assert days(core, "UTC") == {"2026-11-20": 1}
    assert damage_of(core.path) is None
