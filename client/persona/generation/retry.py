"""Which failures are worth another attempt, and how long to wait for it."""

from collections.abc import Callable

from persona.generation.gate import Slept
from persona.generation.pace import Turn
from persona.generation.providers.base import ErrorKind, ProviderError
from personad.contract.batch import Retry

WORTH_ANOTHER: frozenset[ErrorKind] = frozenset(
    {"timeout", "server_error", "connection", "invalid_output"}
)
ALL_STOP: frozenset[ErrorKind] = frozenset({"authentication", "quota_exhausted"})
"""What no other persona's call would fare better with."""
DELAY_MAX_MS = 10 * 60 * 1_000
RATE_LIMIT_DELAY_MS = 5_000
"""Where a rate limit names no time."""
ASKED_MIN_MS, ASKED_MAX_MS = 100, 24 * 3_600 * 1_000
"""What is believed of a time that a provider names: neither a flood nor for ever."""


class StoppedByProvider(Exception):
    """Nobody's persona can be made: a key is not taken, or what was paid in advance is used up."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.reason = kind.replace("_", " ")


def is_failure(error: ProviderError, turn: Turn) -> bool:
    """Whether it counts against its persona; it doesn't where nobody had expected an answer."""
    return not (error.kind == "rate_limit" or turn.is_probe or isinstance(error, Slept))


def is_worth_another(retry: Retry, error: ProviderError, failures: int) -> bool:
    """Whether to try again after `failures` failures; a rate limit is none."""
    if error.kind == "rate_limit":
        return True
    return error.kind in WORTH_ANOTHER and failures <= retry.retries


def wait_ms(retry: Retry, error: ProviderError, failures: int, rng: Callable[[], float]) -> int:
    """How long to wait: as the provider says, else by `delay_ms`."""
    asked_s = error.retry_after_s
    # A comparison that NaN fails, too.
    if asked_s is not None and asked_s >= 0:
        return round(min(max(asked_s * 1_000, ASKED_MIN_MS), ASKED_MAX_MS))
    if error.kind == "rate_limit":
        return RATE_LIMIT_DELAY_MS
    return delay_ms(retry, failures, rng)


def delay_ms(retry: Retry, failures: int, rng: Callable[[], float]) -> int:
    """Exponential backoff with full jitter, after the `failures`-th failure in a row.

    With jitter, the wait is drawn evenly from zero to the whole, which spreads many clients best
    (Brooker, Exponential Backoff And Jitter, 2015). `rng` draws from [0, 1).
    """
    try:
        whole = min(retry.delay_ms * retry.multiplier ** (failures - 1), DELAY_MAX_MS)
    except OverflowError:
        whole = DELAY_MAX_MS
    return round(whole * (rng() if retry.jitter else 1))
