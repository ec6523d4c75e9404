import numpy as np
import pytest
from persona.benchmark.change_points import change_points


def noisy(levels: list[float], rng: np.random.Generator, spread: float = 0.03) -> list[float]:
    return [level * float(np.exp(rng.normal(0, spread))) for level in levels]


def test_flat_series_of_thirteen_points_have_a_change_in_one_of_a_hundred_at_most() -> None:
    rng = np.random.default_rng(2)
    assert sum(bool(change_points(noisy([100] * 13, rng), rng)) for _ in range(300)) <= 3


def test_a_step_of_a_quarter_is_found_within_five_points() -> None:
    rng = np.random.default_rng(4)
    found = [change_points(noisy([100] * 8 + [125] * 5, rng), rng) for _ in range(100)]
    assert sum(each == [8] for each in found) >= 95


def test_a_level_that_came_and_went_has_two_changes() -> None:
    rng = np.random.default_rng(6)
    values = noisy([100] * 12 + [150] * 12 + [100] * 12, rng)
    assert change_points(values, rng) == [12, 24]


@pytest.mark.parametrize("values", [[], [1.0] * 5, [7.0] * 40])
def test_too_few_or_constant_points_have_none(values: list[float]) -> None:
    assert change_points(values, np.random.default_rng(0)) == []


def test_the_same_seed_gives_the_same_answer() -> None:
    values = noisy([100] * 10 + [110] * 10, np.random.default_rng(8))
    assert change_points(values, np.random.default_rng(9)) == change_points(
        values, np.random.default_rng(9)
    )


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_positive_figure_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        change_points([1.0] * 8 + [bad], np.random.default_rng(0))
