"""Chance from the system, fetched in advance.

Each time that the system is asked for some, other threads are let in: in a runner that makes a
dozen ids a call, waiting for one's turn again takes longer than all the rest of making them.
"""

import os
import struct
from collections.abc import Iterator

_AT_ONCE = 512
_numbers: Iterator[tuple[int, ...]] = iter(())


def bits64() -> int:
    """64 bits that nobody can foretell and no other thread or process gets."""
    global _numbers
    while True:
        # One step of it is one step for all threads.
        found = next(_numbers, None)
        if found is not None:
            return found[0]
        _numbers = struct.iter_unpack("=Q", os.urandom(8 * _AT_ONCE))


def _forget() -> None:
    """What a child would share with its parent."""
    global _numbers
    _numbers = iter(())


os.register_at_fork(after_in_child=_forget)
