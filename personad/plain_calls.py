"""Reads appends of what calls cost, and of nothing else, in less time than others are read: of ids
only the bytes are wanted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import NODEFAULT, Meta

from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.codec import codec, encoding_of
from personad.contract.cost import CostRecorded
from personad.contract.errors import LedgerError
from personad.contract.events import Append, check_request, wrong_batches
from personad.contract.schema import AnyRequest

_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]


class Calls(NamedTuple):
    """The events of an append, at least one."""

    events: Sequence[CostRecorded]
    """But for their ids, which may be bytes there."""
    ids: Sequence[bytes]


def _twin(of: type[msgspec.Struct], tag: str, other: Mapping[str, Any]) -> type[msgspec.Struct]:
    """The same struct with other types of some of its fields."""
    given: list[Any] = []
    for each in msgspec.structs.fields(of):
        kind: Any = other.get(each.name, each.type)
        default = {} if each.default is NODEFAULT else {"default": each.default}
        given.append((each.name, kind, msgspec.field(**default)))
    return msgspec.defstruct(
        of.__name__, given, tag_field="type", tag=tag, kw_only=True, frozen=True, gc=False
    )


_Call: Any = _twin(CostRecorded, "cost.recorded", {"id": _Id})
_events: Any = next(each.type for each in msgspec.structs.fields(Append) if each.name == "events")
_Append = _twin(Append, "append", {"events": Annotated[list[_Call], *_events.__metadata__]})


def reader() -> Callable[[bytes], Calls | None]:
    """What reads an append: None where something else is in it, or it is to be refused."""
    quickly: Any = msgspec.msgpack.Decoder(_Append).decode
    by_contract = codec(AnyRequest, check_request).decode

    def read(message: bytes) -> Calls | None:
        if len(message) <= MAX_MESSAGE_BYTES and encoding_of(message) == "msgpack":
            try:
                found = quickly(message)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # Ids may be texts, too; and what is wrong is told by who refuses it.
            else:
                if found.fence is not None or wrong_batches({e.batch for e in found.events}):
                    return None
                return Calls(found.events, [e.id for e in found.events]) if found.events else None
        try:
            request = by_contract(message)
        except LedgerError:
            return None
        if type(request) is not Append or request.fence is not None:
            return None
        if set(map(type, request.events)) != {CostRecorded}:
            return None
        events: Any = request.events
        return Calls(events, [event.id.bytes for event in events])

    return read
