"""`persona generate`: plan, record the batch, start a runner, and from then on only watch."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from persona import standstill
from persona.app import App, pass_app, yes_option
from persona.going_on import go_on, let_go_on, or_paused, standby, start
from persona.outcome import INTERRUPTED, exit_status
from persona.planning import Options, described, planned, provider_of
from persona.quantities import Dollars, Seconds
from persona.resuming import (
    Terms,
    check_checkpoint,
    keep_checkpoint,
    money_of,
    named_batch,
    note_missing,
    refuse_beside_resume,
)

if TYPE_CHECKING:
    from persona.generation.launch import Standby
    from persona.generation.plan import Plan
    from personad.contract.batch import BatchStarted, BatchState

MODES = ["detailed", "compact", "quiet", "json"]
PERSONAS_MAX = 9_999
"""A batch and its queue are one append."""
YEAR_S = 366 * 86_400


@click.command()
@click.option(
    "--from", "source", metavar="PATH", help="A file or folder of interviews, surveys, transcripts."
)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, PERSONAS_MAX),
    default=3,
    show_default=True,
    metavar="N",
    help="How many personas.",
)
@click.option("--progress", "mode", type=click.Choice(MODES), help="What to show while it goes on.")
@click.option("--experiment", metavar="NAME", help="A name to find its costs and quality under.")
@click.option(
    "--provider", metavar="NAME", help="Who writes them: local, anthropic, openai, gemini, ollama."
)
@click.option("--model", metavar="NAME", help="Which model; the provider's usual, if not given.")
@click.option("--base-url", metavar="URL", help="Another server that speaks the same API.")
@click.option(
    "--compare", metavar="PROVIDER/MODEL,…", help="A batch by each of them, from the same segments."
)
@click.option("--concurrency", type=click.IntRange(1, 256), metavar="N", help="How many at a time.")
@click.option("--output", metavar="DIR", help="Where to write; a new or empty folder.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    metavar="N",
    help="The same seed gives the same personas.",
)
@click.option("--language", metavar="CODE", help="Of the source; found out, if not given.")
@click.option("--text-columns", metavar="A,B", help="Which columns of a table hold free text.")
@click.option("--participant-column", metavar="P", help="Which column says who it was.")
@click.option("--no-redact", is_flag=True, help="Leave names, e-mail addresses and numbers in.")
@click.option("--retry-count", type=click.IntRange(0, 100), metavar="N", help="Retries a persona.")
@click.option("--retry-delay", type=Seconds(0, 3_600), metavar="SECONDS", help="Before the first.")
@click.option("--timeout", type=Seconds(0.001, YEAR_S), metavar="SECONDS", help="For the whole.")
@click.option("--call-timeout", type=Seconds(0.001, YEAR_S), metavar="SECONDS", help="For a call.")
@click.option("--budget", type=Dollars(), help="Warn at 80 and 100 % of so many dollars.")
@click.option("--stop-on-budget", is_flag=True, help="Stop before a call that could cross it.")
@click.option("--max-cost", type=Dollars(), help="--budget USD and --stop-on-budget in one.")
@click.option(
    "--checkpoint", metavar="FILE", help="Keep in FILE what another machine needs to go on."
)
@click.option(
    "--resume", metavar="FILE|BATCH", help="Go on with a batch or a checkpoint; `last`: the newest."
)
@click.option(
    "--accept-changed-source", is_flag=True, help="With --resume: with the source as it now is."
)
@click.option("--detach", is_flag=True, help="Start it, and return at once.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and make no call.")
@click.option("--show-prompts", is_flag=True, help="With --dry-run: all that would be sent.")
@click.option("--json", "as_json", is_flag=True, help="One document at the end, as `batch show`.")
@yes_option
@pass_app
def command(app: App, /, **given: object) -> int:
    """Make personas from research data.

    Each is written from one segment of the participants; every quote is theirs, word for word.
    Ctrl-C pauses: nothing that was paid for is lost, and the command that resumes is printed.
    """
    import msgspec

    from persona.choosing import note_what_is_odd
    from persona.estimating import dry_run, estimated, is_agreed, refuse

    options = msgspec.convert(given, Options)
    if options.resume is not None:
        refuse_beside_resume(is_file=os.path.isfile(options.resume))
        return _resume(app, options)
    if not options.source:
        raise click.UsageError("--from PATH is needed: a file or folder of research data")
    if options.accept_changed_source:
        raise click.UsageError("--accept-changed-source goes with --resume")
    if options.show_prompts and not options.dry_run:
        raise click.UsageError("--show-prompts goes with --dry-run")
    if options.compare is not None:
        from .generate_compare import compare

        return compare(app, options)
    provider, model = provider_of(app, options, for_calls=not options.dry_run)
    note_what_is_odd(app, provider, model, options.base_url, is_default=options.provider is None)
    if options.dry_run:
        plan = planned(app, options)
        started, shown = described(app, options, plan), options.show_prompts
        click.echo(dry_run(app, plan, started, show_prompts=shown, as_json=options.as_json))
        return 0
    with standby(app, tied=is_tied(app, options)) as runner:
        plan = planned(app, options)
        started = described(app, options, plan)
        expected = estimated(app, plan, started)
        if expected is not None:
            refuse(expected)
            if not is_agreed(app, expected, yes=options.yes):
                return 1
            started = msgspec.structs.replace(started, estimate_nanousd=expected.expected_nanousd)

        def record_and_run() -> int:
            if options.checkpoint is not None:
                check_checkpoint(started.batch, options.checkpoint)
            record(app, plan, started)
            if options.checkpoint is not None:
                keep_checkpoint(app, started.batch, options.checkpoint)
            return run(app, options, started.batch, runner)

        return or_paused(app, started.batch, record_and_run)


def is_tied(app: App, options: Options) -> bool:
    """Whether the batch is to pause when this process ends: where nobody sees it go on."""
    return not options.detach and not app.errors.is_terminal


def record(app: App, plan: "Plan", started: "BatchStarted") -> None:
    """Takes the output folder, then puts the batch and its queue into the ledger.

    Where either refuses, nothing is left of it.
    """
    from persona.generation.kept_plan import forget, keep
    from persona.generation.output import give_back, missing_folders, prepare_folder
    from persona.generation.plan import queue_of
    from personad.contract.codec import codec, encode
    from personad.contract.errors import LedgerError
    from personad.contract.events import AnyEvent

    events: list[AnyEvent] = [started, *queue_of(started, plan.segments)]
    try:
        codec(AnyEvent).decode(encode(started))
    except LedgerError as error:
        raise click.UsageError(error.message) from None
    except UnicodeEncodeError as error:
        raise click.UsageError(f"a path or an option is no valid UTF-8: {error.object!r}") from None
    app.ledger.append([])
    folder = Path(started.output)
    made = missing_folders(folder)
    prepare_folder(folder, started.batch)
    try:
        keep(app.paths.runs_dir / started.batch, plan)
        app.ledger.append(events)
    except BaseException:
        give_back(folder, started.batch, made)
        forget(app.paths.runs_dir / started.batch)
        raise


def run(
    app: App, options: Options, batch: str, runner: "Standby", *, result_line: bool = True
) -> int:
    """Has the runner begin and watches; gives the exit status."""
    tie = start(app, batch, runner)
    if options.detach:
        if options.as_json:
            _document(app, batch)
        elif result_line:
            click.echo(batch)
        app.note(f"  `persona batch watch {batch}` shows how it goes on")
        return 0
    from persona.render.live import follow
    from persona.warned import Warned

    def resume(paused: str) -> None:
        go_on(app, paused)

    mode = "quiet" if options.as_json else options.mode or app.settings.generate.progress.mode
    with ExitStack() as closing:
        seen = batch if app.errors.is_terminal else closing.enter_context(Warned(app, batch))
        try:
            left = follow(
                app,
                seen,
                mode,
                owner=True,
                resume=resume,
                on_detach=tie.detach if tie is not None else None,
                result_line=result_line and not options.as_json,
            )
        except BrokenPipeError:
            # Whoever read has enough, and nobody is told how it ends.
            with suppress(BrokenPipeError):
                app.note(f"nobody reads on; `persona batch watch {batch}` shows what becomes of it")
            click.get_current_context().exit(INTERRUPTED)
    if not (left.is_silent or left.is_detached):
        _await_checkpoint(app, left.state, runner)
        if left.state.counts.failed and mode == "quiet":
            app.note(f"`persona batch show {batch}` says why they failed")
        for said in standstill.lines(app, left.state):
            app.note(said)
    if options.as_json:
        _document(app, batch)
    return left.status


def _await_checkpoint(app: App, state: "BatchState", runner: "Standby") -> None:
    """Where the batch has a checkpoint, the runner writes it once more after the batch has ended:
    who copies it after this command gets that one, or is told that it isn't it."""
    from persona.generation.checkpoint import place
    from persona.generation.launch import END_S

    file = place(app.paths.runs_dir / state.batch)
    if file is None:
        return
    if not runner.has_ended(END_S):
        app.note(f"{file} is still being written")
    elif not _is_kept(file, state):
        app.note(
            f"{file} could not be written, and does not hold all of the batch: "
            f"`persona batch logs {state.batch}` says why"
        )


