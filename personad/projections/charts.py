"""Where each model's scores stand, and whether they have dropped: led on by each score as it comes,
in the order of the log.

A chart is folded once per event, whatever is folded again: it remembers the newest that it knows.
"""

from collections import defaultdict
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
    places: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        event = entry[2]
        assert isinstance(event, QualityScored)
        places[event.provider, event.model, event.scorer].append(entry)
    found: list[State] = []
    for place, scored in places.items():
        for metric, (some, scores) in _by_metric(scored).items():
            series = book.names.series(("score", metric, *place))
            state = find(book, series, metric) or _new(book, series, metric)
            if some[0][0] <= state.seq:
                new = [pair for pair in zip(some, scores, strict=True) if pair[0][0] > state.seq]
                some, scores = [entry for entry, _ in new], [score for _, score in new]
            if some:
                _lead_on(state, some, [round(score * _UNIT) for score in scores])
            found.append(state)
    book.db.executemany(_PUT_LEVEL, map(_level_row, found))
    charts = [_chart_row(state, state.chart) for state in found if state.chart is not None]
    book.db.executemany(_PUT_CHART, charts)
    return []


def _by_metric(entries: list[Entry]) -> dict[str, tuple[list[Entry], Sequence[float]]]:
    """The scores of each metric, and in which events they are."""
    events: list[QualityScored] = [entry[2] for entry in entries]  # type: ignore[misc]
    maps = [event.scores for event in events]
    found: dict[str, tuple[list[Entry], Sequence[float]]] = {}
    orders = set(map(tuple, maps))
    if len(orders) == 1:
        # Nearly always all have the same metrics, and columns need no look at each score.
        columns = zip(*[scores.values() for scores in maps], strict=True)
        found = {metric: (entries, each) for metric, each in zip(*orders, columns, strict=True)}
    else:
        lists: dict[str, tuple[list[Entry], list[float]]] = defaultdict(lambda: ([], []))
        for entry, scores in zip(entries, maps, strict=True):
            for metric, score in scores.items():
                of_metric = lists[metric]
                of_metric[0].append(entry)
                of_metric[1].append(score)
        found.update(lists)
    # It may have been said among the others, too.
    found[COMPOSITE] = entries, [event.composite for event in events]
    return found


def _new(book: Book, series: int, metric: str) -> State:
    chart = Chart() if metric == COMPOSITE else None
    # Later than any time: the first score is the earliest so far.
    return _keep(book, State(series, 0, 2**62, Level(), chart))


def _lead_on(state: State, entries: Sequence[Entry], scores: Sequence[int]) -> None:
    """Takes the scores of these events, which are newer than what it knows."""
    state.seq = entries[-1][0]
    state.first_at = min(state.first_at, min([entry[1] for entry in entries]))
    level, chart = state.level, state.chart
    if chart is None:
        level.take_all(scores)
        return
    for entry, score in zip(entries, scores, strict=True):
        level.take(score)
        if chart.take(score, level.mean):
            state.dropped_by = entry[2].id
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
