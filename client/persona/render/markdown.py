"""Tables as GitHub's Markdown."""

import re
from typing import Any

from .tables import Facts, Table, View, shown
from .values import clean

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def render(view: View) -> str:
    return "\n".join(_facts(block) if isinstance(block, Facts) else _table(block) for block in view)


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
