"""`persona benchmark compare` and `calibrate`: is this version slower?"""

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from persona.app import App, Output, Stopped, output_options, pass_app

if TYPE_CHECKING:
    from persona.benchmark.baseline_file import Baseline, Workload
    from persona.benchmark.comparing import Comparison
    from persona.benchmark.judging import Comparisons
    from personad.contract.options import Benchmark


def percents(text: str) -> float:
    """The type of an option that takes a change in percent."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 < value <= 10_000:
        raise click.BadParameter(f"{text!r} is no change in percent above 0: write such as 10")
    return value


@click.command("compare")
@click.option(
    "--baseline", "names", multiple=True, metavar="NAME|FILE", help="The newest if not given."
)
@click.option("--current", metavar="FILE", help="A kept run instead of one of this commit.")
@click.option("--against", metavar="REF|PATH|WHEEL", help="Run that version in turn with this one.")
@click.option("--workload", metavar="NAME", help="Only this workload.")
@click.option(
    "--warn-threshold", type=percents, metavar="N", help="Percent worse to warn of; usually 10."
)
@click.option(
    "--fail-threshold", type=percents, metavar="N", help="Percent worse to fail from; usually 25."
)
@click.option("--threshold", type=percents, metavar="N", help="Warn from N, fail from 2.5 × N.")
@click.option("--ci", is_flag=True, help="Exit by the verdict: 1 warning, 2 failure, 3 none.")
@click.option("--fail-on-regression", is_flag=True, help="Exit with 2 on a failure, else 0.")
@click.option("--strict", is_flag=True, help="With --ci: exit with 1 where it is inconclusive.")
@output_options
@pass_app
def compare(
    app: App,
    names: tuple[str, ...],
    current: str | None,
    against: str | None,
    workload: str | None,
    warn_threshold: float | None,
    fail_threshold: float | None,
    threshold: float | None,
    ci: bool,
    fail_on_regression: bool,
    strict: bool,
    output: Output,
) -> int:
    """Say whether this version is slower than a kept run, or than another version.

    With --against (a commit, a folder, a wheel, or `merge-base`) both run in turn on this machine:
    that is the way to trust. A kept run counts only on the machine that it was made on.
    """
    from persona.benchmark.baseline_file import BaselineError
    from persona.benchmark.judging import FAIL_TIMES, Gate, judged, with_thresholds

    if ci and fail_on_regression:
        raise click.UsageError("--ci and --fail-on-regression exclude each other")
    if strict and not ci:
        raise click.UsageError("--strict goes with --ci")
    if against is not None and (names or current is not None):
        raise click.UsageError("--against runs both versions: no --baseline or --current with it")
    if threshold is not None:
        warn_threshold = threshold if warn_threshold is None else warn_threshold
        fail_threshold = threshold * FAIL_TIMES if fail_threshold is None else fail_threshold
    limits = partial(with_thresholds, warn=warn_threshold, fail=fail_threshold)
    try:
        settings = limits(app.settings.benchmark)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if against is not None:
        found = [_in_turn(app, against, workload, settings)]
    else:
        try:
            found = _with_kept(app, names, current, workload, limits)
        except BaselineError as error:
            if not (ci or fail_on_regression):
                raise
            raise Stopped(str(error), code=3, where=error.source, hint=error.hint) from None
    whole = judged(found, Gate(ci=ci, fail_on_regression=fail_on_regression, strict=strict))
    _show(app, output, whole, is_loud=fail_on_regression)
    if ci or fail_on_regression:
        _tell_github(whole)
    return whole.exit_code


def _tell_github(whole: "Comparisons") -> None:
    """In a job of GitHub's: the job's summary, and an annotation for whatever crossed a threshold.

    The annotations go to stderr, where GitHub finds them too, so that stdout stays the answer.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from persona.benchmark.reports.as_github import annotations, of_comparisons

    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(of_comparisons(whole.comparisons))
    for each in whole.comparisons:
        click.echo(annotations(each), nl=False, err=True)


