"""What the ledger said that never changes, remembered so that it needn't be asked again: by each
reader for itself, or by several of one ledger together."""

from typing import Any
from weakref import WeakKeyDictionary

import apsw

MOST = 30_000
"""Of each kind, where nothing else is said."""


class Memory:
    """Any thread may read what is in one of these, and put more into it; none is ever emptied, but
    exchanged for a new one, so that who is reading it needn't heed others."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[int, Any]] = {}

    def known(self, kind: str, more: int, most: int | None = None) -> dict[int, Any]:
        """What is known of a kind, by number, with room for so many that may not be in it yet."""
        found = self._kinds.get(kind)
        if found is None or len(found) + more > (MOST if most is None else most):
            found = self._kinds[kind] = {}
        return found


_MEMORIES: WeakKeyDictionary[apsw.Connection, Memory] = WeakKeyDictionary()


def memory_of(db: apsw.Connection) -> Memory:
    return _MEMORIES.setdefault(db, Memory())


def share(db: apsw.Connection, memory: Memory) -> None:
    """From now on this connection remembers together with others of the same ledger."""
    _MEMORIES[db] = memory
