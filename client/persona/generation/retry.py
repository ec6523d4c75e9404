"""Which failures are worth another attempt, and how long to wait for it."""

from collections.abc import Callable

from persona.generation.providers.base import ErrorKind
from personad.contract.batch import Retry

WORTH_ANOTHER: frozenset[ErrorKind] = frozenset(
    {"timeout", "server_error", "connection", "invalid_output"}
)
DELAY_MAX_MS = 10 * 60 * 1_000
RATE_LIMIT_DELAY_MS = 5_000
"""Where a rate limit names no time."""


def delay_ms(retry: Retry, failures: int, rng: Callable[[], float]) -> int:
    """Exponential backoff with full jitter, after the `failures`-th failure in a row.

    With jitter, the wait is drawn evenly from zero to the whole, which spreads many clients best
    (Brooker, Exponential Backoff And Jitter, 2015). `rng` draws from [0, 1).
    """
    whole = min(retry.delay_ms * retry.multiplier ** (failures - 1), DELAY_MAX_MS)
    return round(whole * (rng() if retry.jitter else 1))
