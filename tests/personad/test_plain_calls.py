"""Appends that another process prepares are read as the contract reads them, only sooner."""

from typing import Any

import msgspec
import pytest

from personad.contract.codec import encode
from personad.contract.events import Append, Fence
from personad.plain_calls import reader

from .facts import cost, started

EVENTS: list[Any] = [cost("a"), cost("b", duration_ms=5, estimated=True), cost("c", persona=None)]


def fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__ if name != "id"}


def texts(message: Append) -> bytes:
    """As others may send it, whose ids are texts."""
    return msgspec.msgpack.encode(message)


@pytest.mark.parametrize("said", [encode, texts, lambda told: encode(told, "json")])
def test_the_calls_are_those_that_were_sent(said: Any) -> None:
    found = reader()(said(Append(events=EVENTS)))
    assert found is not None
    assert [*found.ids] == [event.id.bytes for event in EVENTS]
    assert [*map(fields, found.events)] == [*map(fields, EVENTS)]


@pytest.mark.parametrize(
    "message",
    [
        encode(Append(events=[])),
        encode(Append(events=EVENTS, fence=Fence(batch="batch-a", fence=1))),
        encode(Append(events=[*EVENTS, started()])),
        encode(Append(events=[cost("a", batch="no/batch")])),
        encode(Append(events=[cost("a", batch="no/batch")]), "json"),
        encode(Append(events=EVENTS))[:-1],
        b"",
    ],
)
def test_what_the_writer_has_to_see_is_left_to_him(message: bytes) -> None:
    assert reader()(message) is None
