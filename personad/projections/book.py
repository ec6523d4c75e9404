"""A database while events are folded into it, and what is remembered of it from one transaction to
the next, so that it needn't be asked again.

One thread uses a book, the one that writes. Memory is only ever a copy of what the database holds:
`forget` it where a transaction is taken back, and all is as the database says.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import apsw

from personad import civil
from personad.log import Entry, entry
from personad.names import Names
from personad.pricing import PriceBook
from personad.projections.batch_rows import Rows
from personad.projections.call_passing import Passing
from personad.projections.counted import Counted
from personad.projections.open_calls import OpenCalls
from personad.projections.persona_costs import PersonaCosts
from personad.projections.spent import Spent

if TYPE_CHECKING:
    from personad.projections.charts import State

SCHEMA = """
-- Hours and days whose sums are no longer those of their quarter-hours: they are not read.
CREATE TABLE stale (
  tier TEXT NOT NULL CHECK (tier IN ('hour', 'day')),
  day INTEGER NOT NULL,               -- since 1970; for hours in UTC, for days in the ledger's zone
  PRIMARY KEY (tier, day)
) STRICT, WITHOUT ROWID;
"""
_STALE = "INSERT OR IGNORE INTO stale (tier, day) VALUES (?, ?)"
_FRESH = "DELETE FROM stale WHERE tier = ? AND day = ?"
_STALE_DAYS = "SELECT day FROM stale WHERE tier = ?"

QUARTERS_A_DAY = 96
_EPOCH = date(1970, 1, 1)
_KEPT_DAYS = 10_000


@dataclass(slots=True)
class Known:
    """The numbers of a kind of calls."""

    place: tuple[int, int | None, int | None]
    """Of the kind itself, its experiment and its batch."""
    durations: int | None = None
    """Of the series of how long they took; None: not known yet. Likewise the next."""
    firsts: int | None = None
    """Of how long until their first token."""


class Book:
    """What folds write into."""

    def __init__(
        self,
        db: apsw.Connection,
        zone: ZoneInfo,
        *,
        past: Callable[[int], Entry | None] | None = None,
    ) -> None:
        """`past` gives an event of the log by its seq; it is this database's own log unless said
        otherwise."""
        self.db = db
        self.zone = zone
        self.past = past or (lambda seq: entry(db, seq))
        self.since = 0
        """The newest seq before this commit."""
        self.passing = Passing()
        """What was committed lately, for `call_places`."""
        self.touched: set[tuple[str, int]] = set()
        """Tiers and days that something happened to; whoever adds them up anew empties it."""
        self.forget()

    def forget(self) -> None:
        self.names = Names(self.db)
        self.rows = Rows(self.db)
        self._stale: dict[str, set[int]] | None = None
        self._open_calls: OpenCalls | None = None
        self._counted: Counted | None = None
        self._persona_costs: PersonaCosts | None = None
        self.fresh_sums: dict[str, tuple[int, int]] = {}
        """How much waits to be brought into a family's tables, by its name; see there."""
        self.kinds: dict[tuple[str | None, ...], Known] = {}
        """Of kinds of calls, by what they are called; see `cost_sums`."""
        self._days: dict[int, int] = {}
        self.spent = Spent()
        self.charts: dict[int, State] = {}
        """Where scores stand, by the series' number."""
        self.prices: PriceBook | None = None
        """None: to be read anew."""
        self.takes_all: bool | None = None
        """Whether no event is too old for the log; None: to be asked anew."""
        self.cost_alerts_off: bool | None = None
        """Whether no budget is to be told of; None: to be asked anew."""

    def begin(self, since: int) -> None:
        """A fold of a transaction whose events come after `since`."""
        self.since = since
        self.rows.begin(since)

    @property
    def open_calls(self) -> OpenCalls:
        """Calls that were granted or sent, and that nothing has settled."""
        if self._open_calls is None:
            self._open_calls = OpenCalls(self.db)
        return self._open_calls

    @property
    def counted(self) -> Counted:
        """Which figure counts for each call."""
        if self._counted is None:
            self._counted = Counted(self.db)
        return self._counted

    @property
    def persona_costs(self) -> PersonaCosts:
        """What the calls for each persona cost."""
        if self._persona_costs is None:
            self._persona_costs = PersonaCosts(self.db)
        return self._persona_costs

    @property
    def stale(self) -> dict[str, set[int]]:
        """The stale days of each tier."""
        if self._stale is None:
            self._stale = {tier: stale_days(self.db, tier) for tier in ("hour", "day")}
        return self._stale

    def touch(self, quarters: Iterable[int]) -> None:
        """The sums of these quarter-hours have changed: what was added up over them is stale."""
        for quarter in set(quarters):
            for tier, day in (("hour", quarter // QUARTERS_A_DAY), ("day", self.day_of(quarter))):
                self.touched.add((tier, day))
                if day not in self.stale[tier]:
                    self.db.execute(_STALE, (tier, day))
                    self.stale[tier].add(day)

    def freshen(self, tier: str, day: int) -> None:
        """The day was added up anew."""
        self.db.execute(_FRESH, (tier, day))
        self.stale[tier].discard(day)

    def day_of(self, quarter: int) -> int:
        """The civil day of a quarter-hour in the ledger's zone, since 1970."""
        if (day := self._days.get(quarter)) is None:
            if len(self._days) >= _KEPT_DAYS:
                self._days.clear()
            day = self._days[quarter] = day_number(civil.day_of(quarter, self.zone))
        return day


def stale_days(db: apsw.Connection, tier: str) -> set[int]:
    return {day for (day,) in db.execute(_STALE_DAYS, (tier,))}


def day_number(day: date) -> int:
    return (day - _EPOCH).days


def day_named(number: int) -> date:
    return _EPOCH + timedelta(days=number)
