"""What recorded runs say together: a metric over time, and providers side by side."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct

from persona.identity import now
from personad.contract.benchmark import BenchmarkFinished, Statistics

from .change_points import LEAST_SEGMENT, change_points
from .comparing import SAME, minor
from .measures import Percentile
from .recording import INTERRUPTED


class TrendPoint(Struct, frozen=True, kw_only=True):
    """One run."""

    at: datetime
    run: str
    version: str
    commit: str | None
    value: float
    n: int
    change: bool
    """Whether a new level begins here."""
    change_percent: float | None = None
    """Of the new level against the one before, where one begins."""
    is_confirmed: bool | None = None
    """Whether another run of the new level followed, without which it is no alert."""


class Trend(Struct, frozen=True, kw_only=True):
    """A metric's way through the runs of one workload, the oldest first."""

    workload: str
    metric: str
    percentile: Percentile
    days: int
    points: list[TrendPoint]
    note: str | None = None
    """Why there are no change points to be seen."""


class ProviderRow(Struct, frozen=True, kw_only=True):
    """The newest run of one provider and model."""

    provider: str
    model: str
    workload: str
    at: datetime
    p50_ms: float | None
    p95_ms: float | None
    ttft_ms: float | None
    tokens_per_s: float | None
    cost_per_persona_usd: float | None
    failures: float | None
    """Share of the calls that gave nothing usable."""
    n: int


class Providers(Struct, frozen=True, kw_only=True):
    """All of them, the fastest first."""

    rows: list[ProviderRow]


def since_days(days: int, timezone: str) -> datetime:
    """The beginning of the last so many civil days, today included."""
    zone = None if timezone == "local" else ZoneInfo(timezone)
    first = now().astimezone(zone).date() - timedelta(days=days - 1)
    midnight = datetime.combine(first, time())
    return midnight.astimezone() if zone is None else midnight.replace(tzinfo=zone)


def trend_of(
    runs: Sequence[BenchmarkFinished], workload: str, which: tuple[str, Percentile], days: int
) -> Trend:
    """Of complete runs of the newest one's machine, provider and input, the newest first.

    Args:
        days: which the runs are of, to be told.
    """
    metric, percentile = which
    usable = [
        each for each in runs if _is_whole(each) and _value(each, metric, percentile) is not None
    ]
    usable = [each for each in usable if _like(each) == _like(usable[0])]
    usable.reverse()
    values = [value for each in usable if (value := _value(each, metric, percentile)) is not None]
    return Trend(
        workload=workload,
        metric=metric,
        percentile=percentile,
        days=days,
        points=_points(usable, values, metric),
        note=_note(values),
    )


def _value(run: BenchmarkFinished, metric: str, percentile: Percentile) -> float | None:
    found = run.summary.get(metric)
    value: float | None = getattr(found, percentile, None)
    return value


def _note(values: Sequence[float]) -> str | None:
    if len(values) < 2 * LEAST_SEGMENT:
        return f"a change can be seen from {2 * LEAST_SEGMENT} runs on; there are {len(values)}"
    return None if all(value > 0 for value in values) else "a metric that is 0 has no change points"


def _points(
    runs: Sequence[BenchmarkFinished], values: Sequence[float], metric: str
) -> list[TrendPoint]:
    begins: list[int] = []
    if all(value > 0 for value in values):
        begins = change_points(values, np.random.default_rng(len(values)))
    edges = [0, *begins, len(values)]
    found = []
    for index, (run, value) in enumerate(zip(runs, values, strict=True)):
        percent, confirmed = None, None
        if index in begins:
            place = edges.index(index, 1)
            before = np.median(values[edges[place - 1] : index])
            after = values[index : edges[place + 1]]
            percent = float((np.median(after) / before - 1) * 100)
            confirmed = len(after) > LEAST_SEGMENT
        found.append(
            TrendPoint(
                at=run.at,
                run=run.run,
                version=run.environment.get("persona_version", ""),
                commit=run.commit,
                value=value,
                n=run.summary[metric].n,
                change=index in begins,
                change_percent=percent,
                is_confirmed=confirmed,
            )
        )
    return found


def _is_whole(run: BenchmarkFinished) -> bool:
    return INTERRUPTED not in run.environment


def _like(run: BenchmarkFinished) -> tuple[str, ...]:
    """What must be alike for runs to lie on one line."""
    told = run.environment
    names = (*SAME, "input_digest")
    python = minor(told.get("python_version", ""))
    return (run.provider, run.model, python, *(told.get(name, "") for name in names))


def side_by_side(runs: Sequence[BenchmarkFinished], names: Sequence[str]) -> Providers:
    """The newest whole run of a workload by each provider and model.

    Args:
        runs: the newest first.
    """
    newest: dict[tuple[str, str], BenchmarkFinished] = {}
    for run in runs:
        if run.suite == "generation" and _is_whole(run) and (not names or run.provider in names):
            newest.setdefault((run.provider, run.model), run)
    rows = [_row(each) for each in newest.values()]
    rows.sort(key=lambda row: (row.p50_ms is None, row.p50_ms or 0.0))
    return Providers(rows=rows)


def _row(run: BenchmarkFinished) -> ProviderRow:
    latency = run.summary.get("generation_latency")
    parsed = run.summary.get("parse_success_rate")
    return ProviderRow(
        provider=run.provider,
        model=run.model,
        workload=run.workload,
        at=run.at,
        p50_ms=_p50(latency),
        p95_ms=latency.p95 if latency else None,
        ttft_ms=_p50(run.summary.get("time_to_first_token")),
        tokens_per_s=_tokens_per_s(run),
        cost_per_persona_usd=_mean(run.summary.get("cost_per_persona_usd")),
        failures=None if parsed is None else 1 - parsed.mean,
        n=latency.n if latency else 0,
    )


def _p50(found: Statistics | None) -> float | None:
    return None if found is None else found.p50


def _mean(found: Statistics | None) -> float | None:
    return None if found is None else found.mean


def _tokens_per_s(run: BenchmarkFinished) -> float | None:
    """Tokens in and out by wall time, over all iterations."""
    tokens = sum(sum(each.get("tokens", ())) for each in run.runs)
    wall_ms = sum(sum(each.get("generation_latency_ms", ())) for each in run.runs)
    return tokens / wall_ms * 1_000 if wall_ms else None
