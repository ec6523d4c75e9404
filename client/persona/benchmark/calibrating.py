"""This version against itself: how often a comparison is wrong here, and what it can find.

A pool of pairs is run once. Each comparison draws its pairs from it, in blocks of those that the
same processes ran, so that comparisons by the hundred take no hours; a comparison with a change
that is known is the same with that change added.
"""

import math
from random import Random, SystemRandom

from msgspec import Struct

from personad.contract.options import Benchmark

from .interleaving import Pairs, pool
from .metrics import limits_of, metric
from .paired import LOOKS, decide
from .verdicts import Decision, Limits
from .workloads import WorkloadSpec

DRAWS = 500
"""Comparisons that are drawn from the pool."""


class Calibration(Struct, frozen=True, kw_only=True):
    """What comparisons come to on this machine."""

    workload: str
    pairs: int
    """That were run."""
    comparisons: int
    """That were drawn from them, each way."""
    spread_percent: float
    """Standard deviation of ln(new / old) of a pair."""
    false_alarm_share: float
    false_failure_share: float
    found_share: float
    """Of changes exactly as large as the warning's threshold."""
    failed_share: float
    """Of changes exactly as large as the failure's threshold, how many were called failures."""
    median_pairs: float
    """That it took where nothing had changed."""


def calibrate(
    spec: WorkloadSpec, model: str, settings: Benchmark, pairs: int, progress: Pairs
) -> Calibration:
    """Runs so many pairs of this version with itself.

    Raises:
        WorkerFailed, PrivateFailed, OSError: as `interleave`.
    """
    blocks = pool(spec, model, pairs, SystemRandom(), progress)
    cpu = metric("cpu_floor_ms")
    assert cpu is not None
    return of_blocks(spec.name, blocks, limits_of(cpu, settings), Random(1))


def of_blocks(
    workload: str, blocks: list[list[float]], limits: Limits, rng: Random, draws: int = DRAWS
) -> Calibration:
    """What comparisons drawn from these blocks of ln(new / old) come to."""
    flat = [value for block in blocks for value in block]
    mean = math.fsum(flat) / len(flat)
    variance = math.fsum((value - mean) ** 2 for value in flat) / max(1, len(flat) - 1)

    def many(change: float) -> list[tuple[Decision, int]]:
        return [_drawn(blocks, change, limits, rng) for _ in range(draws)]

    same = many(0.0)
    slower = many(limits.warn_log)
    failing = many(math.log1p(limits.fail_percent / 100))

    def share(found: list[tuple[Decision, int]], *verdicts: str) -> float:
        return sum(each.verdict in verdicts for each, _ in found) / len(found)

    return Calibration(
        workload=workload,
        pairs=len(flat),
        comparisons=draws,
        spread_percent=math.sqrt(variance) * 100,
        false_alarm_share=share(same, "warning", "failure"),
        false_failure_share=share(same, "failure"),
        found_share=share(slower, "warning", "failure"),
        failed_share=share(failing, "failure"),
        median_pairs=sorted(pairs for _, pairs in same)[len(same) // 2],
    )


def _drawn(
    blocks: list[list[float]], change: float, limits: Limits, rng: Random
) -> tuple[Decision, int]:
    """One comparison; either version may be called the new one."""
    values: list[float] = []
    for look in LOOKS:
        while len(values) < look:
            block, sign = rng.choice(blocks), rng.choice((1, -1))
            values += [sign * value + change for value in block]
        found = decide(values[:look], limits)
        if found is not None:
            return found, look
    raise AssertionError("the last look decides")
