"""What measuring itself takes: runs in turn, one with all looks at memory and one without.

Whether that is under 5 % is looked at after 60 pairs, and where it is open then, after 120 and 240:
a busy machine needs more of them. The interval pays for the three looks (Bonferroni), so it is too
wide for one, and never too narrow.
"""

from random import SystemRandom

from msgspec import Struct

from .interleaving import Pairs, beside_itself
from .paired import change_of
from .workloads import WorkloadSpec

LOOKS = (60, 120, 240)
"""After so many pairs one looks whether it is shown."""
Z_OF_THREE_LOOKS = 2.394
"""Two-sided, 0.05 / 3 each."""
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


def prove(
    spec: WorkloadSpec, model: str, progress: Pairs, looks: tuple[int, ...] = LOOKS
) -> Overhead:
    """Runs them until it is shown to be under 5 % or over it, or the last look was had.

    Args:
        looks: at most three, rising.

    Raises:
        WorkerFailed, PrivateFailed, OSError: as a comparison does.
    """
    found: list[float] = []
    for wanted in looks:
        blocks = beside_itself(
            spec,
            model,
            wanted - len(found),
            SystemRandom(),
            _onwards(progress, len(found), looks[-1]),
            key="generation_latency_ms",
            first={"memory": False},
        )
        found += [value for block in blocks for value in block]
        estimate, low, high = change_of(found, Z_OF_THREE_LOOKS).percents
        if high < MOST_PERCENT or low >= MOST_PERCENT:
            break
    return Overhead(
        workload=spec.name,
        pairs=len(found),
        percent=estimate,
        low_percent=low,
        high_percent=high,
        is_under_5_percent=high < MOST_PERCENT,
    )


def _onwards(progress: Pairs, had: int, most: int) -> Pairs:
    return lambda done, _: progress(had + done, most)
