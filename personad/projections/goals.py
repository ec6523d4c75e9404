"""The quality goals that stand: the newest `goal.set` of each metric, until it is cleared."""

from collections.abc import Sequence

from personad.contract.base import Event
from personad.contract.quality import GoalCleared, GoalSet
from personad.log import Entry
from personad.projections.book import Book

NAME = "goals"
VERSION = 1
SCHEMA = """
CREATE TABLE goal (
  metric TEXT PRIMARY KEY,
  target INTEGER NOT NULL,            -- × 10⁴
  set_at INTEGER NOT NULL,
  seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
TABLES: tuple[str, ...] = ("goal",)
WANTS: tuple[type[Event], ...] = (GoalSet, GoalCleared)

_SET = "INSERT OR REPLACE INTO goal VALUES (?, ?, ?, ?)"
_CLEAR = "DELETE FROM goal WHERE metric = ?"


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit."""
    for seq, at, event, _ in entries:
        if isinstance(event, GoalSet):
            book.db.execute(_SET, (event.metric, round(event.target * 10_000), at, seq))
        else:
            assert isinstance(event, GoalCleared)
            book.db.execute(_CLEAR, (event.metric,))
    return []
