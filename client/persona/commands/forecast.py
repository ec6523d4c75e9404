"""`persona cost forecast`: what costs are going to be."""

from datetime import date

import click

from persona.app import App, Output, output_options, pass_app
from persona.asking import filter_options
from persona.day import day
from persona.filled import filled
from persona.usd import usd
from personad.contract.asking import Filter
from personad.contract.forecast import HORIZON_DAYS_MAX, CostForecast


@click.command("forecast")
@click.option(
    "--days",
    type=click.IntRange(1, HORIZON_DAYS_MAX),
    default=7,
    show_default=True,
    metavar="N",
    help="How many of the coming days.",
)
@click.option("--budget", type=usd, metavar="USD", help="A month's; else the one that is set.")
@click.option(
    "--level",
    type=click.IntRange(50, 99),
    default=80,
    show_default=True,
    metavar="P",
    help="Percent that the intervals hold.",
)
@click.option("--timezone", type=filled, metavar="NAME", help="Whose days they are; the ledger's.")
@click.option("--as-of", type=day, metavar="DATE", help="As if it were that day.")
@filter_options
@output_options
@pass_app
def command(
    app: App,
    days: int,
    budget: int | None,
    level: int,
    timezone: str | None,
    as_of: date | None,
    only: Filter,
    output: Output,
) -> None:
    """Forecast the coming days' costs, with intervals, and what they mean for a monthly budget."""
    from persona.render import forecasts as shown

    reply = app.ledger.ask(
        CostForecast(
            days=days,
            filter=only,
            level=level,
            budget_nanousd=budget,
            timezone=timezone,
            as_of=as_of,
        )
    )
    app.emit(output, reply, lambda: shown.forecast(reply))
    for warning in reply.warnings:
        app.note(warning)
