"""How benchmarks look."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from . import values
from .tables import COUNT, TEXT, WHEN, Column, Fact, Facts, Kind, Table, View

if TYPE_CHECKING:
    from persona.benchmark.baseline_file import Baseline
    from persona.benchmark.calibrating import Calibration
    from persona.benchmark.comparing import ComparedMetric, Comparison
    from persona.benchmark.integration import LoadReport, Requests
    from persona.benchmark.listing import Listed
    from persona.benchmark.measures import MeasuredMetric, RunReport, SuiteReport
    from persona.benchmark.overhead import Overhead

STYLES = {
    "better": "green",
    "same": "",
    "warning": "yellow",
    "failure": "bold red",
    "inconclusive": "magenta",
    "not comparable": "magenta",
}

CROSSED = ("warning", "failure")
"""Verdicts that say which threshold was crossed."""

UNITS = {
    "generation_latency": "ms",
    "part": "ms",
    "time_to_first_token": "ms",
    "cpu_ms": "ms",
    "cpu_floor_ms": "ms",
    "throughput_personas_per_minute": "/min",
    "memory_peak_mb": "MB",
    "memory_average_mb": "MB",
    "cost_per_persona_usd": "USD",
    "cli_startup": "ms",
}
"""Of the metrics' values; the others are counts or shares."""


def unit(metric: str) -> str:
    """`ms` of `generation_latency_p50` too."""
    base = metric.rpartition("_")[0] if metric[-3:] in ("p50", "p95", "p99") else metric
    return UNITS.get(base, "")


def amount(value: float) -> str:
    """Four significant digits, in thousands where it is large."""
    if value and abs(value) < 0.001:
        return f"{value:.3g}"
    digits = max(0, 3 - len(str(int(abs(value)))) + 1)
    return f"{value:,.{min(digits, 3)}f}"


def percent(value: float) -> str:
    return f"{value:+.1f} %"


AMOUNT = Kind(amount, repr)
PERCENTILE = Kind(
    lambda found: "n/a" if found[0] is None else amount(found[0]),
    lambda found: "" if found[0] is None else repr(found[0]),
)
"""Of one value in brackets, or of None in brackets: there are too few samples to tell."""
PERCENT = Kind(percent, repr)


class _Cell(Struct, frozen=True):
    """A metric's value with its unit; None where it takes more samples to tell it."""

    value: float | None
    metric: str


def _with_unit(cell: _Cell) -> str:
    return "n/a" if cell.value is None else f"{amount(cell.value)} {unit(cell.metric)}".rstrip()


MEASURED_VALUE = Kind(_with_unit, lambda cell: "" if cell.value is None else repr(cell.value))


def _cell(value: float | None, metric: str) -> _Cell | None:
    return None if value is None else _Cell(value, metric)


def measured_columns() -> tuple[Column["MeasuredMetric"], ...]:
    """Of a run's table."""
    return (
        Column("Metric", lambda row: row.metric),
        Column("P50", lambda row: _cell(row.p50, row.metric), MEASURED_VALUE),
        Column("P95", lambda row: _Cell(row.p95, row.metric), MEASURED_VALUE),
        Column("P99", lambda row: _Cell(row.p99, row.metric), MEASURED_VALUE),
        Column("±", lambda row: _cell(row.plus_minus, row.metric), MEASURED_VALUE),
    )


def run(report: "RunReport") -> View:
    """A run's table; percentiles of too few samples are left open."""
    environment = report.environment
    facts = [
        Fact("run", report.run),
        Fact("workload", f"{report.workload} ({report.provider}, {report.model})"),
        Fact("machine", f"{environment.cpu}, {values.plural(environment.cores, 'core')}"),
        Fact("python", f"{environment.python_version}, persona {environment.persona_version}"),
        Fact("took", values.duration(round(report.took_s * 1_000))),
        Fact("warm-up", f"{_dropped(report)}; percentiles of too few runs are n/a"),
    ]
    if environment.os != "Linux":
        facts.append(Fact("memory", "the most a process ever held: only Linux tells each run's"))
    if report.interrupted:
        facts.append(Fact("cut short", report.interrupted, "yellow"))
    return (Table(measured_columns(), report.metrics), Facts(facts))


