"""Tables for a terminal, drawn with rich: in colour, folded to the terminal's width."""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

from rich.box import SIMPLE_HEAD, Box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from .plain import records
from .tables import Block, Chart, Column, Facts, Table, View, narrower, shown
from .values import clean, width_of

_LEAST = 8
"""Cells that a column needs to be readable when its text is folded."""
_WHOLE = ((15, 15), (15, 9), (12, 8))
"""Up to how many cells words, and those of titles, stay whole, as long as there is room: names of
metrics do first, ids don't."""
_GAP = 2
_FIGURE = re.compile(r"[-+]?\$?\d[\d,.]*%?").fullmatch


def render(view: View, console: Console) -> None:
    for number, block in enumerate(view):
        if number:
            console.print()
        console.print(_drawn(block, console.width))


def _drawn(block: Block, width: int) -> RenderableType:
    match block:
        case Facts():
            return facts(block, width)
        case Chart():
            from .charts import columns

            return Text(columns(block, width), style="cyan", no_wrap=True)
        case Table():
            return table(block, width)


def without_boxes(block: Table[Any], width: int) -> str:
    """A table as plain text."""
    drawn = table(block, width, box=None)
    if isinstance(drawn, Text):
        return f"{drawn.plain}\n"
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(drawn)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def table(block: Table[Any], width: int, *, box: Box | None = SIMPLE_HEAD) -> RenderableType:
    """Never drops a column: folds what is too wide, and where even that won't fit, tells the same
    in fewer columns, or turned, or a line a value.

    Cells are `Text`, never markup: what a model called a persona is only ever letters.
    """
    for word, title in _WHOLE:
        for each in chain((block,), narrower(block)):
            least = _least_widths(each, word, title)
            if not block.rows or sum(least) + _GAP * len(least) <= width:
                return _folded(each, least, width, box)
    return Text(records(block).rstrip("\n"))


def _folded(block: Table[Any], least: Sequence[int], width: int, box: Box | None) -> RichTable:
    cells = _cell_widths(block)
    titles = (cell_len(column.title) for column in block.columns)
    whole = [max(each) for each in zip(least, cells, titles, strict=True)]
    # Told the widths, rich has no need to measure each cell, nor to choose what it leaves out.
    padding = _GAP if box is None else _GAP - 1
    drawn = RichTable(box=box, padding=(0, padding, 0, 0), show_edge=False)
    room = width - _GAP * len(least)
    # What stands in a column is read more often than its title.
    widths = _shared(_shared(least, cells, room), whole, room)
    for column, width_ in zip(block.columns, widths, strict=True):
        drawn.add_column(
            Text(column.title, style="bold"),
            width=width_,
            justify="right" if column.kind.right else "left",
            overflow="fold",
        )
    for row in block.rows:
        drawn.add_row(*(_cell(column, row) for column in block.columns))
    return drawn


def _shared(least: Sequence[int], whole: Sequence[int], room: int) -> list[int]:
    """Widths between those two that make the most of the room: what is left over is shared out by
    what each of them lacks."""
    lacks = [max(0, most - cells) for cells, most in zip(least, whole, strict=True)]
    left = min(room - sum(least), sum(lacks))
    if left <= 0:
        return list(least)
    shares = [left * lack // sum(lacks) for lack in lacks]
    # What rounding down leaves goes to those that lack most.
    most = sorted(range(len(lacks)), key=lambda place: shares[place] - lacks[place])
    for place in most[: left - sum(shares)]:
        shares[place] += 1
    return [cells + share for cells, share in zip(least, shares, strict=True)]


def facts(block: Facts, width: int) -> RenderableType:
    """What is said has at least half of the width: a label (of a model's name) may be longer."""
    longest = max((width_of(line.label) for line in block.lines), default=0)
    drawn = RichTable.grid(padding=(0, 2))
    drawn.add_column(style="dim", width=min(longest, width // 2), overflow="fold")
    drawn.add_column(overflow="fold")
    for line in block.lines:
        drawn.add_row(Text(line.label), Text(clean(line.text), style=line.style))
    return drawn


def _cell(column: Column[Any], row: Any) -> Text:
    return Text(shown(column, row), style=column.style(row) if column.style else "")


def _least_widths(block: Table[Any], word: int, title: int) -> list[int]:
    """Of each column: figures are never folded; text may be, but not within a short word."""
    return [
        max(
            min(max(map(width_of, column.title.split()), default=0), title),
            *(_least(shown(column, row), word, folds=column.kind.folds) for row in block.rows),
            0,
        )
        for column in block.columns
    ]


def _cell_widths(block: Table[Any]) -> list[int]:
    """Of each column: what its cells take when nothing is folded, as rich counts them."""
    return [
        max((cell_len(shown(column, row)) for row in block.rows), default=0)
        for column in block.columns
    ]


def _least(cell: str, word: int, *, folds: bool) -> int:
    if not folds:
        return width_of(cell)
    words = [(width_of(each), each) for each in cell.split()]
    # In a table that was turned figures stand among words: half a figure is another one.
    whole = max((cells for cells, each in words if cells <= word or _FIGURE(each)), default=0)
    return max(whole, min(_LEAST, max(words, default=(0, ""))[0]))
