"""The shapes that every event, request and reply is made of.

Units are in the names: `…_nanousd` are integer nano-dollars, `…_ms` integer milliseconds. Scores
run from 0 to 1. Integers fit 63 bits, because that is what SQLite and most languages can hold.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Generic, TypeVar
from uuid import UUID, uuid5

from msgspec import Meta, Struct

PROTOCOL = 1
VERSION = "1.12.0"

MAX_MESSAGE_BYTES = 8 << 20
MAX_APPEND_EVENTS = 10_000
MAX_READ_EVENTS = 10_000
MAX_EVENT_BYTES = 1 << 20
"""Of one event as msgpack: in JSON a byte may become six, and must still fit a message."""

_INTEGER_MAX = 2**63 - 1
_FLOAT_MAX = 1.7976931348623157e308

Count = Annotated[int, Meta(ge=0, le=_INTEGER_MAX)]
Positive = Annotated[int, Meta(ge=1, le=_INTEGER_MAX)]
NanoUsd = Annotated[int, Meta(ge=0, le=_INTEGER_MAX)]
Milliseconds = Annotated[int, Meta(ge=0, le=_INTEGER_MAX)]
Score = Annotated[float, Meta(ge=0, le=1)]
Finite = Annotated[float, Meta(ge=-_FLOAT_MAX, le=_FLOAT_MAX)]
"""Neither infinite nor NaN, which no comparison holds for and JSON can't say."""
Integer = Annotated[int, Meta(ge=-_INTEGER_MAX, le=_INTEGER_MAX)]
Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its zone; a naive one is refused."""
Name = Annotated[str, Meta(min_length=1, max_length=200)]
"""A provider, model, experiment, metric, or an id that others made."""
BATCH_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$(?!\n)"
BatchId = Annotated[str, Meta(pattern=BATCH_PATTERN)]
"""Stands in topics and file names, so it is plain; `$` alone would let a last newline through."""
BilledBatch = Annotated[str, Meta(extra_json_schema={"pattern": BATCH_PATTERN})]
"""The same where thousands come together, mostly of few batches: whoever reads what others sent
holds it against the pattern by `check_request` or `check_event`. To do that with each while it is
decoded takes as long as two thirds of all the rest."""
Text = Annotated[str, Meta(max_length=10_000)]
Path = Annotated[str, Meta(min_length=1, max_length=4_096)]

_DERIVED = UUID("6f1e7a52-0c3f-5d63-9a41-7d8f8f1a2b10")


def derived_id(*cause: object) -> UUID:
    """The id of what follows from `cause`: the same cause gives the same id, for ever."""
    return uuid5(_DERIVED, "\x1f".join(map(str, cause)))


class Event(Struct, frozen=True, gc=False, tag_field="type"):
    """A fact, in the past tense. None is ever changed or reordered.

    New fields go at the end and have a default: on disk, fields are known by their place.
    """

    DAEMON_ONLY: ClassVar[bool] = False

    id: UUID
    """Made by the producer, of any version (7 is kindest to the index): the idempotency key."""
    at: Moment
    """When it happened, by the producer's clock."""
    producer: Name | None = None


class ErrorInfo(Struct, frozen=True, gc=False):
    """Why a call, an attempt or a persona failed; never holds a key."""

    kind: Name
    message: Text


R = TypeVar("R", covariant=True)


class Request(Struct, Generic[R], frozen=True, kw_only=True, tag_field="type"):
    """A question or a command; `R` is what it is answered with, beside `Failure`."""


class Reply(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What a request is answered with."""


class Done(Reply, frozen=True, tag="done"):
    """It was done, and there is nothing more to say."""
