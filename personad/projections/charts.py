"""Where each model's scores stand, and whether they have dropped: led on by each score as it comes,
in the order of the log.

A chart is folded once per event, whatever is folded again: it remembers the newest that it knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import apsw

from personad.analytics.drift import Chart, Level, Sums
from personad.contract.base import Event
from personad.contract.quality import QualityScored
from personad.log import Entry
from personad.projections.book import Book
from personad.projections.quality import COMPOSITE

NAME = "charts"
VERSION = 1
SCHEMA = """
CREATE TABLE score_level (
  series INTEGER PRIMARY KEY REFERENCES series (key),
  seq INTEGER NOT NULL,               -- the newest score in it
  first_at INTEGER NOT NULL,          -- the earliest: microseconds since 1970
  points INTEGER NOT NULL,
  mean REAL NOT NULL                  -- weighted; × 10⁴
) STRICT;

-- Of composites only. Sums are of scores × 10⁴.
CREATE TABLE score_chart (
  series INTEGER PRIMARY KEY REFERENCES series (key),
  first_at INTEGER NOT NULL,
  n INTEGER NOT NULL,
  total INTEGER NOT NULL,
  squares INTEGER NOT NULL,
  cubes INTEGER NOT NULL,
  waiting_n INTEGER NOT NULL,
  waiting_total INTEGER NOT NULL,
  waiting_squares INTEGER NOT NULL,
  waiting_cubes INTEGER NOT NULL,
  block_n INTEGER NOT NULL,
  block_total INTEGER NOT NULL,
  block_squares INTEGER NOT NULL,
  block_cubes INTEGER NOT NULL,
  side INTEGER NOT NULL,
  out INTEGER NOT NULL,
  dropped_by BLOB                     -- id of the score that it dropped with; NULL: it hasn't
) STRICT;
"""
TABLES: tuple[str, ...] = ("score_level", "score_chart")
WANTS: tuple[type[Event], ...] = (QualityScored,)

_LEVEL = "SELECT seq, first_at, points, mean FROM score_level WHERE series = ?"
_CHART = "SELECT * FROM score_chart WHERE series = ?"
_PUT_LEVEL = "INSERT OR REPLACE INTO score_level VALUES (?, ?, ?, ?, ?)"
_PUT_CHART = f"INSERT OR REPLACE INTO score_chart VALUES ({', '.join('?' * 17)})"  # noqa: S608 - places
_UNIT = 10_000


@dataclass(slots=True)
class State:
    """Of one series."""

    seq: int
    first_at: int
    level: Level
    chart: Chart | None
    """None: no composite."""
    dropped_by: UUID | None = None


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit."""
    states: dict[int, State] = {}
    series_of = book.names.series
    for seq, at, event, _ in entries:
        assert isinstance(event, QualityScored)
        by = event.provider, event.model, event.scorer
        for metric, score in {**event.scores, COMPOSITE: event.composite}.items():
            key = series_of(("score", metric, *by))
            state = states.get(key)
            if state is None:
                state = load(book.db, key, has_chart=metric == COMPOSITE)
                state = states[key] = state or State(0, at, Level(), None)
                if state.chart is None and metric == COMPOSITE:
                    state.chart = Chart()
            if seq > state.seq:
                _take(state, seq, at, round(score * _UNIT), event.id)
    book.db.executemany(_PUT_LEVEL, [_level_row(key, state) for key, state in states.items()])
    charts = [(key, state) for key, state in states.items() if state.chart is not None]
    book.db.executemany(_PUT_CHART, [_chart_row(key, state) for key, state in charts])
    return []


def _take(state: State, seq: int, at: int, score: int, cause: UUID) -> None:
    state.seq = seq
    state.first_at = min(state.first_at, at)
    state.level.take(score)
    if state.chart is None:
        return
    if state.chart.take(score, state.level.mean):
        state.dropped_by = cause
    elif state.chart.side >= 0:
        state.dropped_by = None


def load(db: apsw.Connection, series: int, *, has_chart: bool) -> State | None:
    """The state of a series; None: it has no scores yet."""
    row = db.execute(_LEVEL, (series,)).fetchone()
    if row is None:
        return None
    seq, first_at, points, mean = row
    state = State(seq, first_at, Level(points, mean), None)
    found = db.execute(_CHART, (series,)).fetchone() if has_chart else None
    if found is not None:
        baseline, waiting, block = (Sums(*found[place : place + 4]) for place in (2, 6, 10))
        state.chart = Chart(baseline, waiting, block, found[14], found[15])
        state.dropped_by = None if found[16] is None else UUID(bytes=bytes(found[16]))
    return state


def _level_row(series: int, state: State) -> tuple[int | float, ...]:
    return series, state.seq, state.first_at, state.level.points, state.level.mean


def _chart_row(series: int, state: State) -> tuple[int | bytes | None, ...]:
    chart = state.chart
    assert chart is not None
    parts = (chart.baseline, chart.waiting, chart.block)
    sums = [(each.n, each.total, each.squares, each.cubes) for each in parts]
    cause = None if state.dropped_by is None else state.dropped_by.bytes
    return (series, state.first_at, *sum(sums, ()), chart.side, chart.out, cause)
