"""A command's answer in the format that was asked for, to where it was asked for."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .tables import View, tables

if TYPE_CHECKING:
    from persona.app import App, Output

EXPORTERS = {
    "csv": "persona.render.csv_text",
    "markdown": "persona.render.markdown",
}
"""Formats beside the table and JSON: a module each, with `render(view) -> str`."""


def emit(app: "App", output: "Output", reply: object, view: Callable[[], View]) -> None:
    """Write `reply` as JSON, or what `view` makes of it in any other format.

    Raises OSError where that can't be written; a file is then as it was.
    """
    if output.format == "json":
        from .document import render

        data = render(reply, indent=output.path is None and app.is_terminal)
    else:
        shown = view()
        for table in tables(shown):
            if not table.rows and table.empty:
                app.note(table.empty)
        if output.format == "table" and output.path is None:
            _print(app, shown)
            return
        data = _text(output.format, shown).encode()
    _write(output.path, data)


def _text(format_name: str, view: View) -> str:
    if format_name == "table":
        from .plain import render

        return render(view, None)
    text: str = import_module(EXPORTERS[format_name]).render(view)
    return text


def _write(path: str | None, data: bytes) -> None:
    if path is not None:
        from persona.files import write_whole

        write_whole(Path(path), data)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def _print(app: "App", view: View) -> None:
    """On stdout, for people: through the pager where it is longer than the screen."""
    if app.is_coloured:
        from .boxed import render as render_boxed

        with app.console.capture() as captured:
            render_boxed(view, app.console)
        text = captured.get()
    else:
        from .plain import render as render_plain

        text = render_plain(view, _screen()[0] if app.is_terminal else None)
    is_looked_at = app.is_terminal and sys.stdin.isatty() and not app.flags.no_pager
    if is_looked_at and text.count("\n") >= _screen()[1]:
        # Not asked for, colours go only to a pager that shows them: `less` is told to.
        click.echo_via_pager(text.rstrip("\n"), color=None if app.is_coloured else False)
    else:
        sys.stdout.write(text)


def _screen() -> tuple[int, int]:
    """Columns and lines; 80 and unlimited where the terminal doesn't know."""
    found = os.get_terminal_size(sys.stdout.fileno())
    return (
        _given("COLUMNS") or found.columns or 80,
        _given("LINES") or found.lines or sys.maxsize,
    )


def _given(variable: str) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() else 0
