"""How events lie on disk: a number for the kind, and the fields as an array without their names.

A body is the msgpack array of an event's fields in their declared order, without the id and the
time, which have columns of their own; texts that repeat in every event are numbers of `names`.
Fields are only ever added at the end, with a default, so the bodies of every release stay readable.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec
from msgspec import NODEFAULT

from personad.contract.base import MAX_EVENT_BYTES, Event, Score
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
    "batch.held": 51,
    "batch.slept": 52,
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

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

WORDS = frozenset(
    {
        "producer",
        "batch",
        "experiment",
        "provider",
        "model",
        "operation",
        "outcome",
        "scorer",
        "service_tier",
        "error_kind",
    }
)
"""Fields whose texts repeat without end: a body has their numbers."""
WORD_KEYS = frozenset({"scores"})
"""Maps with such keys."""

_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode_uuid = msgspec.msgpack.Decoder(UUID).decode
_UUID_HEAD = b"\xc4\x10"
"""16 bytes follow, says msgpack."""
_astuple = msgspec.structs.astuple
_COLUMNS = 2
"""The first fields, id and time, have columns of their own."""

Number = Callable[[str], int]
Text = Callable[[int], str]


class _Layout(NamedTuple):
    """How a kind lies on disk."""

    body: Callable[[Any, "Number"], bytes]
    bodies: Callable[[Sequence[Any], Number], list[bytes]]
    event: Callable[[UUID, datetime, Any, "Text"], Any]
    """Makes the event of what `decode` gives."""
    words: tuple[int, ...]
    """Places of texts that are numbers there."""
    maps: tuple[int, ...]
    names: tuple[str, ...]
    decode: Callable[[bytes], Any]


def _layout(kind: type[Event]) -> _Layout:
    """From the fields of `kind`, so there is no second description of it."""
    fields = msgspec.structs.fields(kind)[_COLUMNS:]
    given: list[Any] = []
    for each in fields:
        of_type: Any = each.type
        if each.name in WORDS:
            of_type = int | None if not each.required else int
        elif each.name in WORD_KEYS:
            of_type = dict[int, Score]
        if each.required:
            given.append((each.name, of_type))
        elif each.default is not NODEFAULT:
            given.append((each.name, of_type, msgspec.field(default=each.default)))
        else:
            factory: Any = each.default_factory
            given.append((each.name, of_type, msgspec.field(default_factory=factory)))
    twin = msgspec.defstruct(kind.__name__, given, array_like=True, kw_only=True, gc=False)
    names = tuple(each.name for each in fields)
    return _Layout(
        body=_body_maker(names),
        bodies=_bodies_maker(names),
        event=_event_maker(kind, names),
        words=tuple(place for place, name in enumerate(names) if name in WORDS),
        maps=tuple(place for place, name in enumerate(names) if name in WORD_KEYS),
        names=names,
        decode=msgspec.msgpack.Decoder(twin).decode,
    )


def part_of(kind: type[Event], *names: str) -> Callable[[bytes], Any]:
    """Reads only these fields of a body, in a tenth of the time that the event takes; a text that
    repeats is its number there. What it gives has the others, too, but unread."""
    fields = msgspec.structs.fields(kind)[_COLUMNS:]
    last = max(place for place, each in enumerate(fields) if each.name in names)
    given: list[Any] = []
    for each in fields[: last + 1]:
        of_type: Any = msgspec.Raw
        if each.name in names:
            of_type = int | None if each.name in WORDS else each.type
        default = None if each.required else each.default
        if default is NODEFAULT:
            default = each.default_factory()
        given.append((each.name, of_type, msgspec.field(default=default)))
    twin = msgspec.defstruct(f"{kind.__name__}Part", given, array_like=True, gc=False)
    return msgspec.msgpack.Decoder(twin).decode


def _body_maker(names: Sequence[str]) -> Callable[[Any, Number], bytes]:
    """What makes the body of an event with these fields: a function written out for them, as a
    dataclass has its own. Every event goes through it, and a loop takes twice as long."""
    values = " ".join(f"({_translated(name, 'event', 'number')})," for name in names)
    made: Callable[[Any, Number], bytes] = eval(
        f"lambda event, number: encode(({values}))", {"encode": _encode}
    )
    return made


def _bodies_maker(names: Sequence[str]) -> Callable[[Sequence[Any], Number], list[bytes]]:
    """The same for many, which takes three quarters of the time."""
    values = " ".join(f"({_translated(name, 'event', 'number')})," for name in names)
    made: Callable[[Sequence[Any], Number], list[bytes]] = eval(
        f"lambda events, number: [encode(({values})) for event in events]", {"encode": _encode}
    )
    return made


def _event_maker(
    kind: type[Event], names: Sequence[str]
) -> Callable[[UUID, datetime, Any, Text], Any]:
    """The other way round."""
    values = ", ".join(f"{name}={_translated(name, 'fields', 'text')}" for name in names)
    made: Callable[[UUID, datetime, Any, Text], Any] = eval(
        f"lambda id, at, fields, text: kind(id=id, at=at, {values})", {"kind": kind}
    )
    return made


def _translated(name: str, source: str, by: str) -> str:
    """An expression for a field of `source`: its texts by their numbers, or these by the texts."""
    value = f"{source}.{name}"
    if name in WORDS:
        return f"None if {value} is None else {by}({value})"
    if name in WORD_KEYS:
        return f"{{{by}(key): each for key, each in {value}.items()}}"
    return value


RAW_EVENTS: frozenset[type[Event]] = frozenset(kind for kind in EVENTS if tag(kind) in RAW_KINDS)
CODE_OF: dict[type[Event], int] = {kind: KINDS[tag(kind)] for kind in EVENTS}
_LAYOUTS = {kind: _layout(kind) for kind in EVENTS}
_READERS = {CODE_OF[kind]: layout for kind, layout in _LAYOUTS.items()}


def microseconds(moment: datetime) -> int:
    """Since 1970 in UTC, exact."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds_since_1970: int) -> datetime:
    return EPOCH + microseconds_since_1970 * MICROSECOND


