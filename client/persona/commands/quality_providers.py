"""`persona quality providers`: who makes better personas, and at what price."""

from typing import Literal

import click

from persona.app import App, Output, output_options, pass_app
from persona.asking import filter_options, range_options
from personad.contract.asking import Filter, Range
from personad.contract.quality import QualityProviders


@click.command("providers")
@click.option(
    "--by",
    type=click.Choice(["provider", "model"]),
    default="provider",
    help="A row each: provider.",
)
@click.option("--metric", "metrics", multiple=True, metavar="M", help="Only this; repeatable.")
@range_options
@filter_options
@output_options
@pass_app
def command(
    app: App,
    by: Literal["provider", "model"],
    metrics: tuple[str, ...],
    span: Range,
    only: Filter,
    output: Output,
) -> None:
    """Compare providers or models: scores, time, cost, and who is better beyond chance."""
    from persona.render import quality_providers as shown

    reply = app.ledger.ask(QualityProviders(range=span, filter=only, by=by, metrics=list(metrics)))
    app.emit(output, reply, lambda: shown.providers(reply))
