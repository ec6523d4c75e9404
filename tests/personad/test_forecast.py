"""What the coming days will cost: laws, and figures on simulated teams."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.analytics.forecast import LEAST_DAYS, shares, student_t, student_t_share, total

WORKDAYS = np.array([1.0, 1.1, 1.2, 1.0, 0.8, 0.15, 0.1])


def team(days: int, rng: np.random.Generator) -> list[float]:
    """Busy on workdays, sometimes not at all, with growth and a level that shifts once."""
    growth = 1 + np.arange(days) / days * rng.uniform(-0.3, 0.8)
    level = np.where(np.arange(days) < rng.integers(days), 1.0, rng.uniform(0.7, 1.4))
    noise = rng.gamma(3.0, 1 / 3.0, days)
    return (10 * np.resize(WORKDAYS, days) * growth * level * noise).tolist()


@pytest.mark.parametrize("horizon", [7, 30])
def test_it_errs_less_than_last_week_again_and_its_intervals_hold(horizon: int) -> None:
    rng = np.random.default_rng(horizon)
    errors, naive, inside = [], [], 0
    times = 100
    for _ in range(times):
        days = team(120 + horizon, rng)
        past, came = days[:-horizon], sum(days[-horizon:])
        found = total(past, horizon)
        errors.append(abs(found.expected - came))
        naive.append(abs(sum(np.resize(past[-7:], horizon)) - came))
        low, high = found.quantile(0.1), found.quantile(0.9)
        assert low is not None
        assert high is not None
        inside += low <= came <= high
    assert np.mean(errors) <= 0.85 * np.mean(naive)
    assert 0.70 <= inside / times <= 0.92


DAILY = st.lists(st.floats(0, 1e16), min_size=1, max_size=120)


@given(DAILY, st.integers(1, 60))
def test_no_forecast_is_negative_and_greater_levels_lie_around_lesser_ones(
    daily: list[float], days: int
) -> None:
    found = total(daily, days)
    assert found.expected >= 0
    assert (found.spread is None) == (len(daily) < LEAST_DAYS)
    if found.spread is not None:
        told = [found.quantile(p) or 0.0 for p in (0.05, 0.2, 0.8, 0.95)]
        assert 0 <= told[0] <= told[1] <= told[2] <= told[3]


@given(st.lists(st.floats(0, 1e6), min_size=14, max_size=60), st.sampled_from([1e-3, 1e9]))
def test_another_unit_is_another_unit_of_the_forecast(daily: list[float], scale: float) -> None:
    one, other = total(daily, 7), total([each * scale for each in daily], 7)
    assert other.expected == pytest.approx(one.expected * scale, rel=1e-6, abs=1e-6 * scale)


@pytest.mark.parametrize("daily", [[0.0] * 40, [0.0]])
def test_nothing_so_far_is_nothing_to_come(daily: list[float]) -> None:
    assert total(daily, 30).expected == 0


def test_one_giant_day_does_not_become_every_day() -> None:
    found = total([10.0] * 59 + [9e15], 7)
    assert found.expected < 7 * 9e15 / 2


def test_weekends_keep_their_share() -> None:
    daily = (10 * np.resize(WORKDAYS, 70)).tolist()
    spread = shares(daily, 7)
    assert sum(spread) == pytest.approx(1)
    assert spread[6] < spread[2] / 3
    later = shares(daily, 6, ahead=1)
    assert later == pytest.approx([each / (1 - spread[0]) for each in spread[1:]])
    assert total(daily, 1, ahead=5).expected < total(daily, 1, ahead=2).expected / 3


@pytest.mark.parametrize("limit", [0.0, 10.0, 69.0, 1e9])
def test_the_chance_of_exceeding_falls_as_the_limit_rises(limit: float) -> None:
    found = total((10 + np.random.default_rng(1).normal(0, 1, 60)).tolist(), 7)
    here, above = found.exceeds(limit), found.exceeds(limit * 2 + 1)
    assert here is not None
    assert above is not None
    assert 0 <= above <= here <= 1
    assert found.exceeds(-1) == 1


@pytest.mark.parametrize("bad", [[], [-1.0], [math.nan], [math.inf]])
def test_what_is_no_history_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="forecast"):
        total(bad, 7)


@pytest.mark.parametrize(
    ("p", "freedom", "exact"),
    [
        (0.9, 2, 1.8856),
        (0.975, 2, 4.3027),
        (0.995, 3, 5.8409),
        (0.9, 5, 1.4759),
        (0.975, 10, 2.2281),
        (0.1, 1, -3.0777),
        (0.995, 1, 63.657),
    ],
)
def test_student_s_quantiles_are_those_of_the_tables(
    p: float, freedom: float, exact: float
) -> None:
    assert student_t(p, freedom) == pytest.approx(exact, rel=1e-4)
    assert student_t_share(student_t(p, freedom), freedom) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize("days", [14, 15, 21, 30, 60])
@pytest.mark.parametrize("horizon", [7, 30])
def test_a_short_history_gives_a_wide_interval_and_no_absurd_one(days: int, horizon: int) -> None:
    daily = (10 * np.random.default_rng(days).gamma(3.0, 1 / 3.0, days)).tolist()
    high = total(daily, horizon).quantile(0.975)
    assert high is not None
    assert high < 40 * horizon * 10
