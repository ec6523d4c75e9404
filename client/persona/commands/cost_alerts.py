"""`persona cost alerts`: which budgets were used up to a threshold, and whether that is told."""

import click

from persona.app import App, Group, Output, limit_option, output_options, pass_app


@click.group("alerts", cls=Group)
def command() -> None:
    """See which budgets were used up to a threshold, and say whether that is told.

    Setting a budget switches its alerts on. What is raised is shown once, by the next command.
    """


@command.command("enable")
@output_options
@pass_app
def enable(app: App, output: Output) -> None:
    """Tell when a budget is used up to one of its thresholds."""
    _switch(app, output, enabled=True)


@command.command("disable")
@output_options
@pass_app
def disable(app: App, output: Output) -> None:
    """Tell nothing of budgets; one with `--action stop` still stops.

    A budget that is set afterwards is told of again.
    """
    _switch(app, output, enabled=False)


@command.command("list")
@limit_option(100, 10_000)
@output_options
@pass_app
def list_alerts(app: App, limit: int, output: Output) -> None:
    """List the alerts on budgets, the newest first."""
    _show(app, output, limit)


@command.command("ack")
@click.argument("names", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@output_options
@pass_app
def acknowledge(app: App, names: tuple[str, ...], everything: bool, output: Output) -> None:
    """Mark alerts as seen: by ID, its beginning, or `last`."""
    from persona import acknowledging
    from personad.contract.alerts import MAX_ALERTS, CostAlerts

    alerts = app.ledger.ask(CostAlerts(limit=MAX_ALERTS)).alerts
    acknowledging.acknowledge(app, alerts, names, everything=everything)
    _show(app, output, 100)


def _switch(app: App, output: Output, *, enabled: bool) -> None:
    from persona.identity import event_id, now
    from personad.contract.budget import AlertConfigured

    app.ledger.append([AlertConfigured(id=event_id(), at=now(), kind="cost", enabled=enabled)])
    _show(app, output, 100)


def _show(app: App, output: Output, limit: int) -> None:
    from persona.acknowledging import have_been_shown
    from persona.render import alerts as shown
    from personad.contract.alerts import CostAlerts

    reply = app.ledger.ask(CostAlerts(limit=limit))
    app.emit(output, reply, lambda: shown.of_cost(reply))
    have_been_shown(app, reply.alerts)
