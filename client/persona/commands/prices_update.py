"""`persona cost prices update`: a newer public price list, from the network."""

import click

from persona.app import App, Output, Stopped, output_options, pass_app
from personad.contract.errors import LedgerError
from personad.contract.prices import PricesUpdate, PricesUpdated

URL = (
    "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/"
    "new_data/v2/data.json"
)
"""Where the package `genai-prices` publishes its data."""
TIMEOUT_S = 60.0


@click.command("update")
@click.option("--url", default=URL, metavar="URL", help="From there instead of its own place.")
@output_options
@pass_app
def command(app: App, url: str, output: Output) -> None:
    """Fetch the newest public price list; nothing else ever asks the network for prices.

    It counts for calls from now on. Those that are recorded keep their cost: `persona cost reprice`
    is for these.
    """
    from persona.fetching import CannotFetch, NoAddress, fetched
    from persona.render.prices import updated
    from persona.render.values import plural

    try:
        text = fetched(url)
    except CannotFetch as error:
        raise Stopped(
            f"the price list can't be fetched: {error}",
            code=64 if isinstance(error, NoAddress) else 75,
            where=url,
            hint="the list that is known stays; `persona cost prices` shows it",
        ) from None
    try:
        reply: PricesUpdated = app.ledger.ask(PricesUpdate(text=text), timeout_s=TIMEOUT_S)
    except LedgerError as error:
        if error.code != "invalid":
            raise
        hint = "the list that is known stays"
        raise Stopped(error.message, code=65, where=url, hint=hint) from None
    app.emit(output, reply, lambda: updated(reply))
    if reply.changed:
        app.note(
            f"{plural(len(reply.changed), 'model')} of yours cost something else from now on; "
            "`persona cost reprice --dry-run` shows what that means for calls that are recorded"
        )
