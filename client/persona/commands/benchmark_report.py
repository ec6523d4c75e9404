"""`persona benchmark report`, `trends` and `providers`: what recorded runs say."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from persona.app import App, Output, Stopped, output_options, pass_app
from persona.usd import usd

if TYPE_CHECKING:
    from persona.benchmark.measures import Percentile
    from personad.contract.benchmark import BenchmarkFinished

FORMATS = ("markdown", "json", "html", "junit", "github", "bmf", "openmetrics")
MOST_RUNS = 1_000
"""So many of the newest are looked at."""


def recorded_runs(app: App, *, workload: str | None = None) -> "Iterator[BenchmarkFinished]":
    """The newest first."""
    from personad.contract.benchmark import BenchmarkFinished

    newest: deque[BenchmarkFinished] = deque(maxlen=MOST_RUNS)
    for each in app.ledger.read_all(types=("benchmark.finished",)):
        event = each.event
        if isinstance(event, BenchmarkFinished) and workload in (None, event.workload):
            newest.append(event)
    yield from reversed(newest)


def recorded_run(app: App, run: str | None) -> "BenchmarkFinished":
    """The run of that id, or of a unique beginning of one; the newest if it is None or `last`.

    Raises:
        Stopped: there is no such run, or no run at all.
    """
    runs = list(recorded_runs(app))
    if not runs:
        raise Stopped(
            "no run is recorded yet", code=64, hint="`persona benchmark run` makes the first"
        )
    if run in (None, "last"):
        return runs[0]
    found = [each for each in runs if each.run.startswith(run or "")]
    exact = [each for each in found if each.run == run]
    if len(exact or found) != 1:
        known = ", ".join(each.run for each in (found or runs)[:5])
        problem = "is the beginning of several" if found else "is no recorded run"
        raise Stopped(f"{run} {problem}: {known}", code=64)
    return (exact or found)[0]


def metric_named(name: str) -> "tuple[str, Percentile]":
    """Raises click.UsageError where there is none of that name."""
    from persona.benchmark.measures import MEASURES, metric_of

    found = metric_of(name)
    if found is None:
        raise click.UsageError(f"there is no metric {name}; there are {', '.join(MEASURES)}")
    return found


@click.command("trends")
@click.option(
    "--metric", metavar="M", default="generation_latency", show_default=True, help="Of what."
)
@click.option("--workload", metavar="NAME", help="Of this workload; the configured one otherwise.")
@click.option(
    "--days",
    type=click.IntRange(1, 10_000),
    default=30,
    show_default=True,
    metavar="N",
    help="The last N days, today included.",
)
@click.option("--no-plot", is_flag=True, help="Only the table.")
@output_options
@pass_app
def trends(
    app: App, metric: str, workload: str | None, days: int, no_plot: bool, output: Output
) -> None:
    """Show how a metric went from run to run, and where it changed for good."""
    from persona.benchmark.choosing import known_workload
    from persona.benchmark.trending import since_days, trend_of
    from persona.render import benchmark_trends as shown

    which = metric_named(metric)
    name = workload or app.settings.benchmark.default_workload
    runs = list(recorded_runs(app, workload=name))
    if not runs:
        known_workload(name)
    since = since_days(days, app.settings.daemon.timezone)
    found = trend_of([each for each in runs if each.at >= since], name, which, days)
    app.emit(output, found, lambda: shown.trend(found, plots=not no_plot))


@click.command("providers")
@click.option("--provider", "names", multiple=True, metavar="NAME", help="Only this; repeatable.")
@click.option("--workload", metavar="NAME", help="Of this workload; of all if not given.")
@click.option(
    "--iterations",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="First run each --provider so often, on the workload `provider` if not given.",
)
@click.option("--budget", type=usd, metavar="USD", help="What each paid run may cost; a stop.")
@output_options
@pass_app
def providers(
    app: App,
    names: tuple[str, ...],
    workload: str | None,
    iterations: int | None,
    budget: int | None,
    output: Output,
) -> None:
    """Show providers side by side, by the newest run of each; with --iterations, by new ones."""
    from persona.benchmark.choosing import known_workload
    from persona.benchmark.trending import side_by_side
    from persona.render import benchmark_trends as shown

    if workload is not None:
        known_workload(workload)
    if iterations is not None:
        if not names:
            raise click.UsageError("say which to run: --provider NAME, repeatable")
        workload = workload or "provider"
        _run_each(app, names, workload, iterations, budget)
    runs = list(recorded_runs(app, workload=workload))
    _known_providers(names, {each.provider for each in runs})
    found = side_by_side(runs, names)
    missing = [name for name in names if name not in {row.provider for row in found.rows}]
    for name in missing:
        app.note(f"no run of {name}: `persona benchmark run --provider {name}` makes one")
    app.emit(output, found, lambda: shown.providers(found))


def _known_providers(names: tuple[str, ...], recorded: set[str]) -> None:
    """Raises Stopped, with the nearest ones, where nobody has heard of one of them."""
    from difflib import get_close_matches

    from persona.generation.providers import names as all_names

    known = sorted({*all_names(), *recorded})
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 3) or known
            raise Stopped(
                f"there is no provider `{name}`", code=64, hint=f"there are {', '.join(near)}"
            )


def _run_each(
    app: App, names: tuple[str, ...], workload: str, iterations: int, budget: int | None
) -> None:
    """All of them are looked at before the first is run."""
    from persona.benchmark.choosing import Asked, chosen
    from persona.benchmark.recording import record, record_spent
    from persona.benchmark.running import run as run_workload

    from .benchmark import progress_bar

    each = [
        chosen(app, Asked(workload=workload, provider=name, iterations=iterations, budget=budget))
        for name in names
    ]
    for what in each:
        with progress_bar(app, what.spec.provider, what.iterations) as told:
            ran = run_workload(what, told, spent=record_spent(app.ledger))
        record(app.ledger, "generation", what, ran)
        if ran.cut is not None:
            app.note(f"{what.spec.provider} was cut short: {ran.cut}")


@click.command("report")
@click.option("--run", "run_id", metavar="ID", help="Which run; the newest if not given.")
@click.option("--baseline", "name", metavar="NAME|FILE", help="Compare it with this baseline.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMATS),
    default="markdown",
    show_default=True,
    help="What reads it.",
)
@click.option(
    "--compare-history", type=click.IntRange(1, 100), metavar="N", help="Beside the N runs before."
)
@click.option("-o", "--output", "path", metavar="FILE", help="Write to FILE, whole or not at all.")
@pass_app
def report(
    app: App,
    run_id: str | None,
    name: str | None,
    format_name: str,
    compare_history: int | None,
    path: str | None,
) -> None:
    """Write a report of a run, for people, for CI or for a dashboard.

    A page of HTML is no text for a terminal: there it goes into the folder for reports.
    """
    import os
    import sys

    from persona.benchmark.baseline_file import load
    from persona.benchmark.comparing import compare as compared
    from persona.benchmark.judging import with_kept
    from persona.benchmark.listing import named
    from persona.benchmark.recording import kept
    from persona.benchmark.reports import Material, render
    from persona.benchmark.reports.as_github import annotations
    from persona.files import write_whole

    event = recorded_run(app, run_id)
    settings = app.settings.benchmark
    found = None
    if name is not None:
        then = load(named(Path(settings.baselines_dir), name))
        found = compared(then, kept(event), with_kept(settings, then.thresholds))
    before = [
        each
        for each in recorded_runs(app, workload=event.workload)
        if each.at < event.at and each.provider == event.provider
    ][: compare_history or 0]
    data = render(format_name, Material(run=event, comparison=found, history=before)).encode()
    if format_name == "github" and path is None:
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if path:
            with open(path, "ab") as stream:
                stream.write(data)
            sys.stdout.write(annotations(found))
            return
    if path is None and format_name == "html" and app.is_terminal:
        folder = Path(settings.reports_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = str(folder / f"{event.run}.html")
        app.note(path)
    if path in (None, "-"):
        sys.stdout.buffer.write(data)
    else:
        assert path is not None
        write_whole(Path(path), data)
