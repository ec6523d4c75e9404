"""Going on with a batch: from this ledger or from a checkpoint, on the old terms or on new ones."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from persona.app import App, Stopped
from persona.render.values import money

if TYPE_CHECKING:
    from persona.generation.plan import Plan
    from personad.contract.batch import BatchStarted, BatchState, Changes, Retry, Source
    from personad.contract.events import Exported

ONLY_WITH_A_CHECKPOINT = frozenset({"source", "output"})
WITH_RESUME = frozenset(
    {
        "resume",
        "mode",
        "detach",
        "as_json",
        "yes",
        "budget",
        "stop_on_budget",
        "max_cost",
        "concurrency",
        "retry_count",
        "retry_delay",
        "timeout",
        "call_timeout",
        "checkpoint",
        "accept_changed_source",
    }
)
"""What `--resume` takes: all else was decided when the batch was started."""


class Terms(Struct, frozen=True, kw_only=True):
    """What is to be different from now on; None: as it was."""

    budget_nanousd: int | None = None
    stop_on_budget: bool | None = None
    concurrency: int | None = None
    retries: int | None = None
    retry_delay_s: float | None = None
    timeout_s: float | None = None
    call_timeout_s: float | None = None
    accept_changed_source: bool = False


class Money(Struct, frozen=True):
    """What may be spent on a batch, and whether it then stops or only warns; None: as it was."""

    budget_nanousd: int | None
    stops: bool | None


def money_of(budget: int | None, max_cost: int | None, *, stop: bool) -> Money:
    """What `--budget`, `--max-cost` and `--stop-on-budget` say together.

    Raises:
        click.UsageError: they contradict each other.
    """
    if budget is not None and max_cost is not None:
        raise click.UsageError("--max-cost X is --budget X --stop-on-budget: give one of them")
    if max_cost is not None:
        return Money(max_cost, True)
    return Money(budget, True if stop else None)


def refuse_beside_resume(*, is_file: bool) -> None:
    """Raises click.UsageError where the command line has what only a start can decide."""
    from click.core import ParameterSource

    ctx = click.get_current_context()
    taken = WITH_RESUME | (ONLY_WITH_A_CHECKPOINT if is_file else frozenset())
    for param in ctx.command.params:
        given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if given and param.expose_value and param.name not in taken:
            raise click.UsageError(
                f"--resume goes without {param.opts[0]}: the batch keeps what it was started with"
            )


def started_of(app: App, batch: str) -> "BatchStarted":
    """The batch on its present terms."""
    from persona.generation.terms import EVENTS, in_force
    from personad.contract.events import Read

    reply = app.ledger.ask(Read(types=EVENTS, batch=batch))
    return in_force(recorded.event for recorded in reply.events)


def changes_of(
    state: "BatchState", started: "BatchStarted", terms: Terms, source: "Source | None"
) -> "Changes | None":
    """What the resume is to record; None where nothing changes.

    Raises:
        Stopped: the new budget is spent already.
    """
    from personad.contract.batch import Changes

    budget, stops = terms.budget_nanousd, terms.stop_on_budget
    will_stop = started.stop_on_budget if stops is None else stops
    if stops and budget is None and started.budget_nanousd is None:
        raise click.UsageError("--stop-on-budget needs --budget: this batch has none")
    if budget is not None and will_stop and budget <= state.cost.spent_nanousd:
        raise Stopped(
            f"{money(state.cost.spent_nanousd)} of {state.batch} is spent already, and a budget "
            "includes that",
            code=64,
            where="--budget",
            hint=f"give more than {money(budget)}",
        )
    changes = Changes(
        budget_nanousd=budget,
        stop_on_budget=stops,
        concurrency=terms.concurrency,
        retry=_retry(started, terms),
        timeout_ms=_ms(terms.timeout_s),
        call_timeout_ms=_ms(terms.call_timeout_s),
        source=source,
    )
    return None if changes == Changes() else changes


def _retry(started: "BatchStarted", terms: Terms) -> "Retry | None":
    import msgspec

    if terms.retries is None and terms.retry_delay_s is None:
        return None
    given = {"retries": terms.retries, "delay_ms": _ms(terms.retry_delay_s)}
    return msgspec.structs.replace(
        started.retry, **{name: value for name, value in given.items() if value is not None}
    )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000)


def accepted_source(app: App, started: "BatchStarted", *, accept: bool) -> "Source | None":
    """The source as it now is, where it is another one and that is accepted.

    Raises:
        Stopped: it is another one, or can't be read, or fewer personas come of it.
    """
    from persona.generation import kept_plan
    from persona.generation.plan import make_plan, source_change, wanted_by
    from persona.generation.sources import SourceError

    run_dir, path = app.paths.runs_dir / started.batch, Path(started.source.path)
    kept = kept_plan.kept(run_dir, path)
    if kept is not None and kept.reading.digest == started.source.digest:
        return None
    try:
        plan = make_plan(wanted_by(started))
    except SourceError as error:
        raise Stopped(
            error.message, code=65, where=error.source or str(path), hint=error.hint
        ) from None
    change = source_change(started.source, plan.reading)
    if change is None:
        return None
    named = kept_plan.differences(run_dir, path)
    if not accept:
        raise Stopped(
            f"the source has changed since {started.batch} was started: {_few(named) or change}",
            code=65,
            where=started.source.path,
            hint="put the old files back, start a new batch, or go on with what there is now: "
            "--accept-changed-source",
        )
    if plan.total != started.total:
        raise Stopped(
            f"the changed source makes {plan.total} personas, and {started.batch} has "
            f"{started.total}",
            code=65,
            where=started.source.path,
            hint="start a new batch",
        )
    kept_plan.keep(run_dir, plan)
    return source_of(plan)


def _few(named: list[str]) -> str:
    more = f", and {len(named) - 5} more" if len(named) > 5 else ""
    return ", ".join(named[:5]) + more


def source_of(plan: "Plan") -> "Source":
    from personad.contract.batch import Source

    reading = plan.reading
    return Source(
        path=str(Path(reading.path).absolute()),
        digest=reading.digest,
        files=len(reading.files),
        bytes=reading.size_bytes,
        records=len(reading.records),
    )


def named_batch(
    app: App, resume: str, *, source: str | None, output: str | None, yes: bool
) -> "BatchState":
    """The batch that `--resume` means; from a checkpoint it is put into this ledger first.

    Raises:
        CheckpointError: the file is none that can be gone on with.
        Stopped: its calls are not to go where it says.
        LedgerError: `not-found`.
    """
    from personad.contract.batch import BatchShow

    if not os.path.isfile(resume):
        return app.ledger.ask(BatchShow(batch=resume))
    from persona.generation.checkpoint import read
    from personad.contract.errors import LedgerError

    found = read(Path(resume))
    try:
        state = app.ledger.ask(BatchShow(batch=found.batch))
    except LedgerError as error:
        if error.code != "not-found":
            raise
    else:
        if state.batch == found.batch:
            return state
    return _brought_in(app, Path(resume), {"source": source, "output": output}, yes=yes)


def _brought_in(
    app: App, path: Path, given: Mapping[str, str | None], *, yes: bool
) -> "BatchState":
    """A batch of another ledger, as its checkpoint tells it."""
    import msgspec

    from persona.generation import checkpoint, kept_plan
    from persona.generation.output import prepare_folder
    from persona.generation.plan import queue_of
    from persona.generation.terms import in_force
    from personad.contract.batch import BatchShow

    found = checkpoint.read(path)
    try:
        started = in_force(item.event for item in found.items)
    except LookupError as error:
        raise checkpoint.CheckpointError(path, str(error)) from None
    _agree_to_server(app, path, started, yes=yes)
    plan = _same_plan(started, given["source"])
    output = given["output"] or started.output
    started = msgspec.structs.replace(
        started, source=source_of(plan), output=str(Path(output).absolute())
    )
    folder = Path(started.output)
    prepare_folder(folder, started.batch)
    kept_plan.keep(app.paths.runs_dir / started.batch, plan)
    _import(app, checkpoint.replayed(found, started, queue_of(started, plan.segments)))
    return app.ledger.ask(BatchShow(batch=started.batch))


def note_missing(app: App, state: "BatchState") -> None:
    """Says how many of the personas that were made are not in the batch's folder any more, or not
    on this machine."""
    folder = Path(state.output) / "personas"
    missing = state.counts.completed - len(list(folder.glob("*.json")))
    if missing > 0:
        app.note(
            f"{missing} of the completed personas are not in {folder}: copy them from where they "
            "are; they are not made again"
        )


def _agree_to_server(app: App, path: Path, started: "BatchStarted", *, yes: bool) -> None:
    """A file from elsewhere names a server, and this shell's key goes there: whoever resumes it
    is to see where.

    Raises CheckpointError, Stopped.
    """
    from persona.estimating import is_confirmed
    from persona.generation.checkpoint import CheckpointError
    from persona.generation.providers.address import AddressError, address

    if started.base_url is None:
        return
    try:
        server = address(started.base_url)
    except AddressError as error:
        raise CheckpointError(path, str(error)) from None
    if server.is_loopback:
        return
    app.note(f"{path} sends calls, and the key for {started.provider}, to {server.name}")
    if not is_confirmed(app, None, "Send them there?", yes=yes):
        raise Stopped(f"{started.batch} was not brought in: nothing was sent", code=1)


def _same_plan(started: "BatchStarted", source: str | None) -> "Plan":
    """The plan of the same bytes, here. Raises Stopped."""
    import msgspec

    from persona.generation.plan import make_plan, source_change, wanted_by
    from persona.generation.sources import SourceError

    wanted = wanted_by(started)
    if source is not None:
        wanted = msgspec.structs.replace(wanted, path=Path(source))
    try:
        plan = make_plan(wanted)
    except SourceError as error:
        raise Stopped(
            error.message,
            code=65,
            where=error.source or str(wanted.path),
            hint="say where it lies on this machine: --from PATH",
        ) from None
    change = source_change(started.source, plan.reading)
    if change is not None:
        raise Stopped(
            f"this is not the source that {started.batch} was started from: {change}",
            code=65,
            where=str(wanted.path),
            hint="say where that one lies on this machine: --from PATH; a changed one is accepted "
            "only where the batch was started, as a checkpoint holds no segments",
        )
    return plan


def _import(app: App, items: list["Exported"]) -> None:
    from personad.contract.events import Import

    for at in range(0, len(items), 1_000):
        app.ledger.ask(Import(items=items[at : at + 1_000]))


def keep_checkpoint(app: App, batch: str, file: str) -> None:
    """Has the batch's runner write its checkpoint there. Raises OSError."""
    from persona.generation.checkpoint import put_down

    put_down(app.paths.runs_dir / batch, Path(file))


def check_checkpoint(batch: str, file: str) -> None:
    """Looks whether the batch's checkpoint can be written there.

    Raises:
        Stopped: there is something else already, or no folder.
    """
    from persona.generation.checkpoint import CheckpointError, read

    path = Path(file)
    if not path.absolute().parent.is_dir():
        raise Stopped(f"there is no folder {path.absolute().parent}", code=64, where="--checkpoint")
    if path.exists():
        try:
            other = read(path)
        except (CheckpointError, OSError):
            raise Stopped(
                "there is something else in that file", code=64, where=file, hint="name another one"
            ) from None
        if other.batch != batch and other.status not in ("completed", "cancelled"):
            raise Stopped(
                f"that is the checkpoint of {other.batch}, which is {other.status}",
                code=64,
                where=file,
                hint=f"go on with it by `--resume {file}`, or name another file",
            )
