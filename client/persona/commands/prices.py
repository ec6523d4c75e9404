"""`persona cost prices`: what tokens cost, by the public list and by prices of one's own."""

from datetime import UTC, date, datetime, time

import click

from persona.app import (
    App,
    Group,
    Output,
    app_of,
    output_options,
    pass_app,
    short_output_options,
)
from persona.day import day
from persona.filled import filled
from persona.usd import parse
from personad.contract.prices import PriceList, PricesReply

from . import prices_update

OLD_DAYS = 60
"""A list that is older may lack models, and have prices of before."""


def per_million(text: str) -> int:
    """Dollars per million tokens, in nano-dollars; 0 is a price too."""
    try:
        return parse(text, may_be_nothing=True)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group("prices", cls=Group, invoke_without_command=True)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=filled,
    metavar="[PROVIDER/]MODEL",
    help="Repeatable.",
)
@output_options
@click.pass_context
def command(ctx: click.Context, models: tuple[str, ...], output: Output) -> None:
    """Show what the models that were used cost, per million tokens.

    Tokens that were read from a cache or written to it cost as input where no price of theirs is.
    """
    if ctx.invoked_subcommand is not None:
        return
    _show(app_of(ctx), models, output)


@command.command("set")
@click.argument("name", metavar="PROVIDER/MODEL")
@click.option("--input", "input_", type=per_million, required=True, help="Dollars per million.")
@click.option("--output", "output_", type=per_million, required=True, help="Dollars per million.")
@click.option("--cache-read", type=per_million, help="As input, if not given.")
@click.option("--cache-write", type=per_million, help="As input, if not given.")
@click.option(
    "--from",
    "since",
    type=day,
    metavar="DATE",
    help="From that day on (UTC); from now on, if not given.",
)
@short_output_options
@pass_app
def set_price(
    app: App,
    name: str,
    input_: int,
    output_: int,
    cache_read: int | None,
    cache_write: int | None,
    since: date | None,
    output: Output,
) -> None:
    """Say what a model costs, in dollars per million tokens; it stands over the public list.

    Calls that are recorded already keep their cost; `persona cost reprice` is for these.
    """
    from persona.identity import event_id, now
    from personad.contract.budget import Prices, PriceSet

    provider, slash, model = name.partition("/")
    if not (provider.strip() and slash and model.strip()):
        raise click.UsageError(f"{name!r} is no PROVIDER/MODEL")
    moment = now()
    effective = datetime.combine(since, time(), UTC) if since is not None else moment
    prices = Prices(
        input_nanousd=input_,
        output_nanousd=output_,
        cache_read_nanousd=cache_read,
        cache_write_nanousd=cache_write,
    )
    app.ledger.append(
        [
            PriceSet(
                id=event_id(),
                at=moment,
                provider=provider,
                model=model,
                prices=prices,
                effective_from=effective,
            )
        ]
    )
    if effective > moment:
        _prices(app, (name,), output)
        app.note(f"the new price of {name} holds from {effective:%Y-%m-%d} on; shown is today's")
    else:
        _show(app, (name,), output)


def _prices(app: App, models: tuple[str, ...], output: Output) -> PricesReply:
    from persona.render.prices import prices

    reply: PricesReply = app.ledger.ask(PriceList(models=list(models)))
    app.emit(output, reply, lambda: prices(reply))
    return reply


def _show(app: App, models: tuple[str, ...], output: Output) -> None:
    reply = _prices(app, models, output)
    unknown = [f"{row.provider}/{row.model}" for row in reply.prices if row.source is None]
    if unknown:
        app.note(
            f"nobody knows what {unknown[0]} costs: "
            f"`persona cost prices set {unknown[0]} --input X --output Y` says it"
        )
    if reply.data_age_days > OLD_DAYS:
        app.note(
            f"the price list ({reply.data_source}) is {reply.data_age_days} days old: "
            "`persona cost prices update` fetches a newer one"
        )


command.add_command(prices_update.command)
