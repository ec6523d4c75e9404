"""Appends that wait together are one, and nobody can tell."""

from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personad.contract import cost as c
from personad.contract.base import MAX_EVENT_BYTES
from personad.contract.events import AnyEvent, Append, Fence
from personad.jobs import Job
from personad.log import read
from personad.projections import scopes
from personad.store import open_for_writing
from personad.writer import Writer

from .facts import NOON, SPECIMENS, cost, queued, started

_NUMBERS = count()
EVENTS: list[AnyEvent] = [
    *(cost(f"call-{n}", persona=f"p{n % 2}") for n in range(4)),
    cost("call-0", output_tokens=9_999),
    started("one"),
    queued("p1", 1, "one"),
    cost("call-5", at=NOON.replace(year=9_999)),
    cost("call-6", persona="x" * (MAX_EVENT_BYTES + 1)),
    SPECIMENS["call.started"],
    SPECIMENS["price.set"],
]
REQUESTS = st.lists(
    st.tuples(st.lists(st.sampled_from(EVENTS), max_size=4), st.booleans()), max_size=6
)


def told(path: Path, groups: list[list[Any]]) -> tuple[list[Any], list[Any]]:
    """The replies, and what is in the log after them."""
    db = open_for_writing(str(path))
    writer = Writer(db, zone=ZoneInfo("UTC"), publish=lambda _: lambda: None)
    replies: list[Any] = []
    for group in groups:
        writer._answer(writer._commit([Job(each, 100, replies.append) for each in group]))
    events = [(each.seq, each.event, each.anomaly) for each in read(db)]
    db.close()
    return replies, events


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@settings(max_examples=60, deadline=timedelta(seconds=5))
@given(REQUESTS)
def test_a_group_is_answered_as_its_requests_one_by_one(
    folder: Path, drawn: list[tuple[list[AnyEvent], bool]]
) -> None:
    requests = [
        Append(events=events, fence=Fence(batch="one", fence=1) if fenced and events else None)
        for events, fenced in drawn
    ]
    number = next(_NUMBERS)
    together = told(folder / f"{number}-group.db", [requests] if requests else [])
    alone = told(folder / f"{number}-alone.db", [[each] for each in requests])
    assert together == alone


def test_many_plain_appends_are_looked_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    granted = scopes._granted_under

    def counted(book: Any, calls: Any) -> Any:
        asked.append(len(set(calls)))
        return granted(book, calls)

    monkeypatch.setattr(scopes, "_granted_under", counted)
    requests = [Append(events=[cost(f"call-{n}", experiment=None)]) for n in range(9)]
    replies, events = told(folder / "once.db", [requests])
    assert [each.first_seq for each in replies] == list(range(1, 10))
    assert all(isinstance(event, c.CostRecorded) for _, event, _ in events)
    assert asked == [9]
