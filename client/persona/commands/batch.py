"""`persona batch`: look at batches, wait for them, and steer them."""

import os
from collections import deque
from typing import get_args

import click

from persona import standstill
from persona.app import App, Group, Output, Stopped, limit_option, output_options, pass_app
from persona.identity import event_id
from persona.outcome import exit_status, in_flight, next_step
from persona.render.values import plural
from personad.contract.batch import (
    BatchList,
    BatchShow,
    BatchState,
    BatchStatus,
    Cancel,
    Pause,
)


@click.group(cls=Group)
def command() -> None:
    """Look at batches of personas, and steer them.

    Wherever an ID is asked, the beginning of one will do, and `last` is the newest batch.
    """


@command.command("list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(get_args(BatchStatus)),
    help="Only batches in this state; repeatable.",
)
@limit_option(100)
@output_options
@pass_app
def list_batches(app: App, statuses: tuple[BatchStatus, ...], limit: int, output: Output) -> None:
    """List batches, the newest first."""
    from persona.render.batches import batch_list

    reply = app.ledger.ask(BatchList(statuses=list(statuses), limit=limit))
    app.emit(output, reply, lambda: batch_list(reply, statuses))


@command.command("show")
@click.argument("batch", metavar="ID")
@output_options
@pass_app
def show(app: App, batch: str, output: Output) -> None:
    """Show one batch: its state, cost and personas."""
    from persona.render.batches import batch_show

    state = app.ledger.ask(BatchShow(batch=batch))
    app.emit(output, state, lambda: batch_show(state))
    for said in standstill.lines(app, state):
        app.note(said)


@command.command("watch")
@click.argument("batch", metavar="ID")
@click.option(
    "--progress",
    "mode",
    type=click.Choice(["detailed", "compact", "quiet", "json"]),
    help="What to show while it goes on; the configuration's, if not given.",
)
@pass_app
def watch(app: App, batch: str, mode: str | None) -> int:
    """Watch a batch live, from any terminal.

    `q` and Ctrl-C leave the view; the batch goes on.
    """
    name = _resolved(app, batch)
    from persona.going_on import go_on
    from persona.render.live import watch as watch_live

    chosen = mode or app.settings.generate.progress.mode
    return watch_live(app, name, chosen, resume=lambda paused: go_on(app, paused))


@command.command("wait")
@click.argument("batch", metavar="ID")
@output_options
@pass_app
def wait(app: App, batch: str, output: Output) -> int:
    """Wait until a batch has ended or stands still.

    Ends like `generate`: 0 all completed, 1 some or all failed or cancelled, 75 stopped by budget,
    provider or time, or its runner is gone, 130 paused by somebody. Ctrl-C leaves only the wait.
    """
    from persona.render.batches import batch_show

    state, status = _ended(app, app.ledger.ask(BatchShow(batch=batch)))
    app.emit(output, state, lambda: batch_show(state))
    for said in standstill.lines(app, state):
        app.note(said)
    if step := next_step(state):
        app.note(step)
    return status


def _ended(app: App, state: BatchState) -> tuple[BatchState, int]:
    status = exit_status(state)
    if status is not None:
        return state, status
    from persona.watch import Watch

    with Watch(app.ledger, app.paths, state.batch) as watched:
        for seen in watched.states():
            if (status := exit_status(seen)) is not None:
                return seen, status
            if watched.problem is not None:
                app.note(f"still waiting: {watched.problem}")
    raise AssertionError("a closed batch has an exit status")


@command.command("pause")
@click.argument("batch", metavar="ID")
@output_options
@pass_app
def pause(app: App, batch: str, output: Output) -> None:
    """Pause a batch, once what is in flight is finished.

    What is in flight is paid for already.
    """
    state = app.ledger.ask(Pause(batch=_resolved(app, batch), id=event_id()))
    flying = in_flight(state)
    said = f"pausing; {flying} in flight" if state.status == "pausing" else state.status
    _steered(app, output, state, f"{state.batch}: {said}")


@command.command("resume")
@click.argument("batch", metavar="ID")
@output_options
@pass_app
def resume(app: App, batch: str, output: Output) -> None:
    """Go on with a paused or interrupted batch.

    A new runner does so, with this shell's keys.
    """
    from persona.going_on import go_on

    state = go_on(app, _resolved(app, batch))
    _steered(app, output, state, f"{state.batch}: resumed")


@command.command("retry")
@click.argument("batch", metavar="ID")
@output_options
@pass_app
def retry(app: App, batch: str, output: Output) -> None:
    """Make the failed personas of a batch again.

    A new runner does so, with this shell's keys; what was completed stays as it is.
    """
    from persona.going_on import go_on

    before = app.ledger.ask(BatchShow(batch=batch))
    state = go_on(app, before.batch, retry=True)
    said = f"{state.batch}: {plural(before.counts.failed, 'failed persona')} made again"
    _steered(app, output, state, said)


@command.command("cancel")
@click.argument("batch", metavar="ID")
@output_options
@pass_app
def cancel(app: App, batch: str, output: Output) -> None:
    """Cancel a batch for good.

    What it has made, and what that cost, stays.
    """
    state = app.ledger.ask(Cancel(batch=_resolved(app, batch), id=event_id()))
    _steered(app, output, state, f"{state.batch}: {state.status}")


@command.command("logs")
@click.argument("batch", metavar="ID")
@click.option("-n", "--lines", type=click.IntRange(min=1), help="Only the last N lines.")
@pass_app
def logs(app: App, batch: str, lines: int | None) -> None:
    """Print what a batch's runner wrote into its log."""
    from persona.render.values import clean

    name = _resolved(app, batch)
    path = app.paths.runs_dir / name / "runner.log"
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            for line in deque(log, lines) if lines else log:
                click.echo(clean(line.rstrip("\n")))
    except FileNotFoundError:
        app.note(f"the runner of {name} has written no log; it would be {path}")
    except OSError as error:
        reason = error.strerror or str(error)
        raise Stopped(reason, code=64, where=os.fspath(path)) from error


def _resolved(app: App, batch: str) -> str:
    """The whole id; raises LedgerError `not-found`, with the nearest ones in its hint."""
    return app.ledger.ask(BatchShow(batch=batch)).batch


def _steered(app: App, output: Output, state: BatchState, said: str) -> None:
    """Say what has taken effect, and what is likely to be wanted next."""
    if output.format == "table" and output.path is None:
        click.echo(said)
    else:
        from persona.render.batches import batch_show

        app.emit(output, state, lambda: batch_show(state))
    if step := next_step(state):
        app.note(f"  {step}")
