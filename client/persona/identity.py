"""Ids: where time and chance enter what a producer writes.

Event ids are UUIDs of version 7 (RFC 9562), because an index takes ids that grow ten times faster
than random ones. Ids that people see are short.
"""

import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from persona.chance import bits64
from personad.contract.base import derived_id

_RANDOM_BITS = 62
_NS_PER_MS = 1_000_000


class BitSource(Protocol):
    """`random.Random`, or anything else that draws bits."""

    def getrandbits(self, k: int, /) -> int: ...


def new_id(now_ns: int, random: int) -> UUID:
    """The UUIDv7 of a moment: 48 bits of milliseconds, 12 of their fraction, 62 of chance.

    Args:
        now_ns: Nanoseconds since 1970, UTC.
        random: Only its lowest 62 bits are used.
    """
    return _of_ticks(_ticks(now_ns), random)


def _ticks(now_ns: int) -> int:
    """The moment in 4,096ths of a millisecond: RFC 9562, section 6.2, method 3."""
    milliseconds, rest_ns = divmod(now_ns, _NS_PER_MS)
    return milliseconds << 12 | (rest_ns << 12) // _NS_PER_MS


def _of_ticks(ticks: int, random: int) -> UUID:
    head = (ticks >> 12 & 0xFFFF_FFFF_FFFF) << 80 | 7 << 76 | (ticks & 0xFFF) << 64
    return UUID(int=head | 0b10 << _RANDOM_BITS | random & (1 << _RANDOM_BITS) - 1)


class _Sequence:
    """Ids that grow for as long as the process lives, also where its clock is set back."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, now_ns: int, random: int) -> UUID:
        self._last = max(_ticks(now_ns), self._last + 1)
        return _of_ticks(self._last, random)


_SEQUENCE = _Sequence()


def event_id() -> UUID:
    """A new event's id; within one thread each is greater than the one before."""
    return _SEQUENCE.next(time.time_ns(), bits64())


def now() -> datetime:
    """The present, UTC, in microseconds: what an event's `at` is."""
    return datetime.now(UTC)


def batch_id(now: datetime, rng: BitSource) -> str:
    """A name such as `batch-2026-11-23-a1b2c3`, by the day of `now` in its own zone."""
    return f"batch-{now:%Y-%m-%d}-{rng.getrandbits(24):06x}"


def persona_id(batch: str, index: int) -> str:
    """The id of a batch's persona by its place, from 1: the same for ever, so planning twice is
    planning once."""
    return f"persona-{derived_id('persona', batch, index).hex[:12]}"


def call_id() -> str:
    """A new call's id, sortable by when it was made: 60 bits of time, 32 of chance."""
    made = event_id().hex
    return f"call-{made[:12]}{made[13:16]}{made[-8:]}"
