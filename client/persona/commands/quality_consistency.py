"""`persona quality consistency`: how far batches of one source agree."""

import click

from persona.app import App, Output, output_options, pass_app


@click.command("consistency")
@click.option(
    "--batch",
    "batches",
    multiple=True,
    metavar="ID",
    help="A batch; give at least two, made from the same source.",
)
@output_options
@pass_app
def command(app: App, batches: tuple[str, ...], output: Output) -> None:
    """Show how far batches of one source agree: in structure, in what they say, in quality.

    With batches of one model this is how reproducible it is.
    """
    if len(batches) < 2:
        raise click.UsageError("name at least two batches: --batch A --batch B")
    from persona.consistency import reading, report
    from persona.render import consistency as shown

    found = report.compare(*reading.read(app, batches))
    app.emit(output, found, lambda: shown.consistency(found))