def _show(app: App, output: Output, whole: "Comparisons", *, is_loud: bool) -> None:
    from persona.render import benchmarks as shown

    app.emit(
        output,
        whole,
        lambda: [block for each in whole.comparisons for block in shown.comparison(each)],
    )
    if is_loud and not any(each.comparable for each in whole.comparisons):
        app.note("NOTHING WAS COMPARED, so nothing was found:")
        for each in whole.comparisons:
            app.note(f"  {each.baseline}: {each.reason}")


def _with_kept(
    app: App,
    names: tuple[str, ...],
    current: str | None,
    workload: str | None,
    limits: "Callable[[Benchmark], Benchmark]",
) -> "list[Comparison]":
    from persona.benchmark.baseline_file import load
    from persona.benchmark.comparing import compare as compared
    from persona.benchmark.judging import with_kept
    from persona.benchmark.listing import named, newest_first

    settings = app.settings.benchmark
    folder = Path(settings.baselines_dir)
    if names:
        kept = [load(named(folder, name)) for name in names]
    else:
        good, bad = newest_first(folder)
        for error in bad:
            app.note(f"{error.source}: {error}")
        if not good:
            raise Stopped(
                f"there is no baseline in {folder} to compare with",
                code=3,
                hint="`persona benchmark capture` makes one; --against REF needs none",
            )
        kept = [good[0][1]]
    wanted = [workload] if workload is not None else None
    if current is not None:
        now = load(named(folder, current))
    else:
        elsewhere = _of_elsewhere(kept)
        if len(elsewhere) == len(kept):
            return elsewhere
        now = _of_now(app, kept, workload)
    return [
        compared(each, now, limits(with_kept(settings, each.thresholds)), wanted) for each in kept
    ]


def _of_elsewhere(baselines: "Sequence[Baseline]") -> "list[Comparison]":
    """Of those that nothing can be compared with here, so that nothing is run for them."""
    from persona.benchmark.comparing import Comparison, other_machine
    from persona.benchmark.environment import environment

    here = environment()
    return [
        Comparison(
            baseline=each.name,
            current="this version",
            comparable=False,
            reason=reason,
            metrics=[],
            verdict="not comparable",
        )
        for each in baselines
        if (reason := other_machine(each.environment, here)) is not None
    ]


def _of_now(app: App, baselines: "Sequence[Baseline]", workload: str | None) -> "Baseline":
    """Of each workload the newest recorded run of this commit, else a new one."""
    from msgspec.structs import replace

    then = {name: each for one in reversed(baselines) for name, each in one.workloads.items()}
    if workload is not None and workload not in then:
        raise Stopped(
            f"the baseline {', '.join(each.name for each in baselines)} has no workload "
            f"`{workload}`",
            code=3,
            hint=f"it has {', '.join(then)}",
        )
    wanted = then if workload is None else {workload: then[workload]}
    if not wanted:
        raise Stopped(f"the baseline {baselines[0].name} has no workload", code=3)
    runs = [_run_of_now(app, name, each) for name, each in wanted.items()]
    together = {name: each for run in runs for name, each in run.workloads.items()}
    return replace(runs[0], workloads=together)


def _run_of_now(app: App, name: str, then: "Workload") -> "Baseline":
    from persona.benchmark.choosing import Asked, chosen, parts
    from persona.benchmark.recording import kept, record
    from persona.benchmark.running import run as run_workload
    from persona.benchmark.workloads import FREE, PARTS

    from .benchmark import progress_bar

    recorded = _recorded(app, name, then)
    if recorded is not None:
        app.note(f"with the recorded run {recorded.name} of this commit")
        return recorded
    if then.provider not in FREE:
        raise Stopped(
            f"the baseline's {name} is by {then.provider}, which is paid, and there is no recorded "
            "run of this commit",
            code=3,
            hint=f"`persona benchmark run --workload {name} --provider {then.provider} --model "
            f"{then.model} --budget USD` makes one",
        )
    asked = Asked(
        workload=name,
        provider=then.provider,
        model=then.model,
        iterations=then.iterations,
        processes=len(then.runs),
    )
    what = parts(app, asked)[0] if name in PARTS else chosen(app, asked)
    with progress_bar(app, name, what.iterations) as told:
        ran = run_workload(what, told)
    event = record(app.ledger, "micro" if name in PARTS else "generation", what, ran)
    if ran.cut is not None:
        raise Stopped(
            f"the run was cut short ({ran.cut}), so nothing was compared",
            code=130 if ran.exit_code == 130 else 3,
            hint=f"`persona benchmark report --run {event.run}` shows what there is",
        )
    return kept(event)