def _dropped(report: "RunReport") -> str:
    return f"{values.plural(report.warm_up, 'run')} of each process dropped"


class _Part(Struct, frozen=True):
    """A part's time, and its time on a core."""

    name: str
    part: "MeasuredMetric"
    cpu: "MeasuredMetric"


def suite(report: "SuiteReport") -> View:
    """A row a part."""
    rows = []
    for each in report.runs:
        metrics = {row.metric: row for row in each.metrics}
        if "part" in metrics and "cpu_ms" in metrics:
            rows.append(_Part(each.workload, metrics["part"], metrics["cpu_ms"]))
    columns: tuple[Column[_Part], ...] = (
        Column("Part", lambda row: row.name),
        Column("P50", lambda row: _cell(row.part.p50, "part"), MEASURED_VALUE),
        Column("P95", lambda row: _Cell(row.part.p95, "part"), MEASURED_VALUE),
        Column("P99", lambda row: _Cell(row.part.p99, "part"), MEASURED_VALUE),
        Column("±", lambda row: _cell(row.part.plus_minus, "part"), MEASURED_VALUE),
        Column("On a core", lambda row: _cell(row.cpu.p50, "cpu_ms"), MEASURED_VALUE),
        Column("n", lambda row: row.part.n, COUNT),
    )
    took_s = sum(each.took_s for each in report.runs)
    facts = [Fact("took", values.duration(round(took_s * 1_000)))]
    if report.runs:
        facts.append(Fact("warm-up", _dropped(report.runs[0])))
    facts += [Fact("cut short", each.interrupted) for each in report.runs if each.interrupted]
    return (Table(columns, rows), Facts(facts))


def load(report: "LoadReport") -> View:
    """A row a kind of request, and what the daemon did as a whole."""
    columns: tuple[Column[Requests], ...] = (
        Column("Request", lambda row: row.name),
        Column("P50 ms", lambda row: row.p50_ms, AMOUNT),
        Column("P95 ms", lambda row: (row.p95_ms,), PERCENTILE),
        Column("P99 ms", lambda row: (row.p99_ms,), PERCENTILE),
        Column("Answered", lambda row: row.n, COUNT),
        Column("Failed", lambda row: row.failed, COUNT, style=lambda row: "red" * bool(row.failed)),
    )
    lag = "n/a" if report.lag_p99_ms is None else f"{amount(report.lag_p99_ms)} ms"
    facts = [
        Fact("requests a second", amount(report.requests_per_s)),
        Fact("lag, p99", f"{lag}: a small question, asked every 10 ms"),
        Fact("frames", f"{values.count(report.frames)} heard by one watcher"),
        Fact("load", f"{values.plural(report.load.users, 'user')}, {report.load.duration_s:g} s"),
    ]
    return (Table(columns, report.requests), Facts(facts))


def overhead(found: "Overhead") -> View:
    """What measuring takes, and whether that is under 5 % for sure."""
    said = "under 5 %" if found.is_under_5_percent else "NOT SHOWN to be under 5 %"
    style = "green" if found.is_under_5_percent else "yellow"
    return (
        Facts(
            [
                Fact("measuring takes", f"{found.percent:+.2f} %"),
                Fact("95 % interval", f"{found.low_percent:+.2f} to {found.high_percent:+.2f} %"),
                Fact("pairs of runs", values.count(found.pairs)),
                Fact("so it is", said, style),
            ]
        ),
    )


def _interval(row: "ComparedMetric") -> tuple[float, float] | None:
    if row.low_percent is None or row.high_percent is None:
        return None
    return row.low_percent, row.high_percent


INTERVAL = Kind(
    lambda ends: f"{ends[0]:+.1f} to {ends[1]:+.1f} %",
    lambda ends: f"{ends[0]!r} to {ends[1]!r}",
    right=False,
)


def _verdict(row: "ComparedMetric") -> str:
    return row.verdict if row.gates else f"({row.verdict})"


