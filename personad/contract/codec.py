"""Bytes to structs and back: msgpack or JSON, told apart by the first byte."""

import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

import msgspec

from .base import MAX_MESSAGE_BYTES, Request
from .errors import Failure, LedgerError

Encoding = Literal["json", "msgpack"]

R = TypeVar("R")
T = TypeVar("T")

_JSON = msgspec.json.Encoder()
_MSGPACK = msgspec.msgpack.Encoder(uuid_format="bytes")
_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<where>[^`]*)`)?$", re.DOTALL)


def encoding_of(message: bytes) -> Encoding:
    return "json" if message[:1] == b"{" else "msgpack"


def encode(value: object, encoding: Encoding = "msgpack") -> bytes:
    return _JSON.encode(value) if encoding == "json" else _MSGPACK.encode(value)


class Codec(msgspec.Struct, frozen=True):
    """A pair of decoders for one type; building them costs more than using them."""

    json: msgspec.json.Decoder[Any]
    msgpack: msgspec.msgpack.Decoder[Any]
    check: Callable[[Any], None] | None = None
    """Raises msgspec.ValidationError for what the type leaves open."""

    def decode(self, message: bytes) -> Any:
        """The struct in `message`.

        Raises:
            LedgerError: `too-large` or `invalid`, naming the field.
        """
        if len(message) > MAX_MESSAGE_BYTES:
            raise too_large(len(message))
        decoder = self.json if encoding_of(message) == "json" else self.msgpack
        try:
            found = decoder.decode(message)
            if self.check is not None:
                self.check(found)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise invalid(error) from None
        return found


def codec(kind: Any, check: Callable[[Any], None] | None = None) -> Codec:
    return Codec(msgspec.json.Decoder(kind), msgspec.msgpack.Decoder(kind), check)


def reply_codec(request: type[Request[Any]]) -> Codec:
    """The codec of what `request` is answered with."""
    return codec(reply_type(request) | Failure)


def reply_type(request: type[Request[Any]]) -> Any:
    """The type that a request class names as its answer."""
    (base,) = request.__orig_bases__  # type: ignore[attr-defined]
    (answer,) = get_args(base)
    return answer


def too_large(size_bytes: int) -> LedgerError:
    return LedgerError(
        "too-large",
        f"a message of {size_bytes:,} bytes is over the limit of {MAX_MESSAGE_BYTES:,} bytes",
        hint="send it in smaller parts",
    )


def invalid(error: Exception) -> LedgerError:
    """What msgspec found wrong, as an error that names the field."""
    match = _WHERE.match(str(error))
    what, where = (match["what"], match["where"]) if match else (str(error), None)
    code: Literal["too-large", "invalid"] = (
        "too-large" if where in ("$.events", "$.items") and "length <=" in what else "invalid"
    )
    return LedgerError(
        code,
        f"{what}{f' at {where}' if where else ''}",
        field=where,
        hint="`personad schema` prints what every message looks like",
    )
