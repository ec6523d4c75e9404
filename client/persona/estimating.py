"""What a run will cost: asked of the ledger before it starts, said, and agreed to."""

import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from persona.app import App, Stopped

if TYPE_CHECKING:
    from persona.generation.plan import Plan
    from personad.contract.batch import BatchStarted, BatchState
    from personad.contract.cost import Estimated, Refused


def estimated(app: App, plan: "Plan", started: "BatchStarted") -> "Estimated | None":
    """By the ledger's prices and its earlier batches of the model; None where nothing is paid.

    Raises LedgerError.
    """
    from persona.generation.asking import output_tokens, prompt_of, size_bytes
    from persona.generation.facts import FREE
    from personad.contract.cost import Estimate

    if started.provider in FREE:
        return None
    language = plan.reading.language
    prompts = [prompt_of(started, each, language) for each in plan.segments]
    request = Estimate(
        provider=started.provider,
        model=started.model,
        input_tokens=[prompt.tokens for prompt in prompts],
        max_output_tokens=output_tokens(started),
        largest_call_bytes=max((size_bytes(prompt, None) for prompt in prompts), default=0),
        experiment=started.experiment,
        stop_nanousd=started.budget_nanousd if started.stop_on_budget else None,
    )
    return app.ledger.ask(request)


def refuse(found: "Estimated") -> None:
    """Raises Stopped where no budget would let even a first call start."""
    if found.refused is None:
        return
    from persona.refused import refusal

    raise Stopped(
        f"nothing was started: {refusal(found.refused)}", code=75, hint=_way_out(found.refused)
    )


def _way_out(refused: "Refused") -> str:
    if refused.maximum_nanousd is None:
        return "`persona cost prices set PROVIDER/MODEL --input USD --output USD` tells its price"
    if refused.budget.startswith("batch:"):
        return "give it more with --budget or --max-cost"
    return "`persona cost budget status` shows what stands; `persona cost budget set` changes it"


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
    return is_confirmed(app, found.expected_nanousd, "Start it?", yes=yes)


def is_agreed_to_go_on(app: App, state: "BatchState", *, yes: bool) -> bool:
    """As `is_agreed`, of what is left of a batch."""
    from persona.generation.facts import FREE
    from persona.render.values import money, plural

    counts, cost = state.counts, state.cost
    left = state.total - counts.completed - counts.failed
    if state.provider in FREE or not left:
        return True
    rest = None
    if cost.projected_nanousd is not None:
        rest = max(0, cost.projected_nanousd - cost.spent_nanousd)
    expected = "nobody knows what they cost" if rest is None else f"about {money(rest)} more"
    app.note(
        f"{plural(left, 'persona')} to go, {expected}; {money(cost.spent_nanousd)} is spent already"
    )
    return is_confirmed(app, rest, "Go on?", yes=yes)


def is_confirmed(app: App, nanousd: int | None, question: str, *, yes: bool) -> bool:
    """Asked where it may be much, and somebody is there to answer."""
    limit = Decimal(str(app.settings.generate.confirm_above_usd)) * 10**9
    is_much = nanousd is None or nanousd > limit
    if yes or not is_much or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    return click.confirm(question, default=False, err=True)


def dry_run(
    app: App, plan: "Plan", started: "BatchStarted", *, show_prompts: bool, as_json: bool
) -> str:
    """What a run would do; without a ledger to ask, it says so and estimates no cost.

    Raises LedgerError.
    """
    from persona.refused import refusal
    from persona.render import plan as shown
    from personad.contract.errors import LedgerError

    try:
        expected = estimated(app, plan, started)
    except LedgerError as error:
        if error.code != "unavailable":
            raise
        expected = None
        app.note(f"no estimate of its cost: {error}")
    if expected is not None and expected.refused is not None:
        app.note(f"it would not start: {refusal(expected.refused)}")
    return shown.dry_run(plan, started, expected, show_prompts=show_prompts, as_json=as_json)
