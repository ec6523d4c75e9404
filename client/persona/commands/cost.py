"""`persona cost`: what calls cost, and what they may cost."""

from typing import get_args

import click

from persona.app import App, Group, Output, app_of, output_options, pass_app
from persona.asking import filter_options, range_options
from persona.filled import filled
from personad.contract.asking import Filter, Interval, Range
from personad.contract.cost import MAX_ROWS, CostBreakdown, CostHistory, CostOverview, Dimension

from . import budget, cost_alerts, export, forecast, optimise, prices, reprice

_ROWS_SHOWN = 100


@click.group(cls=Group, invoke_without_command=True)
@click.option(
    "--timezone", type=filled, metavar="NAME", help="Whose days they are; the ledger's if not said."
)
@output_options
@click.pass_context
def command(ctx: click.Context, timezone: str | None, output: Output) -> None:
    """See what it costs, and say what it may cost; alone, where it stands now."""
    if ctx.invoked_subcommand is not None:
        return
    app = app_of(ctx)
    reply = app.ledger.ask(CostOverview(timezone=timezone))
    from persona.render import costs as shown

    view = shown.overview_rows if output.format == "csv" else shown.overview
    app.emit(output, reply, lambda: view(reply))


@command.command("history")
@range_options
@filter_options
@click.option("--by", type=click.Choice(get_args(Interval)), default="day", help="A row each: day.")
@click.option("--no-plot", is_flag=True, help="Only the table.")
@output_options
@pass_app
def history(
    app: App, span: Range, only: Filter, by: Interval, no_plot: bool, output: Output
) -> None:
    """Show what calls cost over time."""
    reply = app.ledger.ask(CostHistory(range=span, filter=only, interval=by))
    from persona.render import costs as shown

    app.emit(output, reply, lambda: shown.history(reply, plots=not no_plot))


@command.command("breakdown")
@click.option(
    "--by",
    type=click.Choice(get_args(Dimension)),
    required=True,
    help="By what the cost is split.",
)
@range_options
@filter_options
@click.option(
    "-L",
    "--limit",
    type=click.IntRange(1, MAX_ROWS),
    metavar="N",
    help=f"How many rows at most; where people read it, {_ROWS_SHOWN} if not said.",
)
@output_options
@pass_app
def breakdown(
    app: App, by: Dimension, span: Range, only: Filter, limit: int | None, output: Output
) -> None:
    """Show what calls were for: by provider, model, experiment, batch, operation, outcome or time.

    Rows sum to the total.
    """
    # A program that adds rows up is to come to the total, and time has no dearest rows.
    is_cut = output.format in ("table", "markdown") and by not in get_args(Interval)
    usual = _ROWS_SHOWN if is_cut else MAX_ROWS
    reply = app.ledger.ask(CostBreakdown(by=by, range=span, filter=only, limit=limit or usual))
    from persona.render import costs as shown

    app.emit(output, reply, lambda: shown.breakdown(reply))


@command.command("calls")
@range_options
@filter_options
@click.option(
    "-L",
    "--limit",
    "--top",
    "top",
    type=click.IntRange(1, 10_000),
    default=20,
    metavar="N",
    help="The dearest N: 20.",
)
@click.option("--unpriced", is_flag=True, help="Those of models without a known price.")
@click.option("--unknown", is_flag=True, help="Those whose answer never came.")
@output_options
@pass_app
def calls(
    app: App,
    span: Range,
    only: Filter,
    top: int,
    unpriced: bool,
    unknown: bool,
    output: Output,
) -> None:
    """List calls, the dearest first: the way from a figure to an id."""
    from persona.render import calls as shown
    from personad.contract.calls import CostCalls

    if unpriced and unknown:
        raise click.UsageError("--unpriced and --unknown exclude each other")
    # First, so that a call which ends between the two is not taken for one that is gone.
    sums = app.ledger.ask(CostHistory(range=span, filter=only, interval="month"))
    reply = app.ledger.ask(
        CostCalls(range=span, filter=only, unpriced=unpriced, unknown=unknown, limit=top)
    )
    app.emit(output, reply, lambda: shown.calls(reply))
    if reply.more:
        app.note(f"there are more than {top}; --top N shows more")
    elif not (unpriced or unknown):
        export.note_missing(app, sums.total.calls - len(reply.calls))


@command.command("explain")
@click.argument("name", type=filled, metavar="ID")
@output_options
@pass_app
def explain(app: App, name: str, output: Output) -> None:
    """Explain the cost of a call, a persona or a batch to the last nano-dollar; `last`: a batch."""
    from persona.render import calls as shown
    from personad.contract.calls import CostExplain

    reply = app.ledger.ask(CostExplain(id=name))
    app.emit(output, reply, lambda: shown.explained(reply))
    if reply.more:
        app.note("there are more calls than are shown; name a persona or a call")


command.add_command(budget.command)
command.add_command(cost_alerts.command)
command.add_command(prices.command)
command.add_command(export.command)
command.add_command(forecast.command)
command.add_command(optimise.command)
command.add_command(optimise.american, "optimize")
command.add_command(reprice.command)
