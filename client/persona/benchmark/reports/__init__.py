"""Reports of a run: a format is a module with `render(material) -> str`."""

from importlib import import_module

from .material import Material

__all__ = ["FORMATS", "Material", "render"]

FORMATS: dict[str, str] = {
    "markdown": "persona.benchmark.reports.as_markdown",
    "json": "persona.benchmark.reports.as_json",
    "html": "persona.benchmark.reports.as_html",
    "junit": "persona.benchmark.reports.as_junit",
    "github": "persona.benchmark.reports.as_github",
    "bmf": "persona.benchmark.reports.as_bmf",
    "openmetrics": "persona.benchmark.reports.as_openmetrics",
}


def render(format_name: str, material: Material) -> str:
    """The report in one of `FORMATS`."""
    text: str = import_module(FORMATS[format_name]).render(material)
    return text
