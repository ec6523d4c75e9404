"""`persona generate --compare`: the same segments by several models, a batch each, in turn."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from persona.app import App
from persona.going_on import or_paused, standby
from persona.outcome import exit_status
from persona.planning import Options, described, planned
from persona.render.values import money

if TYPE_CHECKING:
    from persona.generation.plan import Plan
    from personad.contract.batch import BatchStarted, BatchState

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_ALONE = {
    "--provider": "provider",
    "--model": "model",
    "--base-url": "base_url",
    "--checkpoint": "checkpoint",
}
"""Options that are about one batch."""


class Compared(Struct, frozen=True, kw_only=True):
    """The document of `--json`."""

    batches: "list[BatchState]"


def compare(app: App, options: Options) -> int:
    """Plans once, and makes a batch for each of the models; gives the worst of their statuses.

    Raises as `persona generate` does; nothing is started where one of the models can't be called.
    """
    if options.detach and (options.max_cost is not None or options.budget is not None):
        raise click.UsageError(
            "--detach begins all batches at once, and what is left is known only in turn: "
            "leave it out, or set a standing budget (`persona cost budget set … --action stop`)"
        )
    names = _models(options)
    each = [_only(options, provider, model) for provider, model in names]
    _check(app, each)
    _refuse_one_folder_for_two(each)
    plan = planned(app, each[0])
    if options.dry_run:
        _dry_run(app, plan, each, as_json=options.as_json)
        return 0
    if not _is_agreed(app, plan, each, yes=options.yes):
        return 1
    statuses, batches, spent = [], [], 0
    for place, wanted in enumerate(each, 1):
        one = _with_what_is_left(wanted, spent)
        if one is None:
            app.note("what all batches together may cost is spent; the rest is not begun")
            statuses.append(75)
            break
        app.note(f"{place} of {len(each)}: {one.provider}/{one.model}")
        status, state = _make(app, plan, one, is_told=not options.as_json)
        statuses.append(status)
        batches.append(state)
        # What is held back may have been paid for as well.
        cost = state.cost
        spent += cost.spent_nanousd + cost.reserved_nanousd + cost.unresolved_nanousd
        if status in (75, 130):
            rest = [f"{later.provider}/{later.model}" for later in each[place:]]
            if rest:
                app.note(f"not begun: {', '.join(rest)}")
            break
    if options.as_json:
        _document(app, batches)
    return max(statuses)


def _models(options: Options) -> list[tuple[str, str]]:
    """Providers and models, in their order. Raises click.UsageError."""
    for flag, name in _ALONE.items():
        if getattr(options, name) is not None:
            raise click.UsageError(f"--compare names providers and models: leave out {flag}")
    found = []
    for word in (options.compare or "").split(","):
        provider, slash, model = word.strip().partition("/")
        if not (provider and slash and model):
            raise click.UsageError(f"--compare takes PROVIDER/MODEL,…; {word!r} is none")
        if (provider, model) in found:
            raise click.UsageError(f"--compare names {word.strip()} twice")
        found.append((provider, model))
    if len(found) < 2:
        raise click.UsageError("--compare needs two models at least: PROVIDER/MODEL,…")
    return found


def _only(options: Options, provider: str, model: str) -> Options:
    """What one of the batches is asked for; several don't fit into one folder."""
    output = options.output
    if output is not None:
        output = str(Path(output) / _NOT_IN_A_NAME.sub("-", f"{provider}-{model}"))
    mode = "quiet" if options.as_json else options.mode
    return replace(
        options,
        compare=None,
        provider=provider,
        model=model,
        output=output,
        as_json=False,
        mode=mode,
    )


def _check(app: App, each: list[Options]) -> None:
    """Raises Stopped or click.UsageError where one can't be called."""
    from persona.choosing import note_what_is_odd
    from persona.planning import provider_of

    for one in each:
        provider, model = provider_of(app, one, for_calls=not one.dry_run)
        note_what_is_odd(app, provider, model, None, is_default=False)


def _refuse_one_folder_for_two(each: list[Options]) -> None:
    """Names that differ only in signs which no folder's name has."""
    seen: dict[str, Options] = {}
    for one in each:
        other = seen.setdefault(one.output, one) if one.output is not None else one
        if other is not one:
            raise click.UsageError(
                f"{other.provider}/{other.model} and {one.provider}/{one.model} would both be "
                f"written to {one.output}: leave out --output, or run them apart"
            )


def _dry_run(app: App, plan: "Plan", each: list[Options], *, as_json: bool) -> None:
    """One after the other; as JSON, one document."""
    from persona.estimating import dry_run

    told = []
    for one in each:
        started = described(app, one, plan)
        told.append(dry_run(app, plan, started, show_prompts=one.show_prompts, as_json=as_json))
    click.echo(f'{{"batches":[{",".join(told)}]}}' if as_json else "\n\n".join(told))


def _is_agreed(app: App, plan: "Plan", each: list[Options], *, yes: bool) -> bool:
    """Each one's estimate, and one question about all. Raises Stopped: no budget has room."""
    from persona.estimating import estimated, is_confirmed, refuse

    total: int | None = 0
    is_paid = False
    for one in each:
        expected = estimated(app, plan, described(app, one, plan))
        if expected is None:
            continue
        refuse(expected)
        is_paid = True
        amount = expected.expected_nanousd
        told = "unpriced" if amount is None else f"about {money(amount)}"
        app.note(f"{one.provider}/{one.model}: {told}")
        total = None if total is None or amount is None else total + amount
    if not is_paid:
        return True
    if total is not None:
        app.note(f"together: about {money(total)}")
    return is_confirmed(app, total, f"Start all {len(each)}?", yes=yes)


def _with_what_is_left(one: Options, spent: int) -> Options | None:
    """Its budget is what those before have left over; None where that is nothing."""
    if one.max_cost is None and one.budget is None:
        return one
    name = "max_cost" if one.max_cost is not None else "budget"
    left = getattr(one, name) - spent
    if left <= 0:
        return None if one.max_cost is not None or one.stop_on_budget else replace(one, budget=1)
    return replace(one, **{name: left})


def _make(app: App, plan: "Plan", one: Options, *, is_told: bool) -> "tuple[int, BatchState]":
    """One batch, watched until it ends; its status, and how it stands."""
    from personad.contract.batch import BatchShow

    from .generate import is_tied, record, run

    started: BatchStarted = described(app, one, plan)
    with standby(app, tied=is_tied(app, one)) as runner:

        def record_and_run() -> int:
            record(app, plan, started)
            return run(app, one, started.batch, runner, result_line=is_told)

        status = or_paused(app, started.batch, record_and_run)
    state = app.ledger.ask(BatchShow(batch=started.batch))
    ended = exit_status(state)
    return (status if one.detach or ended is None else max(status, ended)), state


def _document(app: App, batches: "list[BatchState]") -> None:
    from persona.app import Output

    app.emit(Output(format="json"), Compared(batches=batches), list)
