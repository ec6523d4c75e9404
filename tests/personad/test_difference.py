"""Differences between groups of scores: the arithmetic, and how often chance is taken for more."""

import math
from statistics import mean as plain_mean
from statistics import variance

import numpy as np
import pytest

from personad.analytics.difference import LEAST, Some, difference, mean


def some(scores: list[int]) -> Some:
    return Some(len(scores), sum(scores), sum(each * each for each in scores))


def test_one_source_is_welchs_test() -> None:
    a, b = [7_000, 7_500, 8_100, 8_200, 7_700], [6_900, 7_200, 7_100, 7_600, 7_050, 7_300]
    found = difference([(some(a), some(b))])
    assert found is not None
    assert found.middle == pytest.approx(plain_mean(a) - plain_mean(b))
    parts = [variance(each) / len(each) for each in (a, b)]
    freedom = sum(parts) ** 2 / sum(
        p * p / (len(e) - 1) for p, e in zip(parts, (a, b), strict=True)
    )
    assert 5 < freedom < 6
    # Student's quantiles at 97.5 % are tabulated as 2.571 for 5 and 2.447 for 6.
    quantile = (found.high - found.middle) / math.sqrt(sum(parts))
    assert 2.447 < quantile < 2.571


def test_a_harder_source_that_one_ran_more_makes_it_no_worse() -> None:
    easy, hard = [9_000, 9_100, 8_900, 9_050], [3_000, 3_100, 2_900, 3_050]
    found = difference([(some(easy), some(easy * 5)), (some(hard * 5), some(hard))])
    assert found is not None
    assert found.middle == pytest.approx(0)


@pytest.mark.parametrize(
    "strata",
    [
        [],
        [(some([1]), some([1, 2, 3]))],
        [(some([1, 2] * 4), some([1] * (LEAST - 1)))],
        [(some([1] * LEAST), some([]))],
    ],
)
def test_too_few_scores_tell_nothing(strata: list[tuple[Some, Some]]) -> None:
    assert difference(strata) is None


def test_scores_without_any_spread_differ_by_what_they_differ() -> None:
    found = difference([(some([8_000] * 6), some([7_000] * 6))])
    assert found is not None
    assert (found.middle, found.low, found.high) == (1_000, 1_000, 1_000)


def test_the_interval_of_a_mean() -> None:
    found = mean(some([7_000, 8_000]))
    assert found is not None
    assert found.middle == 7_500
    assert found.high - found.middle == pytest.approx(12.706 * 500, rel=1e-3)
    assert mean(some([7_000])) is None


@pytest.mark.no_cover
def test_chance_alone_is_taken_for_a_difference_in_five_percent() -> None:
    rng = np.random.default_rng(7)
    false = told = 0
    for _ in range(2_000):
        strata = []
        for _ in range(3):
            level = rng.uniform(6_000, 8_500)
            strata.append(
                tuple(
                    some([int(x) for x in rng.normal(level, 600, rng.integers(3, 12))])
                    for _ in range(2)
                )
            )
        found = difference(strata)  # type: ignore[arg-type]
        if found is not None:
            told += 1
            false += found.low > 0 or found.high < 0
    assert told > 1_900
    assert 0.03 < false / told < 0.065
