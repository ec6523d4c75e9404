"""Who may be the daemon of a ledger: a lock that the kernel lets go of when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Held(Exception):
    """Another process holds the lock."""


@contextmanager
def lock(path: Path, *, wait: bool = False, says: bytes | None = None) -> Iterator[None]:
    """Holds `path`'s lock; the file stays, because removing it would let two hold it.

    `says` is written into it, for others to read while it is held.

    Raises:
        Held: another process has it, and `wait` is off.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Held(str(path)) from None
        if says is not None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, says, 0)
        yield
    finally:
        os.close(descriptor)
