"""For programs."""

from msgspec import Struct

from persona.benchmark.comparing import Comparison
from persona.benchmark.measures import MeasuredMetric
from persona.render import document

from .history import Earlier, earlier
from .material import Material


class _Document(Struct, frozen=True, kw_only=True):
    run: str
    suite: str
    workload: str
    provider: str
    model: str
    at: str
    commit: str | None
    interrupted: str | None
    environment: dict[str, str]
    metrics: list[MeasuredMetric]
    comparison: Comparison | None
    history: list[Earlier]


def render(material: Material) -> str:
    """One document."""
    run = material.run
    whole = _Document(
        run=run.run,
        suite=run.suite,
        workload=run.workload,
        provider=run.provider,
        model=run.model,
        at=f"{run.at:%Y-%m-%dT%H:%M:%SZ}",
        commit=run.commit,
        interrupted=material.cut,
        environment=dict(material.environment),
        metrics=material.metrics,
        comparison=material.comparison,
        history=earlier(material)[1:],
    )
    return document.render(whole, indent=True).decode()