def _recorded(app: App, name: str, then: "Workload") -> "Baseline | None":
    """The newest whole run of this commit, made on this machine as `then` was; not `then` itself.

    Where files differ from the commit, nobody knows what a recorded run was of.
    """
    from persona.benchmark.comparing import other_machine
    from persona.benchmark.environment import commit, environment
    from persona.benchmark.recording import kept
    from persona.benchmark.stored import LEAST_PROCESSES

    from .benchmark_report import recorded_runs

    here = commit(Path.cwd())
    if here is None or here.endswith("+"):
        return None
    for event in recorded_runs(app, workload=name):
        is_alike = (event.provider, event.model) == (then.provider, then.model)
        is_enough = len(event.runs) >= min(LEAST_PROCESSES, len(then.runs))
        if event.commit == here and event.run != then.run and is_alike and is_enough:
            found = kept(event)
            is_whole = not found.workloads[name].interrupted
            if is_whole and other_machine(found.environment, environment()) is None:
                return found
    return None


def _in_turn(app: App, against: str, workload: str | None, settings: "Benchmark") -> "Comparison":
    """Both versions on this machine, in turn."""
    from random import SystemRandom
    from tempfile import TemporaryDirectory

    from persona.benchmark.choosing import Asked, chosen
    from persona.benchmark.interleaving import interleave
    from persona.benchmark.other_version import THIS, set_up
    from persona.benchmark.paired import LOOKS
    from persona.render.values import plural

    from .benchmark import progress_bar

    what = chosen(app, Asked(workload=workload or "quick"))
    with TemporaryDirectory(prefix="persona-benchmark-") as folder:
        app.note(f"setting up {against} …")
        other = set_up(against, Path(folder), Path.cwd())
        pairs = 0

        def tell(done: int, most: int) -> None:
            nonlocal pairs
            pairs = done
            told(done, most)

        with progress_bar(app, f"{what.spec.name}: {other.label}", LOOKS[-1]) as told:
            try:
                found = interleave(
                    (other, THIS), what.spec, what.model, settings, SystemRandom(), tell
                )
            except KeyboardInterrupt:
                raise Stopped(
                    f"interrupted after {plural(pairs, 'pair')} of runs: nothing was decided, and "
                    "nothing of them is kept",
                    code=130,
                ) from None
    app.note(f"{found.pairs} pairs of runs")
    return found.comparison


@click.command("calibrate")
@click.option("--workload", metavar="NAME", default="quick", show_default=True, help="What to run.")
@click.option(
    "--pairs",
    type=click.IntRange(10, 10_000),
    default=120,
    show_default=True,
    metavar="N",
    help="How many pairs of runs to make; comparisons are drawn from them.",
)
@output_options
@pass_app
def calibrate(app: App, workload: str, pairs: int, output: Output) -> None:
    """Compare this version with itself: the false alarms of this machine, and what it can show."""
    from persona.benchmark.calibrating import calibrate as calibrated
    from persona.benchmark.choosing import Asked, chosen
    from persona.render.benchmarks import calibration

    from .benchmark import progress_bar

    what = chosen(app, Asked(workload=workload))
    with progress_bar(app, f"{workload} with itself", pairs) as told:
        found = calibrated(what.spec, what.model, app.settings.benchmark, pairs, told)
    app.emit(output, found, lambda: calibration(found))
