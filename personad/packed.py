"""Columns of whole numbers in few bytes, which numpy reads without looking at each.

All numbers of a column take the same 1, 2, 4 or 8 bytes, as few as the greatest needs, the lowest
byte first, and 8 where one is below zero; a column of zeros takes none. So how many there are has
to be known beside it.
"""

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CODES = ((1 << 8, "B"), (1 << 16, "H"), (1 << 32, "I"))
_TYPES = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}


def packed(column: Sequence[int]) -> bytes:
    """Of numbers of 63 bits and a sign; raises struct.error for others."""
    least, most = min(column, default=0), max(column, default=0)
    if least == most == 0:
        return b""
    code = "q" if least < 0 else next((code for limit, code in _CODES if most < limit), "q")
    return struct.pack(f"<{len(column)}{code}", *column)


def unpacked(count: int, data: bytes) -> "NDArray[np.integer]":
    """The numbers again, in the type that they lie in; raises ValueError for other bytes."""
    import numpy as np  # a daemon starts without it

    if not data:
        return np.zeros(count, "<u1")
    width, rest = divmod(len(data), count or 1)
    if rest or width not in _TYPES:
        raise ValueError(f"{len(data)} bytes are not a column of {count} numbers")
    return np.frombuffer(data, _TYPES[width])
