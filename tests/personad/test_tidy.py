"""Sums of hours and days: nobody ever sees one that is not what its quarter-hours come to."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from personad.contract.asking import Range
from personad.contract.cost import CostHistory
from personad.contract.events import Append
from personad.jobs import Job
from personad.keeper import Keeper
from personad.projections.book import Book
from personad.questions import ANSWERS
from personad.store import open_for_writing
from personad.tidy import all_at_once, rezone
from personad.writer import Writer
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


def test_what_came_late_is_added_up_even_if_nothing_follows_it(house: Path) -> None:
    with closing(open_for_writing(str(house / "w.db"))) as db:
        writer = Writer(db, zone=ZoneInfo("UTC"), publish=lambda *_: lambda: None)
        keeper = Keeper(writer, house / "w.db", raw_days=400)
        writer.start()
        late: Any = Append(events=[cost(at=datetime.now(UTC) - timedelta(days=3))])
        replies: SimpleQueue[Any] = SimpleQueue()
        assert writer.submit(Job(late, 100, replies.put))
        assert replies.get(timeout=30).last_seq == 1
        for _ in range(2):
            keeper._tidy()
        stale = {tier: set(days) for tier, days in writer.book.stale.items()}
        writer.drain()
    assert stale == {"hour": set(), "day": set()}
