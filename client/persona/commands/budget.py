"""`persona cost budget`: say what may be spent, see what is left, settle what nobody knows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from persona.app import App, Group, Output, Stopped, output_options, pass_app
from persona.filled import filled
from persona.usd import usd
from personad.contract.budget import (
    Action,
    BudgetCleared,
    BudgetSet,
    BudgetStatus,
    BudgetStatusReply,
)
from personad.contract.cost import Settle

if TYPE_CHECKING:
    from personad.contract.budget import Budget

T = TypeVar("T")

PERIODS = ("daily", "weekly", "monthly")
MOST_PERCENT = 1_000


@click.group("budget", cls=Group)
def command() -> None:
    """Say what may be spent, and see what is left of it.

    A budget with `--action stop` holds: no call starts that could cross it.
    """


def percents(text: str) -> tuple[int, ...]:
    """`50,80,100`: percents of a limit, ascending."""
    words = text.replace("%", "").split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise click.BadParameter(f"{text!r} are no percents: write such as 50,80,100")
    found = tuple(int(word) for word in words)
    if not all(1 <= percent <= MOST_PERCENT for percent in found):
        raise click.BadParameter(f"a threshold lies between 1 and {MOST_PERCENT} percent")
    if list(found) != sorted(set(found)):
        raise click.BadParameter(f"{text} must ascend: write such as 50,80,100")
    return found


@command.command("set")
@click.option("--daily", type=usd, help="At most so many dollars a day.")
@click.option("--weekly", type=usd, help="At most so many dollars a week.")
@click.option("--monthly", type=usd, help="At most so many dollars a month.")
@click.option("--experiment", metavar="NAME", help="For this experiment alone; with --limit.")
@click.option("--limit", type=usd, help="At most so many dollars for the experiment.")
@click.option(
    "--action",
    type=click.Choice(get_args(Action)),
    default="warn",
    show_default=True,
    help="What happens at the limit; `stop` lets no call start that could cross it.",
)
@click.option(
    "--at",
    "thresholds",
    type=percents,
    metavar="P,P,…",
    help="Percents of the limit at which to tell; as configured, 50,80,100.",
)
@click.option(
    "--timezone",
    type=filled,
    metavar="NAME",
    help="Whose days they are; the ledger's if not given.",
)
@output_options
@pass_app
def set_budget(
    app: App,
    daily: int | None,
    weekly: int | None,
    monthly: int | None,
    experiment: str | None,
    limit: int | None,
    action: Action,
    thresholds: tuple[int, ...] | None,
    timezone: str | None,
    output: Output,
) -> None:
    """Set a budget; it stands until it is cleared or set anew.

    Several periods may be set at once. What was spent in the period before counts. Its alerts are
    on from then on: see `persona cost alerts`.
    """
    from persona.identity import event_id, now

    if (experiment is None) != (limit is None):
        raise click.UsageError("--experiment NAME and --limit USD belong together")
    limits = {"daily": daily, "weekly": weekly, "monthly": monthly}
    if experiment is not None:
        limits[f"experiment:{_plain(experiment)}"] = limit
    given = {scope: nanousd for scope, nanousd in limits.items() if nanousd is not None}
    if not given:
        raise click.UsageError(
            "say what may be spent: --daily, --weekly or --monthly USD, "
            "or --experiment NAME --limit USD"
        )
    zone = timezone or app.ledger.ask(BudgetStatus()).timezone
    app.ledger.append(
        [
            BudgetSet(
                id=event_id(),
                at=now(),
                scope=scope,
                limit_nanousd=nanousd,
                action=action,
                thresholds=list(thresholds or app.settings.cost.alerts.thresholds),
                timezone=zone,
            )
            for scope, nanousd in given.items()
        ]
    )
    _show(app, output, lambda budget: budget.scope in given)
    if experiment is not None:
        _say_if_unknown(app, experiment)


def _say_if_unknown(app: App, experiment: str) -> None:
    """A budget may be there before its experiment, but one of a misspelt name holds nothing."""
    from personad.contract.asking import Filter, Range
    from personad.contract.cost import CostHistory
    from personad.contract.errors import LedgerError

    try:
        app.ledger.ask(CostHistory(range=Range(days=1), filter=Filter(experiments=[experiment])))
    except LedgerError as error:
        if error.code != "not-found":
            raise
        app.note(f"{error.message} so far: the budget holds once there is; {error.hint}")


@command.command("status")
@output_options
@pass_app
def status(app: App, output: Output) -> None:
    """Show each budget, and what stands against it.

    Reserved is the most that calls in flight can cost, and those whose answer never came:
    `persona cost budget settle` lets go of these. Projected is a straight line: the pace so far, to
    the end of the period; `persona cost forecast` says what a month is expected to come to.
    """
    _show(app, output, lambda _: True)
    _say_unpriced(app)


def _say_unpriced(app: App) -> None:
    """What has no price is in no `Spent`, so that a budget may look untouched that isn't."""
    from persona.render.values import plural
    from personad.contract.cost import CostOverview

    if count := app.ledger.ask(CostOverview()).unpriced_calls:
        app.note(
            f"{plural(count, 'call')} of this month without a price count against no budget; "
            "`persona cost calls --unpriced` lists them"
        )


