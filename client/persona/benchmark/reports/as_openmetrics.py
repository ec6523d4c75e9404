"""OpenMetrics text, for a scraper or a push gateway: a gauge a metric, with its percentiles."""

from persona.benchmark.measures import MeasuredMetric

from .material import Material

_QUANTILES = (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))


def render(material: Material) -> str:
    """All gauges, and the end that the format asks for."""
    run = material.run
    labels = _labels(workload=run.workload, provider=run.provider, model=run.model)
    lines = [line for row in material.metrics for line in _gauge(row, labels)]
    return "\n".join([*lines, "# EOF", ""])


def _gauge(row: MeasuredMetric, labels: str) -> list[str]:
    name = f"persona_benchmark_{row.metric}"
    values = [(quantile, getattr(row, field)) for quantile, field in _QUANTILES]
    return [
        f"# TYPE {name} gauge",
        *(
            f'{name}{{{labels},quantile="{quantile}"}} {value!r}'
            for quantile, value in values
            if value is not None
        ),
        f"# TYPE {name}_mean gauge",
        f"{name}_mean{{{labels}}} {row.mean!r}",
        f"# TYPE {name}_samples gauge",
        f"{name}_samples{{{labels}}} {row.n}",
    ]


def _labels(**values: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
