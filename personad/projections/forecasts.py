"""The forecasts that were shown, to be held against what came."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import accumulate

import apsw
import msgspec

from personad.contract.base import Event
from personad.contract.budget import ForecastRecorded
from personad.contract.forecast import ForecastRecord
from personad.log import Entry
from personad.projections.book import Book

NAME = "forecasts"
VERSION = 1
SCHEMA = """
CREATE TABLE forecast (
  filters TEXT NOT NULL,              -- as JSON, names in order
  timezone TEXT NOT NULL,             -- '': not said
  as_of TEXT NOT NULL,                -- a day; the first that is forecast is the next one
  horizon_days INTEGER NOT NULL,
  level INTEGER NOT NULL,
  expected INTEGER NOT NULL,
  low INTEGER,                        -- NULL: no interval was given
  high INTEGER,
  seq INTEGER NOT NULL,
  PRIMARY KEY (filters, timezone, as_of, horizon_days)
) STRICT, WITHOUT ROWID;
"""
TABLES: tuple[str, ...] = ("forecast",)
WANTS: tuple[type[Event], ...] = (ForecastRecorded,)

_ADD = "INSERT INTO forecast VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_PAST = """
SELECT as_of, horizon_days, level, low, high FROM forecast
WHERE filters = ? AND timezone = ? AND as_of >= ? AND as_of < ?
  AND low IS NOT NULL AND high IS NOT NULL
"""


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; gives those that don't fit, by seq, with the reason."""
    anomalies = []
    for seq, _, event, _ in entries:
        assert isinstance(event, ForecastRecorded)
        if not _is_day(event.as_of):
            anomalies.append((seq, f"there is no day {event.as_of}"))
            continue
        asked = (text_of(event.filters), event.timezone or "", event.as_of, event.horizon_days)
        told = (event.level, event.expected_nanousd, event.low_nanousd, event.high_nanousd)
        book.db.execute(_ADD, (*asked, *told, seq))
    return anomalies


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def text_of(filters: Mapping[str, Sequence[str]]) -> str:
    """One text for filters that leave out the same."""
    kept = {name: sorted(set(values)) for name, values in filters.items() if values}
    return msgspec.json.encode(kept, order="sorted").decode()


def record(
    db: apsw.Connection,
    filters: Mapping[str, Sequence[str]],
    timezone: str,
    days: Mapping[date, int],
) -> ForecastRecord:
    """How often what came was inside past forecasts of the same, of those that are over.

    `days` are the costs of whole days, in their order: what reaches beyond them is not over, or too
    long ago.
    """
    if not days:
        return ForecastRecord(forecasts=0, hit_rate=None, level=None)
    dates = list(map(str, days))
    sums = [0, *accumulate(days.values())]
    before = str(next(iter(days)) - timedelta(days=1))
    hits, levels = 0, []
    for as_of, horizon, level, low, high in db.execute(
        _PAST, (text_of(filters), timezone, before, dates[-1])
    ):
        begin = bisect_right(dates, as_of)
        if begin + horizon >= len(sums):
            continue
        levels.append(level)
        hits += low <= sums[begin + horizon] - sums[begin] <= high
    if not levels:
        return ForecastRecord(forecasts=0, hit_rate=None, level=None)
    return ForecastRecord(
        forecasts=len(levels),
        hit_rate=hits / len(levels),
        level=round(sum(levels) / len(levels)),
    )
