"""Who may be the daemon of a ledger: a lock that the kernel lets go of when its holder dies."""

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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
