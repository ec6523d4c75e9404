"""When a batch will be done.

The work that remains is dealt to the slots that work in parallel: the expected time is the mean
duration of the personas seen so far, times what each slot still has to do; the interval widens
with the spread of the durations and with how few have been seen (Student's t would be wider by
less than the model's own error). Durations of earlier batches stand in while this batch is young.
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from personad.contract.batch import Eta

YOUNG = 5
"""With fewer personas seen than this, earlier batches of the same model are asked, too."""
_Z_90 = 1.645


def _whole(duration_ms: float) -> int:
    """Rounded, and no larger than the wire can carry."""
    return round(min(duration_ms, 2**63 - 1))


class Seen(NamedTuple):
    """How long personas have taken so far: how many, their mean and their standard deviation."""

    n: int
    mean_ms: float
    spread_ms: float

    @classmethod
    def of_sums(cls, n: int, total_ms: float, square_total: float) -> "Seen":
        """From sums of durations and of their squares; one alone is taken to spread by half."""
        if not n:
            return cls(0, 0, 0)
        mean = total_ms / n
        spread = sqrt(max(0, square_total - total_ms * mean) / (n - 1)) if n > 1 else mean / 2
        return cls(n, mean, spread)

    @classmethod
    def of(cls, durations_ms: Sequence[int]) -> "Seen":
        squares = sum(float(each) ** 2 for each in durations_ms)
        return cls.of_sums(len(durations_ms), float(sum(durations_ms)), squares)


def eta(seen: Seen, ages_ms: Sequence[int], *, pending: int, slots: int) -> Eta | None:
    """How long the rest will take, from now, or None where nothing is known yet.

    Args:
        seen: durations of completed personas, of this batch or of earlier ones of its model.
        ages_ms: how long each persona in flight has been running.
        pending: personas that have not begun.
        slots: how many run at once.
    """
    if not seen.n:
        return None
    n, mean, spread = seen
    left = [max(mean - age, mean / 10) for age in ages_ms]
    work = sum(left) + pending * mean
    parallel = max(1, min(slots, pending + len(left)))
    # The last round is rarely full: the slowest of those in it ends the batch.
    expected = max(work / parallel + (parallel - 1) / (2 * parallel) * spread, max(left, default=0))
    jobs = max(1, pending + len(left))
    error = _Z_90 * spread * sqrt(jobs / parallel + (jobs / parallel) ** 2 / n)
    return Eta(
        low=_whole(max(max(left, default=0) / 2, expected - error, 0)),
        expected=_whole(expected),
        high=_whole(expected + error),
    )
