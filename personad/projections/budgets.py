"""The budgets that stand: the newest `budget.set` of each scope, until it is cleared."""

from collections.abc import Sequence

import msgspec

from personad.contract.base import Event
from personad.contract.budget import BudgetCleared, BudgetSet
from personad.log import Entry
from personad.projections.book import Book

NAME = "budgets"
VERSION = 1
SCHEMA = """
CREATE TABLE budget (
  scope TEXT PRIMARY KEY,
  limit_nanousd INTEGER NOT NULL,
  action TEXT NOT NULL,
  thresholds TEXT NOT NULL,           -- JSON array of percents
  timezone TEXT NOT NULL,
  set_at INTEGER NOT NULL,
  seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
TABLES: tuple[str, ...] = ("budget",)
WANTS: tuple[type[Event], ...] = (BudgetSet, BudgetCleared)

_SET = "INSERT OR REPLACE INTO budget VALUES (?, ?, ?, ?, ?, ?, ?)"
_CLEAR = "DELETE FROM budget WHERE scope = ?"


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit."""
    for seq, at, event, _ in entries:
        if isinstance(event, BudgetSet):
            thresholds = msgspec.json.encode(event.thresholds).decode()
            values = (event.scope, event.limit_nanousd, event.action, thresholds, event.timezone)
            book.db.execute(_SET, (*values, at, seq))
        else:
            assert isinstance(event, BudgetCleared)
            book.db.execute(_CLEAR, (event.scope,))
    return []
