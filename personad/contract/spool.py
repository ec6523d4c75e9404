"""What a spool file looks like: events that a producer put down while no daemon answered.

A file is a run of records. Each is a header (marker, ordinal from 1, length of the payload, CRC32
of ordinal, length and payload; little-endian) and its payload, one event as the wire has it. The
marker holds a byte that no UTF-8 text has, so that after a damaged stretch the next record is
found again. The ordinal makes counting a matter of reading the last record.

The file of a producer is `<uuid7>.open`. For as long as the producer writes, it holds an exclusive
flock on it; whoever gets that lock may take the file.
"""

import os
import zlib
from collections.abc import Iterator
from struct import Struct as Layout
from typing import BinaryIO, NamedTuple

from .base import MAX_MESSAGE_BYTES

SUFFIX = ".open"
MARKER = b"\xf5SP1"
HEADER = Layout("<4sIII")

_SUMMED = Layout("<II")
_WINDOW_BYTES = 64 << 10


class Record(NamedTuple):
    """One whole record; `ordinal` is its place in the file as its writer counted."""

    offset: int
    size: int
    ordinal: int
    payload: bytes


class Damage(NamedTuple):
    """Bytes that are no record, between records or after them."""

    offset: int
    size: int


class Torn(NamedTuple):
    """The beginning of a record whose writing never ended, so that nobody was told it was safe."""

    offset: int
    size: int


def record(ordinal: int, payload: bytes) -> bytes:
    """The bytes of one record; `payload` holds at most `MAX_MESSAGE_BYTES`."""
    return HEADER.pack(MARKER, ordinal, len(payload), _sum(ordinal, payload)) + payload


def scan(file: BinaryIO) -> Iterator[Record | Damage | Torn]:
    """Everything in `file`, in order and without a gap, one record at a time in memory."""
    end = file.seek(0, os.SEEK_END)
    offset = 0
    while offset < end:
        found = _record_at(file, offset, end)
        if found is None:
            following = _next_record(file, offset + 1, end)
            if following is None:
                kind = Torn if _is_torn(file, offset, end) else Damage
                yield kind(offset, end - offset)
                return
            yield Damage(offset, following.offset - offset)
            found = following
        yield found
        offset = found.offset + found.size


def count(file: BinaryIO) -> int:
    """How many records were written to `file`: the ordinal of the last whole one."""
    end = file.seek(0, os.SEEK_END)
    high = end
    while high > 0:
        low = max(0, high - _WINDOW_BYTES)
        file.seek(low)
        window = file.read(min(high + len(MARKER) - 1, end) - low)
        at = window.rfind(MARKER)
        while at >= 0:
            found = _record_at(file, low + at, end)
            if found is not None:
                return found.ordinal
            at = window.rfind(MARKER, 0, at)
        high = low
    return 0


def _sum(ordinal: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_SUMMED.pack(ordinal, len(payload))))


def _record_at(file: BinaryIO, offset: int, end: int) -> Record | None:
    file.seek(offset)
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    marker, ordinal, length, checksum = HEADER.unpack(header)
    size = HEADER.size + length
    if marker != MARKER or length > MAX_MESSAGE_BYTES or offset + size > end:
        return None
    payload = file.read(length)
    if len(payload) != length or _sum(ordinal, payload) != checksum:
        return None
    return Record(offset, size, ordinal, payload)


def _next_record(file: BinaryIO, offset: int, end: int) -> Record | None:
    """The first whole record that begins at `offset` or later."""
    while offset < end:
        file.seek(offset)
        window = file.read(_WINDOW_BYTES)
        at = window.find(MARKER)
        while at >= 0:
            found = _record_at(file, offset + at, end)
            if found is not None:
                return found
            at = window.find(MARKER, at + 1)
        # The last bytes stay in view, because a marker may lie across two windows.
        offset += max(1, len(window) - len(MARKER) + 1)
    return None


def _is_torn(file: BinaryIO, offset: int, end: int) -> bool:
    """Whether what is left looks like a write that was cut off, rather than like damage."""
    file.seek(offset)
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return header.startswith(MARKER) or MARKER.startswith(header[: len(MARKER)])
    marker, _, length, _ = HEADER.unpack(header)
    return bool(
        marker == MARKER and length <= MAX_MESSAGE_BYTES and offset + HEADER.size + length > end
    )
