"""`persona quality`: what personas are worth, and whether that changes."""

import math

import click

from persona.app import App, Group, Output, Stopped, output_options, pass_app
from persona.asking import ALL, filter_options, range_options
from persona.known_metric import expect_metric
from persona.score import score
from personad.contract.asking import Filter, Range
from personad.contract.quality import GoalCleared, GoalSet, QualityGoals, QualityTrends

from . import quality_alerts, quality_consistency, quality_providers, quality_score

BELOW = 2
NOTHING = MISSED = 1


@click.group(cls=Group)
def command() -> None:
    """See what personas are worth, and whether it is getting worse."""


@command.command("trends")
@click.option("--metric", "metrics", multiple=True, metavar="M", help="Only this; repeatable.")
@click.option("--no-plot", is_flag=True, help="Only the table.")
@range_options
@filter_options
@output_options
@pass_app
def trends(
    app: App, metrics: tuple[str, ...], no_plot: bool, span: Range, only: Filter, output: Output
) -> None:
    """Show each metric over time, and whether it goes up or down beyond chance."""
    from persona.render import qualities as shown

    reply = app.ledger.ask(QualityTrends(range=span, filter=only, metrics=list(metrics)))
    app.emit(output, reply, lambda: shown.trends(reply, plots=not no_plot))


@command.command("summary")
@range_options
@filter_options
@output_options
@pass_app
def summary(app: App, span: Range, only: Filter, output: Output) -> None:
    """Show on one screen what personas are worth: metrics, goals, the accepted share, alerts."""
    from persona.render import qualities as shown
    from personad.contract.alerts import MAX_ALERTS, QualityAlerts
    from personad.contract.cost import CostHistory

    trends_ = app.ledger.ask(QualityTrends(range=span, filter=only))
    made = app.ledger.ask(CostHistory(range=span, filter=only, interval="month"))
    # An old one that nobody has acknowledged stands there, too, however many came after it.
    alerts = app.ledger.ask(QualityAlerts(limit=MAX_ALERTS)).alerts
    found = shown.summary_of(trends_, app.ledger.ask(QualityGoals()), alerts, made.total)
    app.emit(output, found, lambda: shown.summary(found))


@command.command("history")
@click.option("--experiment", required=True, metavar="NAME", help="Which; `all` for every one.")
@range_options
@output_options
@pass_app
def history(app: App, experiment: str, span: Range, output: Output) -> None:
    """Show an experiment's scores day by day."""
    from persona.render import qualities as shown

    only = Filter(experiments=[] if experiment == ALL else [experiment])
    found = shown.history_of(experiment, app.ledger.ask(QualityTrends(range=span, filter=only)))
    app.emit(output, found, lambda: shown.history(found))


def least(text: str) -> tuple[str, float]:
    """`composite=0.8`: the type of `--min`."""
    metric, equals, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (metric.strip() and equals and 0 <= value <= 1):
        raise click.BadParameter(f"{text!r} is no METRIC=X with X from 0 to 1")
    return metric.strip(), value


@command.command("check")
@click.option("--min", "required", multiple=True, type=least, metavar="METRIC=X", help="At least.")
@click.option("--allow-empty", is_flag=True, help="Nothing to check is no reason to fail.")
@range_options
@filter_options
@output_options
@pass_app
def check(
    app: App,
    required: tuple[tuple[str, float], ...],
    allow_empty: bool,
    span: Range,
    only: Filter,
    output: Output,
) -> int:
    """Check what personas are worth, for CI.

    Required is what `--min` says, each goal that is set, and the threshold of each alert that is
    on. Ends with 0 if all of it is met, 1 if a goal is missed or there is nothing to check, 2 if
    something is below a `--min` or an alert's threshold. Nothing is also what nothing is required
    of.
    """
    from persona.render import qualities as shown
    from personad.contract.alerts import QualityAlerts

    for metric, _x in required:
        expect_metric(app, metric)
    wanted: list[shown.Required] = [(metric, x, "min") for metric, x in required]
    wanted += [(each.metric, each.target, "goal") for each in app.ledger.ask(QualityGoals()).goals]
    rules = app.ledger.ask(QualityAlerts(limit=1)).rules
    wanted += [(each.metric, each.threshold, "alert") for each in rules if each.enabled]
    reply = app.ledger.ask(QualityTrends(range=span, filter=only))
    found = shown.checked(reply, wanted)
    app.emit(output, found, lambda: shown.checks(found))
    if others := shown.left_out_of(reply):
        app.note(f"scores by {', '.join(others)} are left out: they don't compare with newer ones")
    if found.verdict == "nothing to check":
        if found.checks:
            app.note("there are no scores in this range")
        return 0 if allow_empty else NOTHING
    return {"met": 0, "below a goal": MISSED}.get(found.verdict, BELOW)


@command.group("goals", cls=Group)
def goals() -> None:
    """Say what personas are to be worth, and see how far that is."""


@goals.command("set")
@click.option("--metric", required=True, metavar="M", help="Which; composite, or a metric's name.")
@click.option("--target", type=score, required=True, metavar="X", help="At least; up to 1.")
@output_options
@pass_app
def set_goal(app: App, metric: str, target: float, output: Output) -> None:
    """Set a goal; it stands until it is cleared or set anew."""
    from persona.identity import event_id, now

    expect_metric(app, metric)
    app.ledger.append([GoalSet(id=event_id(), at=now(), metric=metric, target=target)])
    _show_goals(app, output)


@goals.command("list")
@output_options
@pass_app
def list_goals(app: App, output: Output) -> None:
    """Show each goal, how far it is, and when the present trend reaches it."""
    _show_goals(app, output)


@goals.command("clear")
@click.option("--metric", required=True, metavar="M", help="Which.")
@output_options
@pass_app
def clear_goal(app: App, metric: str, output: Output) -> None:
    """Clear a goal."""
    from persona.identity import event_id, now

    known = [goal.metric for goal in app.ledger.ask(QualityGoals()).goals]
    if metric not in known:
        listed = f"; there is {', '.join(known)}" if known else "; none is set"
        raise Stopped(f"no goal for {metric} is set{listed}", code=64)
    app.ledger.append([GoalCleared(id=event_id(), at=now(), metric=metric)])
    _show_goals(app, output)


def _show_goals(app: App, output: Output) -> None:
    from persona.render import qualities as shown

    reply = app.ledger.ask(QualityGoals())
    app.emit(output, reply, lambda: shown.goals(reply))


command.add_command(quality_alerts.command)
command.add_command(quality_providers.command)
command.add_command(quality_consistency.command)
command.add_command(quality_score.score)
command.add_command(quality_score.rescore)
