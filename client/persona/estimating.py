"""What a run will cost: asked of the ledger before it starts, said, and agreed to."""

import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from persona.app import App

if TYPE_CHECKING:
    from persona.generation.plan import Plan
    from personad.contract.batch import BatchStarted
    from personad.contract.cost import Estimated


def estimated(app: App, plan: "Plan", started: "BatchStarted") -> "Estimated | None":
    """By the ledger's prices and its earlier batches of the model; None where nothing is paid.

    Raises LedgerError.
    """
    from persona.generation.asking import output_tokens, prompt_of
    from persona.generation.facts import FREE
    from personad.contract.cost import Estimate

    if started.provider in FREE:
        return None
    language = plan.reading.language
    request = Estimate(
        provider=started.provider,
        model=started.model,
        input_tokens=[prompt_of(started, each, language).tokens for each in plan.segments],
        max_output_tokens=output_tokens(started),
    )
    return app.ledger.ask(request)


def is_agreed(app: App, found: "Estimated", *, yes: bool) -> bool:
    """Says what a run is expected to cost that costs anything; asks whether to start it where that
    is much.

    It is asked where somebody sits at a terminal, and also where no price is known.
    """
    from persona.render.plan import estimate_lines

    if found.price_source is not None and not found.high_nanousd:
        return True
    for line in estimate_lines(found):
        app.note(line)
    limit = Decimal(str(app.settings.generate.confirm_above_usd)) * 10**9
    is_much = found.expected_nanousd is None or found.expected_nanousd > limit
    if yes or not is_much or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    return click.confirm("Start it?", default=False, err=True)


def dry_run(
    app: App, plan: "Plan", started: "BatchStarted", *, show_prompts: bool, as_json: bool
) -> None:
    """Prints what a run would do; without a ledger to ask, it says so and estimates no cost.

    Raises LedgerError.
    """
    from persona.render import plan as shown
    from personad.contract.errors import LedgerError

    try:
        expected = estimated(app, plan, started)
    except LedgerError as error:
        if error.code != "unavailable":
            raise
        expected = None
        app.note(f"no estimate of its cost: {error}")
    click.echo(shown.dry_run(plan, started, expected, show_prompts=show_prompts, as_json=as_json))
