"""Two versions in turn: pairs of runs, until it is known whether the new one is slower."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from math import log
from random import Random
from typing import NamedTuple

from msgspec import Struct

from personad.contract.options import Benchmark

from .comparing import ComparedMetric, Comparison, crossed, shown
from .crew import cores, on_core, simulation, task_of, worker
from .metrics import METRICS, Metric, limits_of
from .other_version import THIS, Installation
from .paired import LOOKS, decide
from .private import Private, private_ledger
from .stored import by_count
from .verdicts import Decision, worst
from .worker import Task
from .workloads import WorkloadSpec

PAIRS_A_PROCESS = 5
"""So many pairs, then both processes are begun anew: each has its own luck with memory."""

PAIRED: dict[str, str] = {
    "cpu_floor_ms": "cpu_ms",
    "generation_latency_p50": "generation_latency_ms",
    "memory_peak_mb": "memory_peak_mb",
}
"""The gating metrics that are compared by pairs, and of which sample."""

Samples = dict[str, list[float]]
Pairs = Callable[[int, int], None]
"""Told after each pair how many there are, and how many there may be."""


class Interleaved(Struct, frozen=True, kw_only=True):
    """A finished comparison, with all that it stands on."""

    comparison: Comparison
    pairs: int
    old: Samples
    new: Samples


def interleave(
    versions: tuple[Installation, Installation],
    spec: WorkloadSpec,
    model: str,
    settings: Benchmark,
    rng: Random,
    progress: Pairs = lambda done, most: None,
) -> Interleaved:
    """Runs old and new in turn, in random order inside each pair, until every gate is decided.

    Raises:
        WorkerFailed, PrivateFailed: one of them can't be run.
        OSError: no room or no right for temporary files.
    """
    old: Samples = {}
    new: Samples = {}
    with ExitStack() as stack:
        environ = dict(os.environ) | simulation(spec)
        first, second = (
            stack.enter_context(private_ledger(each.python, environ | each.environment))
            for each in versions
        )
        sides = (
            Side(versions[0], first, task_of(spec, first, model)),
            Side(versions[1], second, task_of(spec, second, model)),
        )
        pairs = 0
        decided: dict[str, ComparedMetric] = {}
        while True:
            pairs += some_pairs(sides, spec.warm_up, (old, new), rng)
            progress(pairs, LOOKS[-1])
            if pairs in LOOKS and look(spec.name, old, new, settings, decided):
                return Interleaved(
                    comparison=_compared(versions, decided), pairs=pairs, old=old, new=new
                )


def pool(
    spec: WorkloadSpec, model: str, pairs: int, rng: Random, progress: Pairs
) -> list[list[float]]:
    """ln(second / first) of the time on a core of this version with itself, by block of pairs.

    Raises:
        WorkerFailed, PrivateFailed, OSError: as `interleave`.
    """
    return beside_itself(spec, model, pairs, rng, progress, key="cpu_ms")


def beside_itself(
    spec: WorkloadSpec,
    model: str,
    pairs: int,
    rng: Random,
    progress: Pairs,
    *,
    key: str,
    first: dict[str, object] | None = None,
) -> list[list[float]]:
    """ln(second / first) of one sample, by block of pairs of the same processes.

    Args:
        first: what the first one's task says otherwise; without it both do the same.
    """
    blocks: list[list[float]] = []
    environ = dict(os.environ) | simulation(spec)
    with private_ledger(environ=environ) as one, private_ledger(environ=environ) as other:
        sides = (
            Side(THIS, one, task_of(spec, one, model, **(first or {}))),
            Side(THIS, other, task_of(spec, other, model)),
        )
        while len(blocks) * PAIRS_A_PROCESS < pairs:
            kept: tuple[Samples, Samples] = ({}, {})
            some_pairs(sides, spec.warm_up, kept, rng)
            both = zip(kept[0][key], kept[1][key], strict=True)
            blocks.append([log(now / was) for was, now in both])
            progress(len(blocks) * PAIRS_A_PROCESS, pairs)
    return blocks


class Side(NamedTuple):
    """One of the two that run in turn."""

    version: Installation
    private: Private
    task: Task


def some_pairs(
    sides: tuple[Side, Side], warm_up: int, kept: tuple[Samples, Samples], rng: Random
) -> int:
    """Five pairs by two new processes, both on one core, drawn anew.

    Left on any core, one of two processes of the same code was now and then slower by half for a
    whole block. Why is not known (the host's other work, presumably); on one core, blocks of the
    same code differ no more than their pairs do.
    """
    with ExitStack() as stack:
        with on_core(rng.choice(cores())):
            workers = [
                stack.enter_context(worker(each.private, each.task, each.version.python))
                for each in sides
            ]
        for each in workers:
            for _ in range(warm_up):
                each.iterate()
        for _ in range(PAIRS_A_PROCESS):
            for side in rng.sample((0, 1), 2):
                for key, value in workers[side].iterate().items():
                    kept[side].setdefault(key, []).append(value)
    return PAIRS_A_PROCESS


def look(
    workload: str,
    old: Samples,
    new: Samples,
    settings: Benchmark,
    decided: dict[str, ComparedMetric],
) -> bool:
    """Adds what can be decided by now; whether that is all.

    What noise disturbs is decided once, at the first look that can tell: a metric that went on
    being looked at because another one takes longer would have more chances to be wrong. Counts
    are looked at anew each time.
    """
    is_all = True
    for metric in METRICS:
        was, now = metric.figure([old]), metric.figure([new])
        if was is None or now is None or not (metric.gates or metric.judge == "count"):
            continue
        if metric.name in PAIRED and metric.name in decided:
            continue
        decision = _decision(metric, old, new, settings)
        if decision is None:
            is_all = False
            continue
        estimate, low, high = shown(decision.change)
        decided[metric.name] = ComparedMetric(
            workload=workload,
            metric=metric.name,
            baseline=was,
            current=now,
            change_percent=estimate,
            low_percent=low,
            high_percent=high,
            verdict=decision.verdict,
            gates=metric.gates,
            threshold_percent=crossed(decision.verdict, limits_of(metric, settings)),
            note=decision.note,
        )
    return is_all


def _compared(
    versions: Sequence[Installation], decided: Mapping[str, ComparedMetric]
) -> Comparison:
    """All verdicts, in the order of `METRICS`."""
    lines = [decided[each.name] for each in METRICS if each.name in decided]
    return Comparison(
        baseline=versions[0].label,
        current=versions[1].label,
        comparable=True,
        reason=None,
        metrics=lines,
        verdict=worst([line.verdict for line in lines if line.gates]),
    )


def _decision(metric: Metric, old: Samples, new: Samples, settings: Benchmark) -> Decision | None:
    limits = limits_of(metric, settings)
    key = PAIRED.get(metric.name)
    if key is None:
        return by_count(metric.figures([old]), metric.figures([new]), limits)
    return decide([log(now / was) for was, now in zip(old[key], new[key], strict=True)], limits)
