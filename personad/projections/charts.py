"""Where each model's scores stand, and whether they have dropped: led on by each score as it comes,
in the order of the log.

A chart is folded once per event, whatever is folded again: it remembers the newest that it knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

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
_KEPT = 10_000


@dataclass(slots=True)
class State:
    """Of one series."""

    series: int
    seq: int
    first_at: int
    level: Level
    chart: Chart | None
    """None: no composite."""
    dropped_by: UUID | None = None


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit."""
    places: dict[tuple[str, str, str], dict[str, State]] = {}
    for seq, at, event, _ in entries:
        assert isinstance(event, QualityScored)
        place = event.provider, event.model, event.scorer
        states = places.get(place)
        if states is None:
            states = places[place] = {}
        for metric, score in {**event.scores, COMPOSITE: event.composite}.items():
            state = states.get(metric)
            if state is None:
                series = book.names.series(("score", metric, *place))
                state = states[metric] = find(book, series, metric) or _new(book, series, metric)
            if seq > state.seq:
                _take(state, seq, at, round(score * _UNIT), event.id)
    found = [state for states in places.values() for state in states.values()]
    book.db.executemany(_PUT_LEVEL, map(_level_row, found))
    charts = [_chart_row(state, state.chart) for state in found if state.chart is not None]
    book.db.executemany(_PUT_CHART, charts)
    return []


def _new(book: Book, series: int, metric: str) -> State:
    chart = Chart() if metric == COMPOSITE else None
    # Later than any time: the first score is the earliest so far.
    return _keep(book, State(series, 0, 2**62, Level(), chart))


def _take(state: State, seq: int, at: int, score: int, cause: UUID) -> None:
    state.seq = seq
    if at < state.first_at:
        state.first_at = at
    level = state.level
    level.take(score)
    chart = state.chart
    if chart is None:
        return
    if chart.take(score, level.mean):
        state.dropped_by = cause
    elif chart.side >= 0:
        state.dropped_by = None


def find(book: Book, series: int, metric: str) -> State | None:
    """The state of a series; None: it has no scores yet."""
    known = book.charts.get(series)
    if known is not None:
        return known
    row = book.db.execute(_LEVEL, (series,)).fetchone()
    if row is None:
        return None
    seq, first_at, points, mean = row
    state = State(series, seq, first_at, Level(points, mean), None)
    found = book.db.execute(_CHART, (series,)).fetchone() if metric == COMPOSITE else None
    if found is not None:
        baseline, waiting, block = (Sums(*found[place : place + 4]) for place in (2, 6, 10))
        state.chart = Chart(baseline, waiting, block, found[14], found[15])
        state.dropped_by = None if found[16] is None else UUID(bytes=bytes(found[16]))
    return _keep(book, state)


def _keep(book: Book, state: State) -> State:
    if len(book.charts) >= _KEPT:
        book.charts.clear()
    book.charts[state.series] = state
    return state


def _level_row(state: State) -> tuple[int | float, ...]:
    return state.series, state.seq, state.first_at, state.level.points, state.level.mean


def _chart_row(state: State, chart: Chart) -> tuple[int | bytes | None, ...]:
    parts = (chart.baseline, chart.waiting, chart.block)
    sums = [(each.n, each.total, each.squares, each.cubes) for each in parts]
    cause = None if state.dropped_by is None else state.dropped_by.bytes
    return (state.series, state.first_at, *sum(sums, ()), chart.side, chart.out, cause)
