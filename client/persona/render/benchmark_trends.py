"""How a metric's way over time looks, and providers side by side."""

from typing import TYPE_CHECKING

from .benchmarks import AMOUNT, PERCENTILE, amount, unit
from .tables import COUNT, SHARE, WHEN, Chart, Column, Fact, Facts, Table, View

if TYPE_CHECKING:
    from persona.benchmark.trending import ProviderRow, Providers, Trend, TrendPoint


def _mark(row: "TrendPoint") -> str | None:
    if not row.change:
        return None
    sure = "" if row.is_confirmed else ", not confirmed yet"
    return f"{row.change_percent:+.1f} % from here{sure}"


def _columns(found: "Trend") -> tuple[Column["TrendPoint"], ...]:
    named = f"{found.percentile.upper()} {unit(found.metric)}".rstrip()
    return (
        Column("When", lambda row: row.at, WHEN),
        Column("Version", lambda row: row.version),
        Column("Commit", lambda row: row.commit),
        Column(named, lambda row: row.value, AMOUNT),
        Column("n", lambda row: row.n, COUNT),
        Column("Change", _mark, style=lambda _: "yellow"),
    )


def trend(found: "Trend", *, plots: bool) -> View:
    """The chart, the runs, and what is to be said."""
    empty = f"no runs of {found.workload}; `persona benchmark run` makes one"
    blocks: list[Chart | Table[TrendPoint] | Facts] = []
    if plots and len(found.points) > 1:
        blocks.append(_chart(found))
    blocks.append(Table(_columns(found), found.points, empty))
    if found.note and found.points:
        blocks.append(Facts([Fact("note", found.note)]))
    return blocks


def _chart(found: "Trend") -> Chart:
    points = found.points
    return Chart(
        title=f"{found.metric} of {found.workload}, {found.percentile.upper()} of each run; "
        "^ marks a change",
        values=[point.value for point in points],
        first=f"{points[0].at:%F}",
        last=f"{points[-1].at:%F}",
        amount=amount,
        marked=frozenset(index for index, point in enumerate(points) if point.change),
        from_zero=False,
    )


def _provider_columns() -> tuple[Column["ProviderRow"], ...]:
    return (
        Column("Provider", lambda row: f"{row.provider}/{row.model}"),
        Column("Workload", lambda row: row.workload),
        Column("P50 ms", lambda row: row.p50_ms, AMOUNT),
        Column("P95 ms", lambda row: (row.p95_ms,), PERCENTILE),
        Column("TTFT ms", lambda row: row.ttft_ms, AMOUNT),
        Column("Tokens/s", lambda row: row.tokens_per_s, AMOUNT),
        Column("Cost/persona", lambda row: row.cost_per_persona_usd, AMOUNT),
        Column("Failures", lambda row: row.failures, SHARE),
        Column("n", lambda row: row.n, COUNT),
    )


def providers(found: "Providers") -> View:
    empty = "no runs yet; `persona benchmark run --provider NAME` makes one"
    return (Table(_provider_columns(), found.rows, empty),)
