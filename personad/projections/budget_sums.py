"""What stands against a budget: what was spent in its scope, and what is held back for calls of
which nobody knows yet what they cost.

A call that is held back counts in every period that goes on meanwhile, whenever it was started: its
bill may fall into any of them, and one that is never settled never expires. So what was spent and
what is held back can't exceed a limit together by the mere passing of midnight.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

import apsw

from personad import civil
from personad.bulk import SUM_MAX
from personad.projections import fresh_sums
from personad.projections.batch_costs import exact_sum
from personad.projections.book import Book
from personad.projections.buckets import Buckets, cover
from personad.projections.cost_sums import COST
from personad.projections.open_calls import OpenCalls
from personad.projections.spent import Period, Spent, keep

PERIODS = ("daily", "weekly", "monthly")

_SUM = exact_sum("iif(outcome = 'unknown', 0, cost_nanousd)")


def _summed(buckets: Buckets, where: str) -> str:
    """SQL for what was spent in quarter-hours of which a condition holds."""
    some = fresh_sums.of_both(COST, buckets, "dim, cost_nanousd", where)
    return f"SELECT {_SUM} FROM {some} JOIN dim ON dim.key = dim"  # noqa: S608 - of ours


_BETWEEN = {
    tier: f"""
SELECT {_SUM} FROM cost_{tier} JOIN dim ON dim.key = dim WHERE bucket >= ?1 AND bucket < ?2
"""  # noqa: S608 - names of ours
    for tier in COST.total.tiers
}
_BETWEEN["quarter"] = _summed(COST.total, "bucket >= ?1 AND bucket < ?2")
_ON_EXPERIMENT = _summed(COST.experiment, "experiment = ?1")
_ON_BATCH = _summed(COST.batch, "batch = ?1")
_EXPERIMENT = "SELECT key FROM experiment WHERE experiment = ?"
_BATCH = "SELECT key FROM batch_key WHERE batch = ?"
_WEEK_START = "SELECT value FROM meta WHERE name = 'week_start'"

_DAY = timedelta(days=1)


class Committed(NamedTuple):
    """Nano-dollars that stand against a budget."""

    spent: int
    reserved: int
    unresolved: int
    period: tuple[int, int] | None = None
    """Its quarter-hours, `first` ≤ q < `end`."""

    @property
    def total(self) -> int:
        return self.spent + self.reserved + self.unresolved


@dataclass(frozen=True, slots=True)
class Accounts:
    """The sums at one moment."""

    db: apsw.Connection
    home: ZoneInfo
    """Whose days are added up."""
    stale: Mapping[str, Set[int]]
    spent: Spent
    held: OpenCalls
    quarter: int
    """The one that it is."""

    def of(self, scope: str, timezone: str) -> Committed | None:
        """What stands against the budget of that scope; None: there is no such scope."""
        kind, _, name = scope.partition(":")
        if scope in PERIODS:
            period = self._period(scope, timezone)
            return Committed(period.nanousd, *self.held.sums(), (period.first, period.end))
        if kind == "experiment":
            spent = self._named(_EXPERIMENT, name, self.spent.experiments, _ON_EXPERIMENT)
        elif kind == "batch":
            spent = self._named(_BATCH, name, self.spent.batches, _ON_BATCH)
        else:
            return None
        return Committed(spent, *self.held.sums(scope))

    def _named(self, numbers: str, name: str, known: dict[int, int], sums: str) -> int:
        row = self.db.execute(numbers, (name,)).fetchone()
        if row is None:
            return 0
        key = int(row[0])
        if key not in known:
            return keep(known, key, int(self.db.execute(sums, (key,)).get))
        return known[key]

    def _period(self, scope: str, timezone: str) -> Period:
        known = self.spent.periods.get((scope, timezone))
        if known is not None and known.first <= self.quarter < known.end:
            return known
        zone = _zone(timezone, self.home)
        first, end = period_of(scope, zone, self.quarter, week_start(self.db))
        pieces = cover(first, end, COST.total.tiers, self.stale, self.home)
        sums = (self.db.execute(_BETWEEN[tier], (low, high)).get for tier, low, high in pieces)
        period = Period(first, end, min(sum(sums), SUM_MAX))
        self.spent.keep_period(scope, timezone, period)
        return period


def accounts(book: Book, now_us: int) -> Accounts:
    """Those of the ledger that is being written."""
    quarter = civil.quarter_of(now_us)
    return Accounts(book.db, book.zone, book.stale, book.spent, book.open_calls, quarter)


def week_start(db: apsw.Connection) -> civil.WeekStart:
    row = db.execute(_WEEK_START).fetchone()
    return cast(civil.WeekStart, str(row[0]) if row else "monday")


def period_of(
    scope: str, zone: ZoneInfo, quarter: int, weeks_begin: civil.WeekStart
) -> tuple[int, int]:
    """The quarter-hours of the day, week or month that a quarter-hour is in, the last excluded."""
    first = day = civil.day_of(quarter, zone)
    following: date = day + _DAY
    if scope == "weekly":
        first = civil.week_of(day, weeks_begin)
        following = first + timedelta(days=7)
    elif scope == "monthly":
        first = day.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    return civil.day_start(first, zone), civil.day_start(following, zone)


def _zone(name: str, home: ZoneInfo) -> ZoneInfo:
    """A system may know fewer zones than the one that a ledger was moved here from."""
    try:
        return civil.find_zone(name)
    except civil.UnknownZone:
        return home
