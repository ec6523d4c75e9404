"""How events lie on disk: a number for the kind, and the fields as an array without their names.

A body is the msgpack array of an event's fields in their declared order with the id cut out, since
the id has a column (and an index) of its own. Fields are only ever added at the end, with a
default, so the bodies of every release stay readable.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from personad.contract.base import Event
from personad.contract.events import AnyEvent
from personad.contract.schema import EVENTS, tag

KINDS: dict[str, int] = {
    "batch.started": 1,
    "batch.pausing": 2,
    "batch.paused": 3,
    "batch.resumed": 4,
    "batch.interrupted": 5,
    "batch.finished": 6,
    "persona.queued": 10,
    "persona.generating": 11,
    "persona.validating": 12,
    "persona.retrying": 13,
    "persona.completed": 14,
    "persona.failed": 15,
    "call.started": 20,
    "call.abandoned": 21,
    "cost.recorded": 22,
    "cost.corrected": 23,
    "quality.scored": 30,
    "goal.set": 31,
    "goal.cleared": 32,
    "budget.set": 40,
    "budget.cleared": 41,
    "price.set": 42,
    "alert.configured": 43,
    "alert.raised": 44,
    "alert.acknowledged": 45,
    "forecast.recorded": 46,
    "benchmark.finished": 50,
}
"""For ever: a number is never given to another kind."""

RAW_KINDS: frozenset[str] = frozenset(
    {
        "persona.queued",
        "persona.generating",
        "persona.validating",
        "persona.retrying",
        "persona.completed",
        "persona.failed",
        "call.started",
        "call.abandoned",
        "cost.recorded",
        "cost.corrected",
        "quality.scored",
    }
)
"""What retention drops in time; all other kinds are kept for ever. A benchmark's summary is nowhere
but in its event, so it stays, too."""

_ID_BYTES = 18
"""msgpack's `bin 8` header and 16 bytes."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_astuple = msgspec.structs.astuple


def _array_twin(kind: type[Event]) -> Any:
    """`kind`, read from an array instead of a map: the same fields, so no second description."""
    struct_meta: Any = type(kind)
    return struct_meta(
        kind.__name__,
        (kind,),
        {"__module__": __name__, "__annotations__": {}},
        frozen=True,
        kw_only=True,
        array_like=True,
        tag=False,
        tag_field=None,
        gc=False,
    )


RAW_EVENTS: frozenset[type[Event]] = frozenset(kind for kind in EVENTS if tag(kind) in RAW_KINDS)
CODE_OF: dict[type[Event], int] = {kind: KINDS[tag(kind)] for kind in EVENTS}
_READERS = {
    CODE_OF[kind]: (kind, msgspec.msgpack.Decoder(_array_twin(kind)).decode) for kind in EVENTS
}


def microseconds(moment: datetime) -> int:
    """Since 1970 in UTC, exact."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds_since_1970: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds_since_1970)


def body_of(event: AnyEvent) -> bytes:
    whole = _encode(_astuple(event))
    header = 1 if whole[0] & 0xF0 == 0x90 else 3
    return whole[:header] + whole[header + _ID_BYTES :]


def event_of(code: int, event_id: bytes, body: bytes) -> AnyEvent:
    """The event that `body_of` was made from.

    Raises:
        KeyError: a kind that this release doesn't know.
        msgspec.DecodeError: a damaged body.
    """
    header = 1 if body[0] & 0xF0 == 0x90 else 3
    kind, decode = _READERS[code]
    twin = decode(body[:header] + b"\xc4\x10" + event_id + body[header:])
    return cast(AnyEvent, kind(**msgspec.structs.asdict(twin)))
