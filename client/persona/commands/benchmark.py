"""`persona benchmark`: run workloads, keep what they took, and compare versions."""

import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from persona.app import App, Group, Output, Stopped, output_options, pass_app
from persona.usd import usd
from personad.contract.base import VERSION

from . import benchmark_compare, benchmark_report
from .benchmark_report import metric_named

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from persona.benchmark.choosing import Asked
    from persona.benchmark.running import Chosen, Progress, Ran

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@click.group(cls=Group)
def command() -> None:
    """Measure persona generation on this machine, and find what a version made slower."""


def workload_options(function: Callable[..., T]) -> Callable[..., T]:
    """What is to be run, handed over as `asked: Asked`."""

    def wrapper(*args: Any, **given: Any) -> T:
        from persona.benchmark.choosing import Asked

        fields = {name: given.pop(name) for name in Asked.__struct_fields__}
        return function(*args, asked=Asked(**fields), **given)

    options = [
        click.option("--workload", metavar="NAME", help="Which; the configured one if not given."),
        click.option("--provider", metavar="NAME", help="Another provider than the workload's."),
        click.option("--model", metavar="NAME", help="Not the provider's usual model."),
        click.option("--base-url", metavar="URL", help="Where the provider's server is."),
        click.option(
            "--iterations", type=click.IntRange(1, 1_000_000), metavar="N", help="How many runs."
        ),
        click.option(
            "--processes",
            type=click.IntRange(1, 100),
            default=5,
            show_default=True,
            metavar="N",
            help="Among how many processes the runs are split.",
        ),
        click.option("--budget", type=usd, metavar="USD", help="What a paid run may cost; a stop."),
    ]
    wrapped: Callable[..., T] = update_wrapper(wrapper, function)
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


SUITE = click.option(
    "--suite",
    type=click.Choice(["generation", "micro"]),
    default="generation",
    show_default=True,
    help="Whole workloads, or single parts.",
)


@command.command("run")
@workload_options
@click.option(
    "--suite",
    type=click.Choice(["generation", "micro", "integration"]),
    default="generation",
    show_default=True,
    help="Whole workloads, single parts, or a daemon under load.",
)
@click.option("--users", type=click.IntRange(1, 10_000), default=8, help="Of the load: 8.")
@click.option("--spawn-rate", type=click.FloatRange(0.1), default=50, help="Users a second: 50.")
@click.option("--duration", type=click.FloatRange(1, 86_400), default=20, help="Of it: 20 s.")
@click.option("--only", multiple=True, metavar="METRIC", help="Show only this; repeatable.")
@click.option("--prove-overhead", is_flag=True, help="Only measure what measuring itself takes.")
@output_options
@pass_app
def run(
    app: App,
    asked: "Asked",
    suite: str,
    only: tuple[str, ...],
    prove_overhead: bool,
    users: int,
    spawn_rate: float,
    duration: float,
    output: Output,
) -> int:
    """Run a workload, show what it took, and record it in the ledger.

    What Ctrl-C (130), time or money (75) cut short is recorded, marked, and never compared; 3 says
    that it could not be run.
    """
    from persona.benchmark.measures import SuiteReport
    from persona.benchmark.recording import record, report_of
    from persona.render import benchmarks as shown

    only = tuple(metric_named(name)[0] for name in only)
    if prove_overhead:
        return _prove(app, asked, output)
    if suite == "integration":
        return _load(app, users, spawn_rate, duration, output)
    runs, status = [], 0
    for what in _all_of(app, asked, suite):
        began = time.monotonic()
        ran = _run(app, what)
        event = record(app.ledger, suite, what, ran)
        runs.append(report_of(event, what, ran, time.monotonic() - began, only))
        status = ran.exit_code
        if ran.cut is not None:
            break
    if suite == "micro":
        whole = SuiteReport(suite=suite, runs=runs)
        app.emit(output, whole, lambda: shown.suite(whole))
    else:
        app.emit(output, runs[0], lambda: shown.run(runs[0]))
    return status


def _all_of(app: App, asked: "Asked", suite: str) -> "list[Chosen]":
    from persona.benchmark.choosing import chosen, parts

    return parts(app, asked) if suite == "micro" else [chosen(app, asked)]


def _load(app: App, users: int, spawn_rate: float, duration: float, output: Output) -> int:
    """Ends with 1 where a request failed."""
    from persona.benchmark.integration import Load, run_load
    from persona.benchmark.recording import record_load
    from persona.render.benchmarks import load

    app.note(f"{users} users for {duration:g} s …")
    found = run_load(Load(users=users, spawn_rate=spawn_rate, duration_s=duration))
    record_load(app.ledger, found)
    app.emit(output, found.report, lambda: load(found.report))
    return 1 if found.report.failed else 0


