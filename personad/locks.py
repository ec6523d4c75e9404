"""Who may be the daemon of a ledger: a lock that the kernel lets go of when its holder dies."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY_S = 0.005


class Held(Exception):
    """Another process holds the lock."""


@contextmanager
def lock(path: Path, *, wait_s: float = 0.0, says: bytes | None = None) -> Iterator[None]:
    """Holds `path`'s lock; the file stays, because removing it would let two hold it.

    `says` is written into it, for others to read while it is held.

    Raises:
        Held: another process still has it after `wait_s` seconds.
    """
    descriptor = _opened(path, to_write=says is not None)
    try:
        until = time.monotonic() + wait_s
        while not _taken(descriptor):
            if time.monotonic() >= until:
                raise Held(str(path))
            time.sleep(_LOOK_EVERY_S)
        if says is not None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, says, 0)
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path, *, to_write: bool) -> int:
    """Raises OSError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # A disk that has become read-only must not keep anybody from seeing who holds the lock.
        if error.errno != errno.EROFS or to_write:
            raise
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
