"""For people, and for whoever pastes it into an issue."""

from persona.render import benchmarks, markdown
from persona.render.tables import Fact, Facts, Table, View

from .history import history
from .material import Material


def render(material: Material) -> str:
    """Headings, the run's table, the comparison, the runs before, the machine."""
    run = material.run
    parts = [f"# Benchmark {run.run}\n"]
    if material.cut:
        parts.append(f"**Cut short: {markdown.escape(material.cut)}. It compares with nothing.**\n")
    parts.append(
        f"`{run.workload}` by `{run.provider}/{run.model}`, {run.at:%F %H:%M} UTC"
        f"{f', commit `{run.commit}`' if run.commit else ''}\n"
    )
    parts.append(_section("Measured", (Table(benchmarks.measured_columns(), material.metrics),)))
    if material.comparison is not None:
        found = material.comparison
        title = f"Against {found.baseline}: {found.verdict}"
        parts.append(_section(title, benchmarks.comparison(found)))
    if material.history:
        parts.append(_section("Earlier runs", (history(material),)))
    facts = Facts([Fact(name, value) for name, value in material.environment])
    parts.append(_section("Machine", (facts,)))
    return "\n".join(parts)


def _section(title: str, view: View) -> str:
    return f"## {title}\n\n{markdown.render(view)}"
