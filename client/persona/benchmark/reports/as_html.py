"""One HTML file with its pictures in it: nothing is loaded from anywhere."""

from collections.abc import Sequence
from html import escape
from typing import Any

from persona.benchmark.comparing import ComparedMetric
from persona.render.benchmarks import amount, measured_columns, unit
from persona.render.tables import Table, shown

from .as_junit import said
from .history import history
from .material import Material

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #8884; text-align: left; }
td.right, th.right { text-align: right; font-variant-numeric: tabular-nums; }
.failure { color: #c62828; font-weight: 600; } .warning { color: #b26a00; font-weight: 600; }
.better { color: #2e7d32; } .inconclusive, .not-comparable { color: #7b1fa2; }
svg { display: block; margin: .5rem 0 1rem; max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; }
.table { overflow-x: auto; }
"""
_WIDTH, _ROW, _LEFT = 720, 26, 230
_COLOURS = {"failure": "#c62828", "warning": "#b26a00", "better": "#2e7d32"}
_OTHER = "#5c6bc0"


def render(material: Material) -> str:
    """The page."""
    run = material.run
    title = f"Benchmark {run.run}"
    told = f"{run.workload} by {run.provider}/{run.model}, {run.at:%F %H:%M} UTC"
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(told)}</p>"]
    if material.cut:
        parts.append(f'<p class="failure">Cut short: {escape(material.cut)}</p>')
    parts += ["<h2>Measured</h2>", _table(Table(measured_columns(), material.metrics))]
    latencies = [each.get("generation_latency_ms", []) for each in run.runs]
    if any(latencies):
        parts += ["<h3>Latency of every run, a line a process</h3>", _strips(latencies)]
    if material.comparison is not None:
        found = material.comparison
        parts.append(f"<h2>Against {escape(found.baseline)}: {_verdict(found.verdict)}</h2>")
        if found.comparable:
            parts += [_intervals(found.metrics), _compared(found.metrics)]
        else:
            parts.append(f"<p>{escape(found.reason or '')}</p>")
    if material.history:
        parts += ["<h2>Earlier runs</h2>", _table(history(material))]
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in material.environment
    )
    parts.append(f"<h2>Machine</h2><dl>{facts}</dl>")
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n"
        f"</body></html>\n"
    )


def _verdict(verdict: str) -> str:
    return f'<span class="{verdict.replace(" ", "-")}">{escape(verdict)}</span>'


def _table(table: Table[Any]) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        classes = [' class="right"' if column.kind.right else "" for column in table.columns]
        pairs = zip(classes, cells, strict=True)
        return "".join(f"<{tag}{each}>{escape(cell)}</{tag}>" for each, cell in pairs)

    head = row("th", [column.title for column in table.columns])
    rows = "".join(
        f"<tr>{row('td', [shown(column, each) for column in table.columns])}</tr>"
        for each in table.rows
    )
    return f'<div class="table"><table><tr>{head}</tr>{rows}</table></div>'


def _compared(rows: Sequence[ComparedMetric]) -> str:
    lines = "".join(
        f"<li>{_verdict(row.verdict)}: {escape(said(row))}"
        f"{f' – {escape(row.note)}' if row.note else ''}</li>"
        for row in rows
        if row.gates
    )
    return f"<ul>{lines}</ul>"


def _intervals(rows: Sequence[ComparedMetric]) -> str:
    """A line a metric: its estimate and interval, around no change."""
    drawn = [
        (row, row.change_percent, row.low_percent, row.high_percent)
        for row in rows
        if row.change_percent is not None
        and row.low_percent is not None
        and row.high_percent is not None
    ]
    if not drawn:
        return ""
    reach = max(5.0, *(abs(value) for _, *values in drawn for value in values)) * 1.1
    height = _ROW * len(drawn) + 30

    def x(percent: float) -> float:
        return _LEFT + (percent + reach) / (2 * reach) * (_WIDTH - _LEFT - 20)

    marks = [f'<line x1="{x(0):.1f}" y1="4" x2="{x(0):.1f}" y2="{height - 24}" stroke="#888"/>']
    for index, (row, change, low, high) in enumerate(drawn):
        y = _ROW * index + 18
        colour = _COLOURS.get(row.verdict, _OTHER)
        marks.append(
            f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(row.metric)}</text>'
            f'<line x1="{x(low):.1f}" y1="{y}" x2="{x(high):.1f}" y2="{y}" stroke="{colour}" '
            f'stroke-width="3"/><circle cx="{x(change):.1f}" cy="{y}" r="5" fill="{colour}"/>'
        )
    marks += [
        f'<text x="{x(percent):.1f}" y="{height - 6}" text-anchor="middle">{percent:+.0f} %</text>'
        for percent in (-reach / 1.1, 0.0, reach / 1.1)
    ]
    return _svg(height, marks, "change of each metric with its 95 % interval")


def _strips(runs: Sequence[Sequence[float]]) -> str:
    """Every sample as a dot, a line a process."""
    values = [value for run in runs for value in run]
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    height = _ROW * len(runs) + 30

    def x(value: float) -> float:
        return 90 + (value - low) / width * (_WIDTH - 130)

    marks = []
    for index, run in enumerate(runs):
        y = _ROW * index + 18
        marks.append(f'<text x="0" y="{y + 4}">process {index + 1}</text>')
        marks += [
            f'<circle cx="{x(value):.1f}" cy="{y}" r="3.5" fill="{_OTHER}" fill-opacity=".45"/>'
            for value in run
        ]
    ms = unit("generation_latency")
    marks.append(f'<text x="90" y="{height - 6}">{amount(low)} {ms}</text>')
    marks.append(
        f'<text x="{_WIDTH - 40}" y="{height - 6}" text-anchor="end">{amount(high)} {ms}</text>'
    )
    return _svg(height, marks, "latency of every run")


def _svg(height: int, marks: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(marks)}</svg>'
    )
