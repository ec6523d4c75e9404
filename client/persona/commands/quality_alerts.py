"""`persona quality alerts`: when it is told that personas become worse, and when it was."""

import click

from persona.app import App, Group, Output, Stopped, limit_option, output_options, pass_app
from persona.known_metric import expect_metric
from persona.score import score

_METRIC = click.option("--metric", metavar="M", help="Only this one's; all, if not given.")


@click.group("alerts", cls=Group)
def command() -> None:
    """Say when it is told that personas become worse, and see when it was.

    Told is a level below a threshold, and, with all of them enabled, a composite that has dropped
    beyond chance, by provider and model.
    """


@command.command("enable")
@_METRIC
@output_options
@pass_app
def enable(app: App, metric: str | None, output: Output) -> None:
    """Tell when quality drops."""
    _switch(app, output, metric, enabled=True)


@command.command("disable")
@_METRIC
@output_options
@pass_app
def disable(app: App, metric: str | None, output: Output) -> None:
    """Tell nothing of quality, or of one metric."""
    _switch(app, output, metric, enabled=False)


@command.command("set")
@click.option("--metric", required=True, metavar="M", help="Which; composite, or a metric's name.")
@click.option("--threshold", "least", type=score, required=True, metavar="X", help="Below it.")
@output_options
@pass_app
def set_rule(app: App, metric: str, least: float, output: Output) -> None:
    """Set below what a metric is told of; that one is on from then on."""
    from persona.identity import event_id, now
    from personad.contract.budget import AlertConfigured

    expect_metric(app, metric)
    rule = AlertConfigured(
        id=event_id(), at=now(), kind="quality", enabled=True, metric=metric, threshold=least
    )
    app.ledger.append([rule])
    _show(app, output, 100)


@command.command("list")
@limit_option(100, 10_000)
@output_options
@pass_app
def list_alerts(app: App, limit: int, output: Output) -> None:
    """List the alerts on quality, the newest first, and what is watched."""
    _show(app, output, limit)


@command.command("ack")
@click.argument("names", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@output_options
@pass_app
def acknowledge(app: App, names: tuple[str, ...], everything: bool, output: Output) -> None:
    """Mark alerts as seen: by ID, its beginning, or `last`."""
    from persona import acknowledging
    from personad.contract.alerts import MAX_ALERTS, QualityAlerts

    alerts = app.ledger.ask(QualityAlerts(limit=MAX_ALERTS)).alerts
    acknowledging.acknowledge(app, alerts, names, everything=everything)
    _show(app, output, 100)


def _switch(app: App, output: Output, metric: str | None, *, enabled: bool) -> None:
    from persona.identity import event_id, now
    from personad.contract.alerts import QualityAlerts
    from personad.contract.budget import AlertConfigured

    if metric is not None:
        rules = {rule.metric for rule in app.ledger.ask(QualityAlerts(limit=1)).rules}
        if metric not in rules:
            expect_metric(app, metric)
            raise Stopped(
                f"{metric} has no threshold",
                code=64,
                hint=f"`persona quality alerts set --metric {metric} --threshold X` sets one",
            )
    event = AlertConfigured(id=event_id(), at=now(), kind="quality", enabled=enabled, metric=metric)
    app.ledger.append([event])
    _show(app, output, 100)


def _show(app: App, output: Output, limit: int) -> None:
    from persona.acknowledging import have_been_shown
    from persona.render import alerts as shown
    from personad.contract.alerts import QualityAlerts

    reply = app.ledger.ask(QualityAlerts(limit=limit))
    app.emit(output, reply, lambda: shown.of_quality(reply))
    have_been_shown(app, reply.alerts)
