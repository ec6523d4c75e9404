"""How the C library keeps memory that was freed: large blocks go back to the system at once.

Left alone, glibc takes the first large message as a sign that such blocks are usual, and from then
on keeps them. After a few messages of 16 MiB an idle daemon then held 120 MiB instead of 40.
"""

import ctypes

LARGE_BYTES = 1 << 20
"""More than a usual append, so that those needn't be mapped anew each time."""

_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h; setting it also ends its adapting to what was freed."""


def give_back_large_blocks() -> bool:
    """Whether the C library has such a switch, and took it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) == 1
