"""Comma-separated values (RFC 4180) that a spreadsheet can't take for formulas."""

import csv
import io
from typing import Any

from .tables import Column, View, tables, written

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(view: View) -> str:
    """The tables of `view`, with figures as programs read them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for number, table in enumerate(tables(view)):
        if number:
            writer.writerow(())
        writer.writerow(_no_formula(column.title) for column in table.columns)
        writer.writerows([_cell(column, row) for column in table.columns] for row in table.rows)
    return text.getvalue()


def _cell(column: Column[Any], row: Any) -> str:
    text = written(column, row)
    return _no_formula(text) if column.kind.is_text else text


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
