"""Tables for a terminal, drawn with rich: in colour, folded to the terminal's width."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from .plain import records
from .tables import Column, Facts, Table, View, shown
from .values import clean, width_of

_LEAST = 8
"""Cells that a column needs to be readable when its text is folded."""


def render(view: View, console: Console) -> None:
    for number, block in enumerate(view):
        if number:
            console.print()
        console.print(facts(block) if isinstance(block, Facts) else table(block, console.width))


def table(block: Table[Any], width: int) -> RenderableType:
    """Never drops a column: folds what is too wide, and where even that won't fit, a line a value.

    Cells are `Text`, never markup: what a model called a persona is only ever letters.
    """
    if block.rows and _least_width(block) > width:
        return Text(records(block).rstrip("\n"))
    drawn = RichTable(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in block.columns:
        drawn.add_column(
            Text(column.title),
            justify="right" if column.kind.right else "left",
            overflow="fold",
            no_wrap=column.kind.right,
        )
    for row in block.rows:
        drawn.add_row(*(_cell(column, row) for column in block.columns))
    return drawn


def facts(block: Facts) -> RenderableType:
    drawn = RichTable.grid(padding=(0, 2))
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for line in block.lines:
        drawn.add_row(Text(line.label), Text(clean(line.text), style=line.style))
    return drawn


def _cell(column: Column[Any], row: Any) -> Text:
    return Text(shown(column, row), style=column.style(row) if column.style else "")


def _least_width(block: Table[Any]) -> int:
    """Figures are never folded; text may be, down to a readable width."""
    least = 0
    for column in block.columns:
        longest = max(width_of(shown(column, row)) for row in block.rows)
        needed = longest if column.kind.right else min(longest, _LEAST)
        least += max(needed, min(width_of(column.title), _LEAST)) + 2
    return least
