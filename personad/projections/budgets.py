"""The budgets that stand: the newest `budget.set` of each scope, until it is cleared."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from personad.civil import UnknownZone, find_zone
from personad.contract.base import Event
from personad.contract.budget import BudgetCleared, BudgetSet
from personad.contract.errors import LedgerError
from personad.log import Entry
from personad.projections.book import Book
from personad.projections.budget_sums import PERIODS

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

_FORMS = "write daily, weekly, monthly, experiment:NAME or batch:ID"
_SET = "INSERT OR REPLACE INTO budget VALUES (?, ?, ?, ?, ?, ?, ?)"
_CLEAR = "DELETE FROM budget WHERE scope = ?"


def check(event: BudgetSet | BudgetCleared, where: str) -> None:
    """Refuses a budget that could never hold; `where` is the event's place in the request.

    Raises:
        LedgerError: `invalid`, naming the field.
    """
    kind, _, name = event.scope.partition(":")
    if event.scope not in PERIODS and not (kind in ("experiment", "batch") and name):
        raise LedgerError(
            "invalid", f"{event.scope!r} is no scope", field=f"{where}.scope", hint=_FORMS
        )
    if isinstance(event, BudgetCleared):
        return
    if any(after <= before for before, after in pairwise(event.thresholds)):
        raise LedgerError(
            "invalid", "thresholds must ascend: 50, 80, 100", field=f"{where}.thresholds"
        )
    try:
        find_zone(event.timezone)
    except UnknownZone as error:
        raise LedgerError("invalid", str(error), field=f"{where}.timezone") from None


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit."""
    book.cost_alerts_off = None
    for seq, at, event, _ in entries:
        if isinstance(event, BudgetSet):
            thresholds = msgspec.json.encode(event.thresholds).decode()
            values = (event.scope, event.limit_nanousd, event.action, thresholds, event.timezone)
            book.db.execute(_SET, (*values, at, seq))
        else:
            assert isinstance(event, BudgetCleared)
            book.db.execute(_CLEAR, (event.scope,))
    return []
