"""How far the ledger had come, in a file of its own: what a log that was cut short can't tell.

SQLite takes a write-ahead log that ends early for one that was never longer: events that were
acknowledged would be gone without a word. The mark is written after each commit and never waited
for, so it may lag behind after a loss of power, but is never ahead of what was acknowledged.
"""

import logging
import os
import struct
import zlib
from pathlib import Path

from msgspec import Struct

SUFFIX = ".mark"

_LAYOUT = struct.Struct("<36sQ")
_CHECKSUM = struct.Struct("<I")

logger = logging.getLogger(__name__)


class Mark(Struct, frozen=True):
    """What was acknowledged, and of which ledger."""

    ledger: str
    last_seq: int


def mark_file(database: Path) -> Path:
    return database.with_name(database.name + SUFFIX)


def read_mark(database: Path) -> Mark | None:
    """The mark beside a database; None where there is none, or half of one. Raises OSError."""
    try:
        written = mark_file(database).read_bytes()
    except FileNotFoundError:
        return None
    body, checksum = written[: _LAYOUT.size], written[_LAYOUT.size :]
    if len(body) < _LAYOUT.size or checksum != _CHECKSUM.pack(zlib.crc32(body)):
        return None
    ledger, seq = _LAYOUT.unpack(body)
    return Mark(ledger.decode(), seq)


class Marker:
    """Keeps the mark of a ledger that is being written."""

    def __init__(self, database: Path, ledger: str) -> None:
        """Raises OSError."""
        self._ledger = ledger.encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(mark_file(database), flags, 0o600)
        self._failed = False

    def set(self, last_seq: int) -> None:
        """A disk that doesn't take it is said once: the ledger itself was written."""
        body = _LAYOUT.pack(self._ledger, last_seq)
        try:
            os.pwrite(self._descriptor, body + _CHECKSUM.pack(zlib.crc32(body)), 0)
        except OSError as error:
            if not self._failed:
                logger.warning("how far the ledger has come could not be written down: %s", error)
            self._failed = True
        else:
            self._failed = False

    def close(self) -> None:
        os.close(self._descriptor)