def _scopes(function: Callable[..., T]) -> Callable[..., T]:
    for scope in reversed(PERIODS):
        flag = click.option(f"--{scope}", is_flag=True, help=f"The {scope} budget.")
        function = flag(function)
    return function


@command.command("clear")
@_scopes
@click.option("--experiment", "experiments", multiple=True, metavar="NAME", help="Repeatable.")
@click.option("--all", "everything", is_flag=True, help="Every budget.")
@output_options
@pass_app
def clear(
    app: App,
    daily: bool,
    weekly: bool,
    monthly: bool,
    experiments: tuple[str, ...],
    everything: bool,
    output: Output,
) -> None:
    """Clear budgets: nothing holds or tells any more."""
    from persona.identity import event_id, now

    flags = zip(PERIODS, (daily, weekly, monthly), strict=True)
    asked = [scope for scope, is_asked in flags if is_asked]
    asked += [f"experiment:{_plain(name)}" for name in experiments]
    if bool(asked) == everything:
        raise click.UsageError(
            "say which: --daily, --weekly, --monthly, --experiment NAME or --all"
        )
    # A batch's own budget is no event of its own, and has no zone: it goes with the batch.
    found = app.ledger.ask(BudgetStatus()).budgets
    known = [each.scope for each in found if each.timezone is not None]
    for scope in asked:
        if scope not in known:
            raise Stopped(_unset(scope, known), code=64)
    cleared = known if everything else asked
    if cleared:
        app.ledger.append(
            [BudgetCleared(id=event_id(), at=now(), scope=scope) for scope in cleared]
        )
        app.note(f"cleared: {', '.join(cleared)}")
    _show(app, output, lambda _: True)


def _unset(scope: str, known: list[str]) -> str:
    listed = f"; there is {', '.join(known)}" if known else "; none is"
    return f"no budget {scope} is set{listed}"


@command.command("settle")
@click.argument("calls", nargs=-1, type=filled, metavar="[CALL…]")
@click.option("--cost", type=usd, help="What each of them did cost; nothing, if not given.")
@output_options
@pass_app
def settle(app: App, calls: tuple[str, ...], cost: int | None, output: Output) -> None:
    """Say that calls whose answer never came will cost nothing, or so much, each.

    Without a CALL, all that are unresolved. Should a bill still come, it counts. Your provider's
    own pages tell whether it has charged for them.
    """
    from persona.render.budgets import settled

    if cost is not None and not calls:
        raise click.UsageError("name the calls that did cost --cost each")
    reply = app.ledger.ask(Settle(calls=list(calls), cost_nanousd=cost or 0))
    app.emit(output, reply, lambda: settled(reply, were_named=bool(calls)))


def _plain(name: str) -> str:
    if not name.strip():
        raise click.UsageError("the experiment's name is empty")
    return name


def _show(app: App, output: Output, wanted: Callable[["Budget"], bool]) -> None:
    from persona.render.budgets import budgets

    reply: BudgetStatusReply = app.ledger.ask(BudgetStatus())
    found = BudgetStatusReply(
        budgets=[budget for budget in reply.budgets if wanted(budget)],
        unresolved_calls=reply.unresolved_calls,
        timezone=reply.timezone,
    )
    app.emit(output, found, lambda: budgets(found))
    if found.unresolved_calls:
        from persona.render.values import plural

        app.note(
            f"{plural(found.unresolved_calls, 'call')} had no answer and may have been paid for; "
            "`persona cost budget settle` says otherwise"
        )
