"""`persona demo seed`: a ledger with half a year in it, to look around in."""

import os
import shlex
from pathlib import Path

import click

from persona.app import App, Group, Stopped, pass_app

ENDING = "-demo"


@click.group(cls=Group)
def command() -> None:
    """A ledger to try things on, apart from your own."""


@command.command("seed")
@click.option("--into", metavar="DIR", help="Another folder than the usual one for it.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another history.")
@pass_app
def seed(app: App, into: str | None, seed: int) -> None:
    """Fill a separate ledger with 180 days of invented history, and say how to look at it.

    It never touches a ledger that has anything in it.
    """
    from persona.client import Ledger
    from persona.demo_history import DAYS, history
    from persona.identity import now
    from persona.render.values import plural
    from personad.contract.admin import Hello
    from personad.contract.paths import in_use, resolve_paths

    folder = into or f"{app.paths.data_dir}{ENDING}"
    if Path(folder).resolve() == Path(app.paths.data_dir).resolve():
        raise click.UsageError(f"{folder} is your own ledger: name another folder with --into")
    paths = in_use(resolve_paths(app.settings, ledger=folder, environ=os.environ))
    moment = now()
    with Ledger(paths, autostart=app.autostart) as ledger:
        if ledger.ask(Hello()).last_seq:
            raise Stopped(
                f"{folder} has something in it already",
                code=64,
                hint=f"look at it: persona --ledger {shlex.quote(folder)} cost; or name another "
                "folder with --into",
            )
        count = 0
        for events in history(moment.date(), moment, seed):
            if events:
                ledger.append(events)
                count += len(events)
    where = shlex.quote(folder)
    app.note(f"{plural(count, 'event')} of {DAYS} days are in {folder}. Look around:")
    for line in (
        "cost",
        "cost history --days 60",
        "cost breakdown --by model",
        "cost optimise",
        "quality trends",
        "batch list",
        "quality goals list",
    ):
        click.echo(f"persona --ledger {where} {line}")