def _prove(app: App, asked: "Asked", output: Output) -> int:
    """Ends with 1 where it is not shown that measuring takes less than 5 %."""
    from persona.benchmark.choosing import chosen, workload
    from persona.benchmark.overhead import LOOKS, prove
    from persona.benchmark.workloads import FREE
    from persona.render.benchmarks import overhead

    name = asked.workload or app.settings.benchmark.default_workload
    provider = asked.provider or workload(name).provider
    if provider not in FREE or asked.base_url is not None:
        raise click.UsageError(
            "what measuring takes is the same whoever answers: leave --provider and --base-url out"
        )
    what = chosen(app, asked)
    with progress_bar(app, f"{what.spec.name}, measured or not", LOOKS[-1]) as told:
        found = prove(what.spec, what.model, told)
    app.emit(output, found, lambda: overhead(found))
    return 0 if found.is_under_5_percent else 1


@command.command("capture")
@workload_options
@SUITE
@click.option("--name", metavar="N", help="The baseline's name; v<version> if not given.")
@click.option("-o", "--output", "path", metavar="FILE", help="Where to; <name>.yaml if not given.")
@click.option("--force", is_flag=True, help="Also over one that is there.")
@pass_app
def capture(
    app: App, asked: "Asked", suite: str, name: str | None, path: str | None, force: bool
) -> int:
    """Run a workload and keep its samples as a baseline, to compare with later."""
    from msgspec.structs import replace

    from persona.benchmark.baseline_file import dump
    from persona.benchmark.recording import baseline_of, record
    from persona.files import write_whole
    from persona.render.values import plural, size

    label = name or f"v{VERSION}"
    if not _NAME.fullmatch(label):
        raise click.UsageError(f"{label!r} is no name: letters, digits, `.`, `_` and `-`")
    folder = Path(app.settings.benchmark.baselines_dir)
    target = Path(path) if path else folder / f"{label}.yaml"
    if target.exists() and not force:
        raise Stopped(f"{target} exists", code=64, hint="--force replaces it; --name keeps both")
    workloads = {}
    for what in _all_of(app, asked, suite):
        ran = _run(app, what)
        event = record(app.ledger, suite, what, ran)
        if ran.cut is not None:
            raise Stopped(
                f"the run was cut short ({ran.cut}), so no baseline was written",
                code=ran.exit_code,
                hint="what there is is recorded: `persona benchmark report` shows it",
            )
        workloads[what.spec.name] = replace(ran.workload, run=event.run)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = dump(baseline_of(label, workloads, Path.cwd(), app.settings.benchmark))
    write_whole(target, data)
    app.note(f"{target} ({size(len(data))}): {plural(len(workloads), 'workload')}")
    return 0


def _run(app: App, what: "Chosen") -> "Ran":
    """With a bar on stderr, where somebody sees it."""
    from persona.benchmark.recording import record_spent
    from persona.benchmark.running import run as run_workload

    with progress_bar(app, what.spec.name, what.iterations) as told:
        ran = run_workload(what, told, spent=record_spent(app.ledger))
    if ran.cut is not None:
        app.note(f"cut short after {ran.workload.iterations} of {what.iterations} runs: {ran.cut}")
    return ran


def progress_bar(app: App, label: str, total: int) -> "AbstractContextManager[Progress]":
    """A bar that is told how many are done; silent where nobody sees it."""
    if app.flags.quiet or not app.errors.is_terminal:
        return nullcontext(lambda done, most: None)
    from persona.render.progress import bar

    return bar(app.errors, label, total)


@command.command("list")
@output_options
@pass_app
def list_(app: App, output: Output) -> None:
    """Show the baselines there are, the newest first; with -v, what they were made of and on."""
    from persona.benchmark.listing import Listing, listed, newest_first
    from persona.render.benchmarks import listing

    folder = Path(app.settings.benchmark.baselines_dir)
    good, bad = newest_first(folder)
    for error in bad:
        app.note(f"{error.source}: {error}")
    found = Listing(baselines=[listed(path, each) for path, each in good])
    full = [each for _, each in good] if app.flags.verbose else []
    app.emit(output, found, lambda: listing(found.baselines, str(folder), full))


@command.command("clean")
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="All but the newest N.")
@click.option("--name", metavar="N", help="The one of this name.")
@pass_app
def clean(app: App, keep: int | None, name: str | None) -> None:
    """Delete baselines: all but the newest, or one by its name."""
    from persona.benchmark.listing import newest_first
    from persona.render.values import plural

    if (keep is None) == (name is None):
        raise click.UsageError("say which: --keep N or --name NAME")
    folder = Path(app.settings.benchmark.baselines_dir)
    good, _ = newest_first(folder)
    gone = good[keep:] if keep is not None else [each for each in good if each[0].stem == name]
    if name is not None and not gone:
        known = ", ".join(path.stem for path, _ in good) or "none"
        raise Stopped(f"there is no baseline {name} in {folder}; there is {known}", code=64)
    if not gone:
        app.note(f"nothing to delete: {folder} holds {plural(len(good), 'baseline')}")
    for path, _ in gone:
        path.unlink()
        app.note(f"deleted {path}")


command.add_command(benchmark_compare.compare)
command.add_command(benchmark_compare.calibrate)
command.add_command(benchmark_report.trends)
command.add_command(benchmark_report.providers)
command.add_command(benchmark_report.report)
