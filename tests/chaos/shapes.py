"""Messages of every shape, whole and damaged, made from the contract itself.

A request or event that is added to the contract is attacked without anybody remembering to.
"""

import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect

from personad.arriving import RECEIVE_MAX_BYTES
from personad.contract.base import MAX_MESSAGE_BYTES

LONGEST = 40
"""Of a text that nothing limits."""
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789"
_PATTERNED = [
    *(f"batch-{n}" for n in range(8)),
    *("2026-11-23", "1999-01-01", "daily", "weekly", "monthly", "experiment:e", "batch:batch-1"),
]
"""Of these some fit every pattern of the contract."""
_DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)

Maker = Callable[[Any, random.Random], Any]


def whole(kind: type[msgspec.Struct], rng: random.Random) -> dict[str, Any]:
    """A message of this kind as JSON would have it, with every limit of its fields kept."""
    made: dict[str, Any] = _struct(inspect.type_info(kind), rng)
    return made


def _made(info: Any, rng: random.Random) -> Any:
    return _MAKERS[type(info)](info, rng)


def _struct(info: Any, rng: random.Random) -> dict[str, Any]:
    made = {info.tag_field: info.tag} if info.tag_field else {}
    for field in info.fields:
        if field.required or rng.random() < 0.7:
            made[field.encode_name] = _made(field.type, rng)
    return made


def _integer(info: Any, rng: random.Random) -> int:
    low = -(2**63) if info.ge is None else info.ge
    high = 2**63 - 1 if info.le is None else info.le
    return rng.choice([low, high, rng.randint(low, high), min(high, low + rng.randrange(1_000))])


def _number(info: Any, rng: random.Random) -> float:
    low, high = info.ge or 0, 1e9 if info.le is None else info.le
    return rng.choice([low, high, rng.uniform(max(low, -1e9), min(high, 1e9))])


def _text(info: Any, rng: random.Random) -> str:
    if info.pattern is not None:
        return rng.choice([each for each in _PATTERNED if re.search(info.pattern, each)])
    longest = LONGEST if info.max_length is None else info.max_length
    size = rng.choice([info.min_length or 0, longest, rng.randrange(1, LONGEST)])
    return "".join(rng.choices(_NAME, k=min(size, longest)))


def _list(info: Any, rng: random.Random) -> list[Any]:
    least = info.min_length or 0
    return [_made(info.item_type, rng) for _ in range(least + rng.randrange(4))]


def _dict(info: Any, rng: random.Random) -> dict[str, Any]:
    keys = {str(_made(info.key_type, rng)) for _ in range(rng.randrange(4))}
    return {key: _made(info.value_type, rng) for key in sorted(keys)}


def _moment(info: Any, rng: random.Random) -> str:
    return (_DAY_0 + timedelta(seconds=rng.randrange(400 * 86_400))).isoformat()


_MAKERS: dict[Any, Maker] = {
    inspect.StructType: _struct,
    inspect.IntType: _integer,
    inspect.FloatType: _number,
    inspect.StrType: _text,
    inspect.ListType: _list,
    inspect.VarTupleType: _list,
    inspect.DictType: _dict,
    inspect.DateTimeType: _moment,
    inspect.DateType: lambda _, rng: _moment(_, rng)[:10],
    inspect.UUIDType: lambda _, rng: str(UUID(int=rng.getrandbits(128))),
    inspect.BoolType: lambda _, rng: rng.random() < 0.5,
    inspect.NoneType: lambda _, __: None,
    inspect.LiteralType: lambda info, rng: rng.choice(info.values),
    inspect.UnionType: lambda info, rng: _made(rng.choice(info.types), rng),
    inspect.AnyType: lambda _, rng: rng.choice(WRONG),
    inspect.RawType: lambda _, rng: rng.choice(WRONG),
    inspect.Metadata: lambda info, rng: _made(info.type, rng),
}


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


WRONG: list[Any] = [
    *(None, True, "", " ", "x" * 100_000, "\x00", "\udcff", "🜚\u202e", "2026-13-40T99:00:00Z"),
    *(-1, 0, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), [], {}, [[]], {"": {}}, {"type": "stop"}, _nested(300)),
    ["a"] * 10_001,
]


def damaged(message: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The message with one of its fields, at any depth, made wrong, left out or doubled."""
    copy: dict[str, Any] = json.loads(json.dumps(message))
    places = list(_places(copy))
    holder, key = rng.choice(places)
    match rng.randrange(4):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder["x" + key] = holder.pop(key)
        case 2 if isinstance(holder[key], str):
            holder[key] = holder[key] * rng.choice([2, 300]) + rng.choice("\n\x00 é")
        case _:
            holder[key] = rng.choice(WRONG)
    return copy


def _places(value: Any) -> Any:
    """Where in a message something stands: (holder, key or index)."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def written(value: Any, rng: random.Random) -> bytes:
    """As JSON or msgpack; what msgpack can't say is JSON, with lone surrogates as they come."""
    if rng.random() < 0.5:
        try:
            return msgspec.msgpack.encode(value)
        except (OverflowError, UnicodeEncodeError):
            pass
    is_escaped = rng.random() < 0.5
    return json.dumps(value, ensure_ascii=is_escaped).encode(errors="surrogatepass")


def mangled(body: bytes, rng: random.Random) -> bytes:
    """The bytes with some flipped, cut off, doubled, put in or taken out."""
    found = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(5):
            case 0 if at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                del found[at:]
            case 2:
                found[at:at] = rng.randbytes(rng.randint(1, 9))
            case 3:
                found[at:at] = found[at // 2 : at]
            case _:
                del found[at : at + rng.randint(1, 9)]
    return bytes(found)


def junk(rng: random.Random) -> bytes:
    """What is no request at all, from noise to what is made to be costly."""
    depth, tag = rng.choice([10, 1_000, 200_000]), msgspec.msgpack.encode
    opened = b"\x82" + tag("type") + tag("append") + tag("events")
    return rng.choice(
        [
            rng.randbytes(rng.choice([0, 1, 2, 9, 100, 3_000])),
            written(rng.choice(WRONG), rng),
            rng.choice([b"[", b'{"a":', b"\x91", b"\x81\xa1a"]) * depth,
            b'{"type":"status","x":' + rng.choice([b"[", b'{"a":']) * depth,
            opened + rng.choice([b"\xdd", b"\xdf", b"\xdb", b"\xc6"]) + b"\xff\xff\xff\xff",
            opened + b"\xc7\x0c\xff" + rng.randbytes(12),
            b'{"type":"read","after_seq":' + b"9" * depth + b"}",
            b'{"type":"append","events":[' + b"{}," * min(depth, 20_000) + b"{}]}",
            b'{"type":"' + rng.randbytes(30) + b'"}',
            b"\xef\xbb\xbf" + b'{"type":"status"}',
        ]
    )


def oversize(rng: random.Random) -> bytes:
    """More than a message may hold, and little enough to be answered nevertheless."""
    size = rng.choice([MAX_MESSAGE_BYTES + 1, RECEIVE_MAX_BYTES - 1_000])
    return rng.choice([b"x", b'{"type":"status"}', bytes(1)]).ljust(size, b" ")