def uuid_of(data: bytes) -> UUID:
    """`UUID(bytes=data)` in a fifth of the time."""
    return _decode_uuid(_UUID_HEAD + data)


def body_of(event: AnyEvent, number: Number) -> bytes:
    """What of an event lies in its row's body; `number` gives the number of a text."""
    return _LAYOUTS[type(event)].body(event, number)


def bodies_of(events: Sequence[AnyEvent], number: Number) -> list[bytes]:
    """The bodies of many, which are mostly of one kind."""
    kinds = set(map(type, events))
    if len(kinds) == 1:
        return bodies_of_one_kind(kinds.pop(), events, number)
    return [_LAYOUTS[type(event)].body(event, number) for event in events]


def bodies_of_one_kind(
    kind: type[Event], events: Sequence[AnyEvent], number: Number
) -> list[bytes]:
    """The same of events that have the fields of this kind, be they of another type."""
    return _LAYOUTS[kind].bodies(events, number)


def none_of(codes: Iterable[int]) -> str:
    """SQL for a kind that is none of these; of a list that stands in it SQLite would make a table
    for every statement, and look into it for every row: a third of what it takes to write one."""
    runs: list[list[int]] = []
    for code in sorted(codes):
        if runs and runs[-1][-1] == code - 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    # Whatever a cost is no part of is looked at last.
    runs.sort(key=lambda run: KINDS["cost.recorded"] not in run)
    return " AND ".join(f"kind NOT BETWEEN {run[0]} AND {run[-1]}" for run in runs)


class TooLarge(Exception):
    """An event that no reply could carry."""

    def __init__(self, index: int, size_bytes: int) -> None:
        super().__init__(f"an event of {size_bytes:,} bytes is over {MAX_EVENT_BYTES:,} bytes")
        self.index = index


def check_size(body: bytes, index: int) -> None:
    """Raises TooLarge for the event at that place."""
    if len(body) > MAX_EVENT_BYTES:
        raise TooLarge(index, len(body))


def event_of(code: int, event_id: bytes, at_us: int, body: bytes, text: Text) -> AnyEvent:
    """The event that `body_of` was made from; `text` gives the text of a number.

    Raises:
        KeyError: a kind, or a number, that isn't known.
        msgspec.DecodeError: a damaged body.
    """
    layout = _READERS[code]
    # What `uuid_of` and `moment_of` do, without the calls: whole logs are read by this.
    made = layout.event(
        _decode_uuid(_UUID_HEAD + event_id), EPOCH + at_us * MICROSECOND, layout.decode(body), text
    )
    return cast(AnyEvent, made)


def fields_read(code: int, event_id: bytes, body: bytes, text: Text) -> AnyEvent:
    """The same for a fold, which has the time beside it: that of the event is 1970."""
    layout = _READERS[code]
    made: AnyEvent = layout.event(
        _decode_uuid(_UUID_HEAD + event_id), EPOCH, layout.decode(body), text
    )
    return made


def numbered(kind: type[Event]) -> Callable[[bytes], Any]:
    """Reads the fields of a body and leaves its words numbers, in a third of the time that the
    event takes."""
    return _LAYOUTS[kind].decode


def fields_of(code: int, body: bytes, text: Text) -> dict[str, Any]:
    """All of an event but its id and time, for who needs no event of it. Raises as `event_of`."""
    layout = _READERS[code]
    values = list(_astuple(layout.decode(body)))
    for place in layout.words:
        if (key := values[place]) is not None:
            values[place] = text(key)
    for place in layout.maps:
        values[place] = {text(key): value for key, value in values[place].items()}
    return dict(zip(layout.names, values, strict=True))
