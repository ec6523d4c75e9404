"""When a batch will be done.

The work that remains is dealt to the slots that work in parallel: the expected time is the mean
duration of the personas seen so far, times what each slot still has to do; the interval widens
with the spread of the durations and with how few have been seen (Student's t would be wider by
less than the model's own error). Durations of earlier batches stand in while this batch is young.
"""

from collections.abc import Sequence
from math import sqrt

from personad.contract.batch import Eta

_YOUNG = 5
_Z_90 = 1.645


def _whole(duration_ms: float) -> int:
    """Rounded, and no larger than the wire can carry."""
    return round(min(duration_ms, 2**63 - 1))


def eta(
    durations_ms: Sequence[int],
    ages_ms: Sequence[int],
    *,
    pending: int,
    slots: int,
    history_ms: Sequence[int] = (),
) -> Eta | None:
    """How long the rest will take, from now, or None where nothing is known yet.

    Args:
        durations_ms: of this batch's completed personas.
        ages_ms: how long each persona in flight has been running.
        pending: personas that have not begun.
        slots: how many run at once.
        history_ms: durations of earlier batches of the same provider and model.
    """
    sample = list(durations_ms)
    if len(sample) < _YOUNG:
        sample += history_ms
    if not sample:
        return None
    n = len(sample)
    mean = sum(sample) / n
    spread = sqrt(sum((x - mean) ** 2 for x in sample) / (n - 1)) if n > 1 else mean / 2
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
