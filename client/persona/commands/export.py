"""`persona cost export`: the cost events of a range, for other tools."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import click
from msgspec.structs import replace

from persona.app import App, Stopped, pass_app
from persona.asking import filter_options, range_options
from persona.filled import file_option
from personad.contract.asking import Filter, Range
from personad.contract.batch import BatchShow
from personad.contract.cost import CostHistory

FORMATS = ("csv", "json", "jsonl", "parquet")


@click.command("export")
@range_options
@filter_options
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMATS),
    default="csv",
    show_default=True,
    help="What reads it.",
)
@file_option
@pass_app
def command(app: App, span: Range, only: Filter, format_name: str, path: str | None) -> None:
    """Write each cost event of a range as a row, with its exact cost.

    A row's cost is what its call counts, corrections included, so that the rows sum to what `cost
    history` says; of a call that was billed twice only one row counts.
    """
    from persona.exporting import Tally, rows
    from persona.render.values import plural
    from persona.streams import whole_file
    from personad.contract.row_files import WRITERS

    # It resolves the range, and refuses names that nobody has used.
    history = app.ledger.ask(CostHistory(range=span, filter=only, interval="month"))
    only = replace(
        only, batches=[app.ledger.ask(BatchShow(batch=name)).batch for name in only.batches]
    )
    if format_name == "parquet":
        _need_pyarrow()
        if path is None and sys.stdout.isatty():
            raise click.UsageError("parquet is nothing to read on a terminal: name a file with -o")
    with ExitStack() as stack:
        stream: IO[bytes] = sys.stdout.buffer
        if path is not None and path != "-":
            stream = stack.enter_context(whole_file(Path(path)))
        tally = Tally(rows(app.ledger, history.range, only))
        count = WRITERS[format_name](tally, stream)
        stream.flush()
    app.note(f"{plural(count, 'event')} exported")
    note_missing(app, history.total.calls - tally.calls)


def note_missing(app: App, calls: int) -> None:
    """Says how many of a range's calls retention has dropped, where it has dropped any."""
    if calls > 0:
        from persona.render.values import plural

        app.note(
            f"{plural(calls, 'call')} of this range are not among them: retention has dropped "
            "their events, and what they cost is only in sums, as `persona cost history` tells"
        )


def _need_pyarrow() -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise Stopped(
            "parquet needs pyarrow, which is not installed",
            code=64,
            hint="pip install 'persona-observability[parquet]', or --format csv",
        )
