"""What measuring itself takes: runs in turn, one with all looks at memory and one without."""

from random import SystemRandom

from msgspec import Struct

from .interleaving import Pairs, beside_itself
from .paired import change_of
from .workloads import WorkloadSpec

PAIRS = 60
MOST_PERCENT = 5.0


class Overhead(Struct, frozen=True, kw_only=True):
    """By how many percent a run takes longer because it is measured."""

    workload: str
    pairs: int
    percent: float
    low_percent: float
    high_percent: float
    """The end of the 95 % interval."""
    is_under_5_percent: bool
    """Said only where all of the interval is under it."""


def prove(spec: WorkloadSpec, model: str, progress: Pairs, pairs: int = PAIRS) -> Overhead:
    """Runs them.

    Raises:
        WorkerFailed, PrivateFailed, OSError: as a comparison does.
    """
    blocks = beside_itself(
        spec,
        model,
        pairs,
        SystemRandom(),
        progress,
        key="generation_latency_ms",
        first={"memory": False},
    )
    found = [value for block in blocks for value in block]
    estimate, low, high = change_of(found).percents
    return Overhead(
        workload=spec.name,
        pairs=len(found),
        percent=estimate,
        low_percent=low,
        high_percent=high,
        is_under_5_percent=high < MOST_PERCENT,
    )
