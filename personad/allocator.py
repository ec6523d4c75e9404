"""Memory of a process that stays.

How the C library keeps what was freed: large blocks go back to the system at once.

Left alone, glibc takes the first large message as a sign that such blocks are usual, and from then
on keeps them. After a few messages of 16 MiB an idle daemon then held 120 MiB instead of 40.
"""

import ctypes
import gc

LARGE_BYTES = 1 << 20
"""More than a usual append, so that those needn't be mapped anew each time."""

KEPT_BYTES = 4 << 20
"""So much of what was freed is kept for the next append: each page that comes anew costs as much as
half an event."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h; setting them also ends its adapting to what was freed."""


GC_AFTER = 50_000
"""Objects made and not yet gone before cycles are looked for; the usual 700 cost a third of all
time under full ingest."""


def settle() -> None:
    """What was loaded stays; and requests make no cycles, so there is little to look for."""
    give_back_large_blocks()
    gc.freeze()
    gc.set_threshold(GC_AFTER, 50, 100)


def give_back_large_blocks() -> bool:
    """Whether the C library has such a switch, and took it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) != 1:
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES) == 1)
