"""A run against a kept one: what may be compared at all, and each metric's verdict."""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from personad.contract.options import Benchmark

from .baseline_file import Accepted, Baseline, Environment, Workload
from .metrics import METRICS, Metric, limits_of
from .stored import by_count, by_floor, by_points, by_whole_interval
from .verdicts import Change, Decision, Limits, Verdict, worst

SAME = ("cpu", "cores", "arch", "os")
"""What must be alike of two machines; the clock's speed, for one, need not be."""


class ComparedMetric(Struct, frozen=True, kw_only=True):
    """One line of a comparison."""

    workload: str
    metric: str
    baseline: float
    current: float
    change_percent: float | None
    """None from nothing to something."""
    low_percent: float | None
    high_percent: float | None
    verdict: Verdict
    gates: bool
    """Whether the comparison's own verdict depends on it."""
    threshold_percent: float | None = None
    """The one that was crossed; None where none was."""
    note: str = ""


class Comparison(Struct, frozen=True, kw_only=True):
    """All of one workload's run against one baseline."""

    baseline: str
    current: str
    comparable: bool
    reason: str | None
    metrics: list[ComparedMetric]
    verdict: Verdict


def compare(
    baseline: Baseline,
    current: Baseline,
    settings: Benchmark,
    workloads: Sequence[str] | None = None,
) -> Comparison:
    """The verdicts on `current`, of the workloads that both of them have.

    Args:
        settings: thresholds.
        workloads: only these.
    """
    names = [
        name
        for name in baseline.workloads
        if name in current.workloads and (workloads is None or name in workloads)
    ]
    reason = other_machine(baseline.environment, current.environment)
    if not names:
        reason = reason or "they have no workload in common"
    lines: list[ComparedMetric] = []
    for name in names if reason is None else ():
        old, new = baseline.workloads[name], current.workloads[name]
        reason = _workloads(name, old, new)
        if reason is not None:
            break
        lines += _lines(name, old, new, settings, baseline.accepted)
    verdicts = [line.verdict for line in lines if line.gates]
    return Comparison(
        baseline=baseline.name,
        current=current.name,
        comparable=reason is None,
        reason=reason,
        metrics=lines if reason is None else [],
        verdict=worst(verdicts) if reason is None else "not comparable",
    )


def other_machine(old: Environment, new: Environment) -> str | None:
    """Why runs of these two can't be compared."""
    for name in SAME:
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            return f"another machine: {name} was {was}, and is {now}"
    was, now = (minor(each.python_version) for each in (old, new))
    return None if was == now else f"another Python: it was {was}, and is {now}"


def minor(version: str) -> str:
    """`3.11` of 3.11.7."""
    return ".".join(version.split(".")[:2])


def _workloads(name: str, old: Workload, new: Workload) -> str | None:
    for which, workload in (("baseline", old), ("run", new)):
        if workload.interrupted:
            return f"the {which}'s {name} was interrupted, and is only a part"
    for what in ("provider", "model", "input_digest"):
        was, now = getattr(old, what), getattr(new, what)
        if was != now:
            return f"another {name}: its {what.replace('_', ' ')} was {was}, and is {now}"
    return None


def _lines(
    name: str, old: Workload, new: Workload, settings: Benchmark, accepted: Sequence[Accepted]
) -> list[ComparedMetric]:
    reasons = {each.metric: each.reason for each in accepted}
    found = []
    for metric in METRICS:
        was, now = metric.figures(old.runs), metric.figures(new.runs)
        if was and now:
            found.append(_line(name, metric, (was, now), settings, reasons.get(metric.name)))
    return found


def _line(
    workload: str,
    metric: Metric,
    figures: tuple[list[float], list[float]],
    settings: Benchmark,
    accepted: str | None,
) -> ComparedMetric:
    was, now = figures
    decision = _decision(metric, was, now, settings)
    note = decision.note
    verdict = decision.verdict
    if accepted is not None and verdict in ("warning", "failure"):
        verdict, note = "same", f"accepted: {accepted}"
    estimate, low, high = shown(decision.change)
    return ComparedMetric(
        workload=workload,
        metric=metric.name,
        baseline=float(np.median(was)),
        current=float(np.median(now)),
        change_percent=estimate,
        low_percent=low,
        high_percent=high,
        verdict=verdict,
        gates=metric.gates,
        threshold_percent=crossed(verdict, limits_of(metric, settings)),
        note=note,
    )


def crossed(verdict: Verdict, limits: Limits) -> float | None:
    """The threshold that a verdict says was crossed."""
    match verdict:
        case "warning":
            return limits.warn_percent
        case "failure":
            return limits.fail_percent
        case _:
            return None


def shown(change: Change | None) -> tuple[float | None, float | None, float | None]:
    """Estimate and interval in percent; None for what has no end."""
    if change is None:
        return None, None, None
    estimate, low, high = (value if math.isfinite(value) else None for value in change.percents)
    return estimate, low, high


def _decision(metric: Metric, was: list[float], now: list[float], settings: Benchmark) -> Decision:
    limits = limits_of(metric, settings)
    if metric.judge in ("floor", "whole interval") and min(*was, *now) <= 0:
        return Decision(verdict="not comparable", note="a figure of nothing has no ratio")
    judge = {
        "floor": by_floor,
        "whole interval": by_whole_interval,
        "count": by_count,
        "points": by_points,
    }[metric.judge]
    return judge(was, now, limits)
