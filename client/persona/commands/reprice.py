"""`persona cost reprice`: what calls would cost at the prices that are known now."""

import click

from persona.app import App, Output, output_options, pass_app
from persona.asking import filter_options, range_options
from personad.contract.asking import Filter, Range
from personad.contract.calls import REPRICED_AT_ONCE, Reprice, Repricing, RepricingReply

TIMEOUT_S = 600.0
"""A long range is read call by call."""


@click.command("reprice")
@range_options
@filter_options
@click.option("--unpriced", is_flag=True, help="Only calls that have no price.")
@click.option("--dry-run", is_flag=True, help="Only show the difference.")
@click.option("--apply", "apply_", is_flag=True, help="Show it, and correct the calls.")
@output_options
@pass_app
def command(
    app: App,
    span: Range,
    only: Filter,
    unpriced: bool,
    dry_run: bool,
    apply_: bool,
    output: Output,
) -> None:
    """Price calls anew, by the prices of their moment as they are known now.

    Nothing that was recorded is changed: a correction is added to each call, and both figures stay
    in the ledger. What a producer priced itself stays as it is.
    """
    from persona.render.calls import repricing
    from persona.render.values import plural

    if dry_run == apply_:
        raise click.UsageError("say which: --dry-run shows the difference, --apply makes it so")
    question = Repricing(range=span, filter=only, unpriced=unpriced)
    reply: RepricingReply = app.ledger.ask(question, timeout_s=TIMEOUT_S)
    app.emit(output, reply, lambda: repricing(reply))
    if not apply_:
        return
    corrected = 0
    while reply.calls:
        before = corrected
        for begin in range(0, len(reply.calls), REPRICED_AT_ONCE):
            some = reply.calls[begin : begin + REPRICED_AT_ONCE]
            corrected += app.ledger.ask(Reprice(calls=some)).calls
        # Where none was corrected any more, somebody else has done it meanwhile.
        if not reply.more or corrected == before:
            break
        reply = app.ledger.ask(question, timeout_s=TIMEOUT_S)
    app.note(
        f"{plural(corrected, 'call')} corrected; `persona cost explain CALL` shows both figures"
    )
