"""Starting runners, and letting a paused or interrupted batch go on: one way for every command."""

import os
from typing import TYPE_CHECKING

from persona.app import App, Stopped

if TYPE_CHECKING:
    from persona.generation.launch import Standby, Tie
    from personad.contract.batch import BatchState


def go_on(app: App, batch: str) -> "BatchState":
    """Has a new runner go on with a batch; the batch as it then is.

    Raises as `let_go_on` and `start`.
    """
    from personad.contract.batch import BatchShow

    let_go_on(app, app.ledger.ask(BatchShow(batch=batch)))
    with standby(app, tied=False) as runner:
        start(app, batch, runner)
    return app.ledger.ask(BatchShow(batch=batch))


def let_go_on(app: App, state: "BatchState") -> None:
    """Allows the batch to run again.

    Raises:
        Stopped: it is running already, its source has changed, or its provider's key is missing.
        LedgerError: `conflict`: it has ended.
    """
    from persona.identity import event_id
    from personad.contract.batch import BatchShow, Resume
    from personad.contract.errors import LedgerError

    _refuse_running(state)
    _refuse_changed(app, state.batch)
    try:
        app.ledger.ask(Resume(batch=state.batch, id=event_id()))
    except LedgerError as error:
        if error.code == "conflict":
            _refuse_running(app.ledger.ask(BatchShow(batch=state.batch)))
        raise


def standby(app: App, *, tied: bool) -> "Standby":
    """A runner that waits to be told its batch. Raises OSError."""
    from persona.generation.launch import Standby

    environ = dict(os.environ) if app.autostart else os.environ | {"PERSONA_AUTOSTART": "0"}
    return Standby(app.paths, tied=tied, environ=environ)


def start(app: App, batch: str, runner: "Standby") -> "Tie | None":
    """Has a runner begin; where it can't, the batch stands still rather than waiting for it."""
    from persona.generation.launch import RunnerFailed
    from personad.contract.batch import Pause
    from personad.contract.errors import LedgerError

    try:
        return runner.take(batch)
    except (RunnerFailed, OSError) as error:
        try:
            app.ledger.ask(Pause(batch=batch, reason="error"))
        except LedgerError as refused:
            app.note(f"{batch} could not be paused: {refused}")
        else:
            app.note(f"{batch} is recorded; `persona generate --resume {batch}` tries again")
        raise error from None


def _refuse_running(state: "BatchState") -> None:
    """Raises Stopped where somebody has resumed it already, or it never stopped."""
    if state.status == "running":
        hint = f"`persona batch watch {state.batch}` shows it; a killed runner is noticed in 15 s"
        raise Stopped(f"{state.batch} is running already", code=1, hint=hint)


def _refuse_changed(app: App, batch: str) -> None:
    """Reads the source again; raises Stopped where it is not what the batch was planned from."""
    from persona.choosing import found_provider
    from persona.generation.plan import make_plan, source_change, wanted_by
    from persona.generation.sources import SourceError
    from personad.contract.batch import BatchStarted
    from personad.contract.events import Read

    (recorded,) = app.ledger.ask(Read(types=["batch.started"], batch=batch, limit=1)).events
    assert isinstance(recorded.event, BatchStarted)
    started = recorded.event
    source = started.source
    found_provider(started.provider, started.model, started.base_url, for_calls=True)
    try:
        change = source_change(source, make_plan(wanted_by(started)).reading)
    except SourceError as error:
        raise Stopped(
            error.message, code=65, where=error.source or source.path, hint=error.hint
        ) from None
    if change is not None:
        raise Stopped(
            f"the source has changed since {batch} was started: {change}",
            code=65,
            where=source.path,
            hint="put the old files back, or start a new batch",
        )
