"""What is left of each budget."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import apsw
import msgspec

from personad import civil
from personad.bulk import SUM_MAX
from personad.contract.budget import (
    Action,
    Budget,
    BudgetState,
    BudgetStatus,
    BudgetStatusReply,
)
from personad.kinds import microseconds, moment_of
from personad.projections.book import stale_days
from personad.projections.budget_sums import PERIODS, Accounts, Committed
from personad.projections.open_calls import OpenCalls
from personad.projections.spent import Spent

_SET = "SELECT scope, limit_nanousd, action, thresholds, timezone FROM budget"
_OF_BATCHES = """
SELECT 'batch:' || batch, budget_nanousd, iif(stop_on_budget, 'stop', 'warn'), '[80,100]', NULL
FROM batch WHERE budget_nanousd > 0
  AND status IN ('queued', 'running', 'pausing', 'paused', 'interrupted')
ORDER BY started_at
"""
_BATCH = """
SELECT total, completed, estimate_nanousd FROM batch WHERE batch = ?
"""
_COUNT_UNRESOLVED = "SELECT count(*) FROM open_call WHERE state = 'unresolved'"
_ZONE = "SELECT value FROM meta WHERE name = 'timezone'"

LEAST_US = 3_600_000_000
"""A pace is taken over an hour at least: the first minutes of a period tell nothing."""


class _Row(NamedTuple):
    scope: str
    limit: int
    action: Action
    thresholds: str
    timezone: str | None


def accounts_at(db: apsw.Connection, now: datetime) -> Accounts:
    """Those of a ledger that is only read."""
    zone = civil.find_zone(str(db.execute(_ZONE).get or "UTC"))
    stale = {tier: stale_days(db, tier) for tier in ("hour", "day")}
    quarter = civil.quarter_of(microseconds(now))
    return Accounts(db, zone, stale, Spent(), OpenCalls(db), quarter)


def status(db: apsw.Connection, request: BudgetStatus, now: datetime) -> BudgetStatusReply:
    accounts, now_us = accounts_at(db, now), microseconds(now)
    standing = sorted((_Row(*row) for row in db.execute(_SET)), key=_place)
    named = {row.scope for row in standing}
    own = [row for each in db.execute(_OF_BATCHES) if (row := _Row(*each)).scope not in named]
    found = [_budget(accounts, row, now_us) for row in (*standing, *own)]
    return BudgetStatusReply(
        budgets=[budget for budget in found if budget is not None],
        unresolved_calls=int(db.execute(_COUNT_UNRESOLVED).get),
        timezone=accounts.home.key,
    )


def _place(row: _Row) -> tuple[int, str]:
    """Days, weeks and months first."""
    return PERIODS.index(row.scope) if row.scope in PERIODS else len(PERIODS), row.scope


def _budget(accounts: Accounts, row: _Row, now_us: int) -> Budget | None:
    committed = accounts.of(row.scope, row.timezone or accounts.home.key)
    if committed is None:
        return None
    thresholds: list[int] = msgspec.json.decode(row.thresholds, type=list[int])
    period = committed.period
    return Budget(
        scope=row.scope,
        limit_nanousd=row.limit,
        spent_nanousd=committed.spent,
        reserved_nanousd=committed.reserved,
        unresolved_nanousd=committed.unresolved,
        used=committed.total / row.limit,
        projected_nanousd=_projected(accounts.db, row.scope, committed, now_us),
        action=row.action,
        thresholds=thresholds,
        status=_state(committed.total, row.limit, thresholds),
        timezone=row.timezone,
        since=moment_of(period[0] * civil.QUARTER_US) if period else None,
        until=moment_of(period[1] * civil.QUARTER_US) if period else None,
        exhausted_at=_exhausted(committed, row.limit, now_us),
    )


def _exhausted(committed: Committed, limit: int, now_us: int) -> datetime | None:
    """When the limit is reached, if it goes on as before."""
    if committed.period is None or not 0 < committed.spent < limit:
        return None
    first_us, end_us, gone_us = _gone(committed.period, now_us)
    # Rounded up: a moment before it nothing was reached yet.
    reached_us = first_us - (-limit * gone_us // committed.spent)
    return moment_of(reached_us) if reached_us < end_us else None


def _gone(period: tuple[int, int], now_us: int) -> tuple[int, int, int]:
    """The beginning and the end of a period, and how much of it has gone by."""
    first_us, end_us = (quarter * civil.QUARTER_US for quarter in period)
    return first_us, end_us, min(max(now_us - first_us, LEAST_US), end_us - first_us)


def _state(total: int, limit: int, thresholds: Sequence[int]) -> BudgetState:
    if total >= limit:
        return "reached"
    is_past_one = any(total * 100 >= limit * percent for percent in thresholds)
    return "warning" if is_past_one else "ok"


def _projected(db: apsw.Connection, scope: str, committed: Committed, now_us: int) -> int | None:
    """What will have been spent at the end, if it goes on as before."""
    spent = committed.spent
    if committed.period is not None:
        first_us, end_us, gone_us = _gone(committed.period, now_us)
        return min(spent * (end_us - first_us) // gone_us, SUM_MAX)
    kind, _, name = scope.partition(":")
    if kind != "batch":
        return None
    row = db.execute(_BATCH, (name,)).fetchone()
    total, completed, estimate = row or (0, 0, None)
    return min(spent * total // completed, SUM_MAX) if completed else estimate
