"""`persona cost optimise`: how the calls that were made could have cost less."""

from copy import copy

import click

from persona.app import App, Output, output_options, pass_app
from persona.asking import filter_options, range_options
from personad.contract.asking import Filter, Range
from personad.contract.optimise import CostOptimise

BEHIND = 10
"""Calls that `--verbose` shows of each way."""
TIMEOUT_S = 60.0


@click.command("optimise")
@range_options
@filter_options
@output_options
@pass_app
def command(app: App, span: Range, only: Filter, output: Output) -> None:
    """Show how to spend less, judged by your own calls, and the command that does it.

    Each saving is what real calls would have cost otherwise, judged on what the others leave of the
    bill, so no dollar is in two of them. What is looked at, [cost.optimise] of the configuration
    says; --verbose shows calls behind each.
    """
    from persona.render import optimising as shown

    wanted = app.settings.cost.optimise
    reply = app.ledger.ask(
        CostOptimise(
            range=span,
            filter=only,
            models=wanted.models,
            batch=wanted.batch,
            caching=wanted.caching,
            retries=wanted.retries,
            calls=BEHIND if app.flags.verbose else 0,
        ),
        timeout_s=TIMEOUT_S,
    )
    with_calls = bool(app.flags.verbose)
    app.emit(output, reply, lambda: shown.recommendations(reply, with_calls=with_calls))
    for note in reply.notes:
        app.note(note)


american = copy(command)
"""The same by its American name."""
american.hidden = True
