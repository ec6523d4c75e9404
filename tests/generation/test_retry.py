"""What is tried again, and when."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.generation.providers.base import InvalidOutput, ProviderError
from persona.generation.retry import (
    ASKED_MAX_MS,
    ASKED_MIN_MS,
    DELAY_MAX_MS,
    RATE_LIMIT_DELAY_MS,
    delay_ms,
    is_worth_another,
    wait_ms,
)

from personad.contract.batch import Retry

THREE = Retry(retries=3, delay_ms=1_000, multiplier=2, jitter=False)


@pytest.mark.parametrize("kind", ["timeout", "server_error", "connection"])
def test_what_may_pass_is_tried_as_often_as_allowed(kind: str) -> None:
    error = ProviderError(kind, "no")  # type: ignore[arg-type]

    assert [is_worth_another(THREE, error, failures) for failures in (1, 3, 4)] == [
        True,
        True,
        False,
    ]


def test_an_unusable_answer_is_asked_for_again() -> None:
    assert is_worth_another(THREE, InvalidOutput("no"), 1)


@pytest.mark.parametrize(
    "kind", ["authentication", "bad_request", "quota_exhausted", "content_refused"]
)
def test_what_will_not_pass_is_not_tried_again(kind: str) -> None:
    assert not is_worth_another(THREE, ProviderError(kind, "no"), 1)  # type: ignore[arg-type]


def test_a_rate_limit_is_always_waited_for() -> None:
    assert is_worth_another(Retry(retries=0), ProviderError("rate_limit", "slow down"), 99)


def test_delays_grow_by_the_multiplier() -> None:
    assert [delay_ms(THREE, failures, lambda: 0.5) for failures in (1, 2, 3)] == [
        1_000,
        2_000,
        4_000,
    ]


def test_jitter_draws_from_the_whole_delay() -> None:
    jittered = Retry(delay_ms=1_000, multiplier=2, jitter=True)

    assert delay_ms(jittered, 2, lambda: 0.25) == 500


@given(
    st.builds(
        Retry,
        delay_ms=st.integers(0, 2**62),
        multiplier=st.floats(1, 1e300),
        jitter=st.booleans(),
    ),
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
)
def test_no_delay_is_longer_than_the_longest(retry: Retry, failures: int, drawn: float) -> None:
    assert 0 <= delay_ms(retry, failures, lambda: drawn) <= DELAY_MAX_MS


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_time_that_a_provider_names_is_believed_within_reason(asked_s: float) -> None:
    error = ProviderError("rate_limit", "slow down", asked_s)

    waited = wait_ms(THREE, error, 1, lambda: 0.5)

    if math.isnan(asked_s) or asked_s < 0:
        assert waited == RATE_LIMIT_DELAY_MS
    else:
        assert ASKED_MIN_MS <= waited <= ASKED_MAX_MS


def test_a_rate_limit_without_a_time_waits_its_own() -> None:
    error = ProviderError("rate_limit", "slow down")

    assert wait_ms(THREE, error, 0, lambda: 0.5) == RATE_LIMIT_DELAY_MS


def test_other_failures_back_off() -> None:
    assert wait_ms(THREE, ProviderError("timeout", "no"), 2, lambda: 0.5) == 2_000
