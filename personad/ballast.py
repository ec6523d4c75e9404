"""Room on the disk that is held, to be let go of when the disk is full.

Without it a full disk refuses even what would make room: dropping old events has to be written
first, and so has what producers put into their spools meanwhile.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

BALLAST_BYTES = 4 << 20
ENOUGH = 3
"""How many times the ballast must be free before it is held again: one that left the disk nearly
full would have to be let go of at the next append."""


def has_room(folder: Path, size_bytes: int = BALLAST_BYTES) -> bool:
    """Whether the disk has room again, and not only what was let go of. Raises OSError."""
    return shutil.disk_usage(folder).free >= ENOUGH * size_bytes


def hold(path: Path, size_bytes: int = BALLAST_BYTES) -> bool:
    """Takes the room, if there is enough; whether it is held."""
    try:
        with suppress(FileNotFoundError):
            if path.stat().st_size == size_bytes:
                return True
        if not has_room(path.parent, size_bytes):
            return False
        _fill(path, size_bytes)
    except OSError:
        # A quota, perhaps; then there is nothing to be held, and nothing may be left half full.
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return False
    return True


def let_go(path: Path) -> bool:
    """Gives the room back; whether there was any. Raises OSError."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _fill(path: Path, size_bytes: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
        if os.fstat(descriptor).st_blocks * 512 < size_bytes:
            # A file system that promises without setting aside, or packs zeros into nothing.
            os.pwrite(descriptor, os.urandom(size_bytes), 0)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
