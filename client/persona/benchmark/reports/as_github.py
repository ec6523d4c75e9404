"""For the summary of a GitHub job, with annotations; it takes no token."""

from collections.abc import Sequence

from persona.benchmark.comparing import Comparison
from persona.render import benchmarks, markdown

from . import as_markdown
from .as_junit import said
from .material import Material

_COMMANDS = {"failure": "error", "warning": "warning"}


def render(material: Material) -> str:
    """Markdown, as a job's summary shows it."""
    return as_markdown.render(material)


def of_comparisons(found: Sequence[Comparison]) -> str:
    """The same, of comparisons alone."""
    return "\n".join(
        f"# {markdown.escape(f'{each.current} against {each.baseline}: {each.verdict}')}\n\n"
        f"{markdown.render(benchmarks.comparison(each))}"
        for each in found
    )


def annotations(found: Comparison | None) -> str:
    """Workflow commands: a line for each metric that crossed a threshold."""
    if found is None:
        return ""
    if not found.comparable:
        return f"::notice title=Benchmark::not comparable: {_escaped(found.reason or '')}\n"
    return "".join(
        f"::{_COMMANDS[row.verdict]} title=Benchmark {row.workload}::{_escaped(said(row))}\n"
        for row in found.metrics
        if row.gates and row.verdict in _COMMANDS
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
