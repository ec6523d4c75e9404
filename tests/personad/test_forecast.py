"""What the coming days will cost: laws, and figures on simulated teams."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.analytics.forecast import LEAST_DAYS, Past, Total, total
from personad.analytics.spread import LEAST_FREEDOM, Signs, Spread, bounded, spread_of
from personad.analytics.student import student_t, student_t_share


def above(past: Past, days: int, ahead: int = 0) -> float:
    spread = past.total(days, ahead).spread
    assert spread is not None
    return spread.above


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


@pytest.mark.parametrize("place", [-1, -3, 20])
def test_one_giant_day_does_not_become_every_day(place: int) -> None:
    daily = [10.0] * 60
    daily[place] = 9e15
    assert 70 <= total(daily, 7).expected < 140


def test_a_level_that_shifted_is_followed_within_two_weeks() -> None:
    rng = np.random.default_rng(5)
    daily = [*(10 * rng.gamma(9.0, 1 / 9.0, 90)), *(30 * rng.gamma(9.0, 1 / 9.0, 12))]
    found = total(daily, 7)
    assert 7 * 24 < found.expected < 7 * 36


def test_a_day_s_interval_is_that_of_its_own_weekday() -> None:
    rng = np.random.default_rng(3)
    noisy = np.array([0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 1.2])
    days = (20 * np.exp(np.resize(noisy, 140) * rng.normal(0, 1, 140))).tolist()
    past = Past(days)
    spreads = [above(past, 1, ahead) for ahead in range(7)]
    assert max(spreads) == spreads[6]
    assert spreads[6] > 2 * spreads[2]
    # The second Sunday is no surer than the first.
    assert above(past, 1, 13) >= spreads[6]


def test_days_sum_to_what_they_come_to_together() -> None:
    past = Past(team(90, np.random.default_rng(2)))
    each = [past.total(1, ahead).expected for ahead in range(1, 31)]
    assert sum(each) == pytest.approx(past.total(30, 1).expected)


def test_what_wanders_is_less_sure_a_month_ahead_than_what_does_not() -> None:
    rng = np.random.default_rng(4)
    steady = 100 + rng.normal(0, 3, 180)
    walk = np.maximum(1, 100 + rng.normal(0, 3, 180).cumsum())

    def grows(daily: "np.typing.NDArray[np.float64]") -> float:
        past = Past(daily)
        return above(past, 30) / above(past, 1)

    assert grows(walk) > 2 * grows(steady)


def test_weekends_keep_their_share() -> None:
    daily = (10 * np.resize(WORKDAYS, 70)).tolist()
    past = Past(daily)
    spread = past.shares(7)
    assert sum(spread) == pytest.approx(1)
    assert spread[6] < spread[2] / 3
    later = past.shares(6, ahead=1)
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


@pytest.mark.parametrize("probability", [0.025, 0.1, 0.3, 0.7, 0.9, 0.975])
def test_what_lies_beyond_a_quantile_is_as_likely_as_it_says(probability: float) -> None:
    found = total((100 + np.random.default_rng(1).normal(0, 9, 60)).tolist(), 7)
    limit = found.quantile(probability)
    assert limit is not None
    assert found.spread is not None
    assert found.spread.above != found.spread.below
    assert found.exceeds(limit) == pytest.approx(1 - probability, abs=1e-6)
    assert found.quantile(found.spread.under) == pytest.approx(found.expected)


SPREADS = st.builds(
    Spread, st.floats(0.01, 3), st.floats(0.01, 3), st.floats(1.6, 200), st.floats(0.05, 0.95)
)
CHANCES = st.floats(0.001, 0.999)


@given(SPREADS, CHANCES, CHANCES)
def test_quantiles_rise_with_their_chance_and_lie_on_its_side(
    spread: Spread, one: float, other: float
) -> None:
    low, high = (spread.quantile(chance) for chance in sorted((one, other)))
    assert low <= high + 1e-9 * abs(high)
    here = spread.quantile(one)
    assert here <= 0 if one < spread.under else here >= 0


@given(SPREADS, CHANCES)
def test_a_quantile_and_the_chance_of_more_take_one_another_back(
    spread: Spread, chance: float
) -> None:
    assert spread.exceeds(spread.quantile(chance)) == pytest.approx(1 - chance, abs=1e-7)
    found = Total(1e6, spread)
    limit = found.quantile(chance)
    assert limit is not None
    # What would be negative is cut off at 0.
    if limit > 0:
        assert found.exceeds(limit) == pytest.approx(1 - chance, abs=1e-6)


@given(SPREADS)
def test_at_the_expected_the_chance_is_that_of_its_upper_side_and_does_not_jump(
    spread: Spread,
) -> None:
    assert spread.exceeds(0.0) == pytest.approx(1 - spread.under)
    near = 1e-9 * min(spread.above, spread.below)
    for distance in (-near, near):
        assert spread.exceeds(distance) == pytest.approx(1 - spread.under, abs=1e-6)


def test_what_comes_rarely_and_then_much_comes_under_its_mean_more_often_than_over() -> None:
    rng = np.random.default_rng(6)
    under, times, told = 0, 200, []
    for _ in range(times):
        days = rng.gamma(0.8, 10, 121) * (rng.random(121) < 0.25)
        found = total(days[:-1], 1)
        assert found.spread is not None
        told.append(found.spread.under)
        under += days[-1] < found.expected
    assert 0.55 < np.mean(told) <= under / times
    steady = total((100 + rng.normal(0, 9, 120)).tolist(), 1).spread
    assert steady is not None
    assert steady.under == pytest.approx(0.5, abs=0.02)


OF_UNITS = {"u": (0, 1), "v": (0, 1.4), "n": (-1.2, 1.5), "empty": (0, 1)}


@given(st.fixed_dictionaries({name: st.floats(-30, 30) for name in Signs._fields[5:]}), st.data())
def test_no_sign_however_strange_makes_a_spread_absurd(
    strange: dict[str, float], data: st.DataObject
) -> None:
    known = {name: data.draw(st.floats(*ends)) for name, ends in OF_UNITS.items()}
    found = spread_of(bounded(Signs(**(strange | {"day": 1.0, "week": 1.0} | known))))
    assert found.freedom > LEAST_FREEDOM
    assert 0.4 <= found.under <= 0.71
    for side in found[:2]:
        assert 1e-4 < side < 1e4


@pytest.mark.parametrize("times", [1, 2, 4, 15])
@pytest.mark.parametrize("horizon", [1, 7, 30])
def test_a_team_that_grew_has_an_interval_of_use(times: int, horizon: int) -> None:
    level = np.where(np.arange(60) < 30, 1.0, times)
    noise = np.random.default_rng(0).gamma(9.0, 1 / 9.0, 60)
    found = total(10 * level * np.resize(WORKDAYS, 60) * noise, horizon)
    low, high = found.quantile(0.1), found.quantile(0.9)
    assert low is not None
    assert high is not None
    assert found.expected / 4 < low < found.expected < high < found.expected * 2.5


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
