"""Tables as GitHub's Markdown."""

import re
from typing import Any

from .charts import columns
from .plain import CHART_CELLS
from .tables import Block, Chart, Facts, Table, View, shown
from .values import clean

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def render(view: View) -> str:
    return "\n".join(_drawn(block) for block in view)


def _drawn(block: Block) -> str:
    match block:
        case Facts():
            return _facts(block)
        case Chart():
            return f"```text\n{columns(block, CHART_CELLS)}\n```\n"
        case Table():
            return _table(block)


def escape(text: str) -> str:
    """`text` as letters only: no cell border, emphasis, link or HTML."""
    return _SPECIAL.sub(r"\\\1", clean(text))


def _facts(block: Facts) -> str:
    return "".join(f"- **{escape(line.label)}:** {escape(line.text)}\n" for line in block.lines)


def _table(block: Table[Any]) -> str:
    rule = ["---:" if column.kind.right else "---" for column in block.columns]
    titles = [escape(column.title) for column in block.columns]
    rows = ([escape(shown(column, row)) for column in block.columns] for row in block.rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in (titles, rule, *rows))
