import numpy as np
import pytest

from personad.analytics.trend import Trend, trend


def told(means: list[float], seed: int = 0, weight: float = 5.0) -> Trend | None:
    return trend(range(len(means)), means, [weight] * len(means), seed)


def test_of_flat_noisy_series_six_in_a_hundred_seem_to_go_somewhere_at_most() -> None:
    rng = np.random.default_rng(1)
    found = [told((0.8 + rng.normal(0, 0.05, 14)).tolist(), seed) for seed in range(1_000)]
    assert sum(each is not None and each.is_significant for each in found) <= 60


@pytest.mark.parametrize("slope", [0.01, -0.01])
def test_a_steady_way_up_or_down_is_found_with_its_size(slope: float) -> None:
    rng = np.random.default_rng(2)
    means = [0.7 + slope * day + rng.normal(0, 0.01) for day in range(21)]
    found = told(means)
    assert found is not None
    assert found.is_significant
    assert found.change == pytest.approx(slope * 20 / np.mean(means), rel=0.2)


def test_what_is_less_than_a_percent_is_none() -> None:
    found = told([0.8 + day * 0.0001 for day in range(30)])
    assert found is not None
    assert not found.is_significant


def test_days_with_little_to_them_count_for_little() -> None:
    means = [0.8] * 20 + [0.1, 0.1]
    found = trend(range(22), means, [100.0] * 20 + [0.01] * 2, 0)
    assert found is not None
    assert found.change == 0


def test_few_days_or_no_level_have_no_trend() -> None:
    assert told([0.1, 0.2, 0.3, 0.4, 0.5]) is None
    assert told([0.0] * 10) is None


def test_years_are_told_as_well() -> None:
    found = told([0.5 + day / 4_000 for day in range(1_200)])
    assert found is not None
    assert found.is_significant
