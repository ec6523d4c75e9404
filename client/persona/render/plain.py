"""Plain aligned text: for pipes, files, and terminals without colour."""

from typing import Any

from .tables import Block, Chart, Facts, Table, View, shown
from .values import clean, width_of

_GAP = "  "
CHART_CELLS = 80
"""How wide a chart is where lines may be as long as they like."""


def render(view: View, width: int | None) -> str:
    """`width` in cells; None where lines may be as long as they like."""
    parts = (_drawn(block, width) for block in view)
    return "\n".join(part for part in parts if part)


def _drawn(block: Block, width: int | None) -> str:
    match block:
        case Facts():
            return facts(block)
        case Chart():
            from .charts import columns

            return columns(block, width or CHART_CELLS) + "\n"
        case Table():
            return table(block, width)


def table(block: Table[Any], width: int | None) -> str:
    """A line a row; folded as on any terminal where that is too wide."""
    text = _aligned(block)
    if width is None or all(width_of(line) <= width for line in text.splitlines()):
        return text
    from .boxed import without_boxes

    return without_boxes(block, width)


def _aligned(block: Table[Any]) -> str:
    titles = [column.title for column in block.columns]
    cells = [[shown(column, row) for column in block.columns] for row in block.rows]
    widths = [max(width_of(cell) for cell in column) for column in zip(titles, *cells, strict=True)]
    right = [column.kind.right for column in block.columns]
    return "".join(
        _GAP.join(
            _pad(cell, cells_wide, right=at_right)
            for cell, cells_wide, at_right in zip(line, widths, right, strict=True)
        ).rstrip()
        + "\n"
        for line in (titles, *cells)
    )


def records(block: Table[Any]) -> str:
    """Each row as labelled lines, for screens too narrow for its table."""
    longest = max(width_of(column.title) for column in block.columns)
    return "\n".join(
        "".join(
            f"{_pad(column.title, longest)}{_GAP}{shown(column, row)}\n" for column in block.columns
        )
        for row in block.rows
    )


def facts(block: Facts) -> str:
    longest = max((width_of(line.label) for line in block.lines), default=0)
    return "".join(f"{_pad(line.label, longest)}{_GAP}{clean(line.text)}\n" for line in block.lines)


def _pad(text: str, cells: int, *, right: bool = False) -> str:
    room = " " * (cells - width_of(text))
    return room + text if right else text + room