def compared_columns(*, several: bool) -> tuple[Column["ComparedMetric"], ...]:
    """With the workload where there are several of them."""
    workload: tuple[Column[ComparedMetric], ...] = (Column("Workload", lambda row: row.workload),)
    return (workload if several else ()) + (
        Column("Metric", lambda row: row.metric),
        Column("Baseline", lambda row: _cell(row.baseline, row.metric), MEASURED_VALUE),
        Column("Current", lambda row: _cell(row.current, row.metric), MEASURED_VALUE),
        Column("Change", lambda row: row.change_percent, PERCENT),
        Column("95 % interval", _interval, INTERVAL),
        Column("Verdict", _verdict, TEXT, style=lambda row: STYLES[row.verdict]),
    )


def comparison(found: "Comparison") -> View:
    """One comparison: the table, then a line with what crossed which threshold."""
    if not found.comparable:
        return (Facts([Fact("not comparable", found.reason or "", "magenta")]),)
    several = len({row.workload for row in found.metrics}) > 1
    told = [Fact(found.verdict, line, STYLES[found.verdict]) for line in summary(found)]
    return (Table(compared_columns(several=several), found.metrics), Facts(told))


def summary(found: "Comparison") -> list[str]:
    """What the verdict is of, and what was noted."""
    against = f"{found.current} against {found.baseline}"
    lines = [_crossing(row) for row in found.metrics if row.gates and row.verdict in CROSSED]
    notes = [f"{row.metric}: {row.note}" for row in found.metrics if row.note]
    return [f"{against}{': ' if lines else ''}{', '.join(lines)}", *notes]


def _crossing(row: "ComparedMetric") -> str:
    """Which threshold a metric crossed."""
    change = "from nothing" if row.change_percent is None else percent(row.change_percent)
    limit = f"{row.threshold_percent:g} %" if row.threshold_percent else "any increase"
    return f"{row.metric} of {row.workload} {change} ({row.verdict} from {limit} on)"


def _listed_columns() -> tuple[Column["Listed"], ...]:
    return (
        Column("Name", lambda row: row.name),
        Column("Captured", lambda row: row.captured_at, WHEN),
        Column("Version", lambda row: row.version),
        Column("Workloads", lambda row: ", ".join(row.workloads)),
        Column("Size", lambda row: row.size_bytes, Kind(values.size, str)),
    )


def listing(rows: Sequence["Listed"], folder: str, full: Sequence["Baseline"]) -> View:
    """A row a baseline; of those in `full` also what they were made of, and on which machine."""
    empty = f"no baselines in {folder}; `persona benchmark capture` makes one"
    made = [_made(each) for each in full]
    return (Table(_listed_columns(), rows, empty), *([Facts(made)] if made else []))


def _made(baseline: "Baseline") -> Fact:
    machine = baseline.environment
    runs = [
        f"{name} {values.plural(each.iterations, 'run')} in "
        f"{values.plural(len(each.runs), 'process').replace('processs', 'processes')}"
        for name, each in baseline.workloads.items()
    ]
    accepted = [f"{each.metric} accepted: {each.reason}" for each in baseline.accepted]
    parts = [
        *runs,
        f"commit {baseline.commit}" if baseline.commit else "no commit",
        f"{machine.cpu}, {values.plural(machine.cores, 'core')}",
        f"Python {machine.python_version}",
        *accepted,
    ]
    return Fact(baseline.name, "; ".join(parts))


def calibration(found: "Calibration") -> View:
    """What comparisons come to on this machine."""
    return (
        Facts(
            [
                Fact("workload", found.workload),
                Fact("pairs run", values.count(found.pairs)),
                Fact("spread of a pair", f"{found.spread_percent:.1f} %"),
                Fact("false alarms", _share(found.false_alarm_share, found.comparisons)),
                Fact("false failures", _share(found.false_failure_share, found.comparisons)),
                Fact("warnings found", _share(found.found_share, found.comparisons)),
                Fact("failures found", _share(found.failed_share, found.comparisons)),
                Fact("pairs it takes", f"{found.median_pairs:g}, where nothing has changed"),
            ]
        ),
    )


def _share(share: float, of: int) -> str:
    return f"{share * 100:.1f} % of {values.count(of)} comparisons"
