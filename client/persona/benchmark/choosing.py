"""From what was asked for to what is run: the workload, its provider, how often; and what it costs.

A provider that is paid is never called without a budget, which is a stop.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from persona.app import App, Stopped
from personad.contract.budget import PriceSet
from personad.contract.options import Workload

from .running import Chosen
from .workloads import FREE, PARTS, WORKLOADS, WorkloadSpec

DEFAULT_PROCESSES = 5


class Asked(Struct, frozen=True, kw_only=True):
    """The options that choose what is run."""

    workload: str | None = None
    provider: str | None = None
    model: str | None = None
    base_url: str | None = None
    iterations: int | None = None
    processes: int = DEFAULT_PROCESSES
    budget: int | None = None


def chosen(app: App, asked: Asked) -> Chosen:
    """What is to be run.

    Raises:
        Stopped: there is no such workload, or its provider can't be used.
        click.UsageError: a paid provider without a budget.
    """

    return _chosen(app, asked, workload(asked.workload or _usual(app)))


def parts(app: App, asked: Asked) -> list[Chosen]:
    """The micro suite's parts, or the one that was named."""
    if asked.workload is None:
        return [_chosen(app, asked, spec) for spec in PARTS.values()]
    return [_chosen(app, asked, _named(asked.workload, PARTS, "part of the micro suite"))]


def _usual(app: App) -> str:
    return app.settings.benchmark.default_workload


def _chosen(app: App, asked: Asked, spec: WorkloadSpec) -> Chosen:
    from persona.choosing import chosen as provider_and_model

    provider = asked.provider or spec.provider
    name, model = provider_and_model(
        app, provider, asked.model or spec.model, base_url=asked.base_url, for_calls=True
    )
    spec = replace(spec, provider=name)
    settings = getattr(app.settings.benchmark.workloads, spec.name, Workload())
    limit_s = settings.limit_s if settings.limit_s is not None else spec.limit_s
    found = Chosen(
        spec=spec,
        model=model,
        iterations=asked.iterations or settings.iterations or spec.iterations,
        processes=asked.processes,
        limit_s=limit_s,
        base_url=asked.base_url,
        budget_nanousd=asked.budget,
    )
    if name in FREE:
        return found
    _tell_cost(app, found)
    return replace(found, prices=_prices(app, name))


def _prices(app: App, provider: str) -> list[PriceSet]:
    """The user's own."""
    events = [each.event for each in app.ledger.read_all(types=("price.set",))]
    return [each for each in events if isinstance(each, PriceSet) and each.provider == provider]


def workload(name: str) -> WorkloadSpec:
    """Raises Stopped, with the nearest names, where there is none of that name."""
    return _named(name, WORKLOADS, "workload")


def known_workload(name: str) -> None:
    """Raises Stopped where there is none of that name, and no part of the micro suite either."""
    if name != "integration":
        _named(name, {**WORKLOADS, **PARTS}, "workload")


def _named(name: str, known: Mapping[str, WorkloadSpec], what: str) -> WorkloadSpec:
    found = known.get(name)
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise Stopped(f"there is no {what} `{name}`", code=64, hint=hint)
    return found


def _tell_cost(app: App, found: Chosen) -> None:
    """Says what the run may cost.

    Raises:
        click.UsageError: nobody has said what it may, or nobody knows what it does.
    """
    from persona.estimating import estimated
    from persona.generation.plan import Wanted, make_plan
    from persona.render.plan import estimate_lines
    from persona.render.values import money, plural

    from . import corpus
    from .starting import started_of

    with tempfile.TemporaryDirectory(prefix="persona-benchmark-") as folder:
        source = Path(folder) / "source"
        corpus.write(source, found.spec.source_bytes, found.spec.seed)
        plan = make_plan(Wanted(path=source, count=found.spec.personas, seed=found.spec.seed))
        started = started_of(
            plan,
            batch="batch-2000-01-01-000000",
            provider=found.spec.provider,
            model=found.model,
            base_url=found.base_url,
            concurrency=found.spec.concurrency,
            seed=found.spec.seed,
            output=Path(folder),
        )
        expected = estimated(app, plan, started)
    times = found.iterations + found.spec.warm_up * len(found.shares())
    if expected is not None:
        app.note(f"{times} runs of {plural(found.spec.personas, 'persona')} each; one run:")
        for line in estimate_lines(expected):
            app.note(line)
        low, likely, high = (
            None if each is None else money(each * times)
            for each in (
                expected.low_nanousd,
                expected.expected_nanousd,
                expected.high_nanousd,
            )
        )
        if likely is not None:
            app.note(f"All runs    {likely} expected, {low} to {high}")
    if expected is not None and expected.expected_nanousd is None:
        raise click.UsageError(
            f"nobody knows what {found.spec.provider}/{found.model} costs, so that no budget could "
            "stop it: `persona cost prices set` tells"
        )
    if found.budget_nanousd is None:
        raise click.UsageError(
            f"`{found.spec.provider}` is paid: say what all {times} runs may cost with --budget USD"
        )
