"""Charts of letters: columns over time, on any terminal and in a pipe.

Each value has a column; where there are more values than cells, neighbours share one. Eighths of a
block make a chart of 8 lines tell 64 heights apart.
"""

from collections.abc import Sequence
from statistics import fmean

from .tables import Chart

EIGHTHS = " ▁▂▃▄▅▆▇█"
LINES = 8
_LEAST_CELLS = 10
_MOST_BAR_CELLS = 6


def columns(chart: Chart, width: int) -> str:
    """The chart, in lines of at most `width` cells."""
    known = [value for value in chart.values if value is not None]
    if not known:
        return ""
    low, high = _range(known, chart)
    # Of what is all nothing, no height is above it.
    labels = [chart.amount(high) if any(known) else "", chart.amount(low)]
    gutter = max(len(label) for label in labels) + 1
    cells = max(_LEAST_CELLS, width - gutter - 1)
    places, bar = _places(len(chart.values), cells)
    heights = [_height(chart.values, place, low, high) for place in places]
    lines = [chart.title]
    for line in range(LINES, 0, -1):
        label = {LINES: labels[0], 1: labels[1]}.get(line, "")
        row = "".join(_cell(height, line) * bar + _gap(bar) for height in heights)
        lines.append(f"{label:>{gutter - 1}} ┤{row}".rstrip())
    lines.append(" " * (gutter + 1) + _below(chart, (bar + len(_gap(bar))) * len(places)))
    if chart.marked:
        lines.append(" " * (gutter + 1) + _marks(chart, places, bar).rstrip())
    return "\n".join(lines)


def _range(known: Sequence[float], chart: Chart) -> tuple[float, float]:
    high = max(known)
    least = min(known)
    # Of what is always the same, or was only once, half is seen: it has no height of its own.
    span = (high - least) * 0.25 or abs(least) * 0.5
    low = 0.0 if chart.from_zero else least - span
    # What is never negative has no negative line.
    low = max(low, min(least, 0.0))
    return (low, high) if high > low else (low, low + 1)


def _places(count: int, cells: int) -> tuple[list[range], int]:
    """Which values share a column, and how many cells a column takes."""
    if count <= cells:
        bar = max(1, min(_MOST_BAR_CELLS, cells // count - 1))
        if (bar + len(_gap(bar))) * count > cells:
            bar = 1
        return [range(index, index + 1) for index in range(count)], bar
    edges = [round(index * count / cells) for index in range(cells + 1)]
    return [range(edges[index], edges[index + 1]) for index in range(cells)], 1


def _gap(bar: int) -> str:
    return " " if bar > 1 else ""


def _height(values: Sequence[float | None], place: range, low: float, high: float) -> int:
    """In eighths of a line; something that is not nothing is seen."""
    known = [value for value in (values[index] for index in place) if value is not None]
    if not known:
        return 0
    mean = fmean(known)
    eighths = round((mean - low) / (high - low) * LINES * 8)
    return max(eighths, 1 if mean > low else 0)


def _cell(eighths: int, line: int) -> str:
    return EIGHTHS[max(0, min(8, eighths - (line - 1) * 8))]


def _below(chart: Chart, width: int) -> str:
    room = width - len(chart.first) - len(chart.last)
    if len(chart.values) == 1 or room < 1:
        return chart.first
    return f"{chart.first}{' ' * room}{chart.last}"


def _marks(chart: Chart, places: Sequence[range], bar: int) -> str:
    return "".join(
        ("^" if any(index in chart.marked for index in place) else " ").ljust(bar) + _gap(bar)
        for place in places
    )