def _is_kept(file: Path, state: "BatchState") -> bool:
    from persona.generation.checkpoint import CheckpointError, read

    try:
        found = read(file)
    except (CheckpointError, OSError):
        return False
    return (found.batch, found.completed) == (state.batch, state.counts.completed)


def _document(app: App, batch: str) -> None:
    from persona.app import Output
    from persona.render.batches import batch_show
    from personad.contract.batch import BatchShow

    state = app.ledger.ask(BatchShow(batch=batch))
    app.emit(Output(format="json"), state, lambda: batch_show(state))


def _resume(app: App, options: Options) -> int:
    """Goes on with a paused or interrupted batch; one that has ended is shown as it is."""
    from persona.estimating import is_agreed_to_go_on

    assert options.resume is not None
    asked = money_of(options.budget, options.max_cost, stop=options.stop_on_budget)
    state = named_batch(
        app, options.resume, source=options.source, output=options.output, yes=options.yes
    )
    note_missing(app, state)
    status = exit_status(state)
    if status in (0, 1):
        app.note(f"{state.batch} has ended: it is {state.status}")
        if options.as_json:
            _document(app, state.batch)
        return status
    terms = Terms(
        budget_nanousd=asked.budget_nanousd,
        stop_on_budget=asked.stops,
        concurrency=options.concurrency,
        retries=options.retry_count,
        retry_delay_s=options.retry_delay,
        timeout_s=options.timeout,
        call_timeout_s=options.call_timeout,
        accept_changed_source=options.accept_changed_source,
    )
    if options.checkpoint is not None:
        check_checkpoint(state.batch, options.checkpoint)
        keep_checkpoint(app, state.batch, options.checkpoint)
    if not is_agreed_to_go_on(app, state, yes=options.yes):
        return 1
    with standby(app, tied=is_tied(app, options)) as runner:
        let_go_on(app, state, terms)
        return or_paused(app, state.batch, lambda: run(app, options, state.batch, runner))
