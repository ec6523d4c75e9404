"""Starting runners, and letting a paused or interrupted batch go on: one way for every command."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from persona.app import App, Stopped
from persona.resuming import Terms, accepted_source, changes_of, started_of

if TYPE_CHECKING:
    from persona.generation.launch import Standby, Tie
    from personad.contract.batch import BatchState

AS_BEFORE = Terms()


def go_on(app: App, batch: str, *, retry: bool = False) -> "BatchState":
    """Has a new runner go on with a batch; the batch as it then is.

    Raises as `let_go_on` and `start`.
    """
    from personad.contract.batch import BatchShow

    let_go_on(app, app.ledger.ask(BatchShow(batch=batch)), retry=retry)
    with standby(app, tied=False) as runner:
        start(app, batch, runner)
    return app.ledger.ask(BatchShow(batch=batch))


def let_go_on(
    app: App, state: "BatchState", terms: Terms = AS_BEFORE, *, retry: bool = False
) -> None:
    """Allows the batch to run again; where it is a `retry`, its failed personas.

    Raises:
        Stopped: it is running already, its source has changed, its provider's key is missing, or
            the new budget is spent already.
        LedgerError: `conflict`: it has ended.
    """
    from persona.choosing import found_provider
    from persona.identity import event_id
    from personad.contract.batch import BatchShow, Resume, RetryFailed
    from personad.contract.errors import LedgerError

    _refuse_running(state)
    started = started_of(app, state.batch)
    found_provider(started.provider, started.model, started.base_url, for_calls=True)
    source = accepted_source(app, started, accept=terms.accept_changed_source)
    changes = changes_of(state, started, terms, source)
    kind = RetryFailed if retry else Resume
    try:
        app.ledger.ask(kind(batch=state.batch, id=event_id(), changes=changes))
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


def or_paused(app: App, batch: str, run: Callable[[], int]) -> int:
    """What `run` gives; Ctrl-C pauses also before there is a view that hears it."""
    from personad.contract.batch import Pause
    from personad.contract.errors import LedgerError

    try:
        return run()
    except KeyboardInterrupt:
        try:
            app.ledger.ask(Pause(batch=batch, reason="user"))
        except LedgerError as error:
            if error.code == "not-found":
                raise KeyboardInterrupt from None
            raise
        app.note(f"{batch} is paused; `persona generate --resume {batch}` goes on with it")
        return 130


def _refuse_running(state: "BatchState") -> None:
    """Raises Stopped where somebody has resumed it already, or it never stopped."""
    if state.status == "running":
        hint = f"`persona batch watch {state.batch}` shows it; a killed runner is noticed in 15 s"
        raise Stopped(f"{state.batch} is running already", code=1, hint=hint)
