"""The chart of quality, on simulated streams: how seldom it is wrong, and how soon it is right."""

import random
from collections.abc import Iterable, Iterator
from itertools import chain
from statistics import median

import pytest

from personad.analytics.drift import BLOCK, FULL, HELD, LEAST, MOST, Chart, Level, Sums

STREAMS = 1_000
MEAN, SD = 8_000, 500


def told(scores: Iterable[int]) -> Iterator[int]:
    """After which points it was told that the level had dropped."""
    chart, level = Chart(), Level()
    for place, score in enumerate(scores):
        level.take(score)
        if chart.take(score, level.mean):
            yield place


def alarms(scores: Iterable[int]) -> list[int]:
    return list(told(scores))


def even(rng: random.Random, n: int, drop_sd: float = 0) -> Iterator[int]:
    return (round(rng.gauss(MEAN - drop_sd * SD, SD)) for _ in range(n))


def skewed(rng: random.Random, n: int, drop_sd: float = 0) -> Iterator[int]:
    """As scores near the top are: a beta distribution with its long tail downwards."""
    mean, sd = 0.8, (8 * 2 / (10 * 10 * 11)) ** 0.5
    return (round(MEAN + SD * ((rng.betavariate(8, 2) - mean) / sd - drop_sd)) for _ in range(n))


@pytest.mark.no_cover
@pytest.mark.parametrize("draw", [even, skewed])
def test_in_control_there_is_at_most_one_false_alarm_in_300_points(draw: object) -> None:
    assert callable(draw)
    rng = random.Random(1)
    false = [alarms(draw(rng, FULL + 300)) for _ in range(STREAMS)]
    after = sum(place >= FULL for each in false for place in each)
    assert after <= STREAMS
    # Below a whole baseline the limits are wider, and it is told even less.
    early = sum(place < FULL for each in false for place in each)
    assert early <= STREAMS * FULL / 300


@pytest.mark.no_cover
@pytest.mark.parametrize("draw", [even, skewed])
@pytest.mark.parametrize("before", [FULL, 200])
def test_a_drop_of_one_standard_deviation_is_found_within_12_points_at_the_median(
    draw: object, before: int
) -> None:
    assert callable(draw)
    rng = random.Random(2)
    delays = []
    for _ in range(STREAMS):
        found = told(chain(draw(rng, before), draw(rng, 200, 1)))
        delays.append(next((place - before + 1 for place in found if place >= before), 999))
    assert median(delays) <= 12


def test_a_level_that_stays_down_is_one_alarm_and_then_the_new_normal() -> None:
    rng = random.Random(3)
    steady = [*even(rng, 100), *even(rng, 30, 3)]
    assert len([place for place in alarms(steady) if place >= 100]) == 1
    later = [*even(rng, 100), *even(rng, HELD + 100, 3), *even(rng, 20, 6)]
    found = [place for place in alarms(later) if place >= 100]
    assert found[0] < 110
    assert len([place for place in found if place >= 100 + HELD + 100]) == 1


def test_a_rise_is_no_alarm_and_neither_is_the_first_way_back_from_it() -> None:
    rng = random.Random(4)
    assert not [p for p in alarms([*even(rng, 100), *even(rng, 30, -3)]) if p >= 100]


def test_a_slow_decline_is_found() -> None:
    rng = random.Random(5)
    falling = [round(rng.gauss(MEAN - place * SD / 100, SD)) for place in range(300)]
    assert alarms([*even(rng, 200), *falling])


def test_scores_that_never_differ_make_no_alarm_of_a_hundredth() -> None:
    assert alarms([8_000] * 60 + [7_950] * 40) == []
    assert alarms([8_000] * 60 + [7_000] * 40) == [60]


def test_nothing_is_told_before_there_is_a_baseline() -> None:
    assert alarms([8_000] * (LEAST - 1) + [0]) == []


def test_the_baseline_grows_late_and_ends_growing() -> None:
    rng = random.Random(6)
    chart, level = Chart(), Level()
    sizes = []
    for score in even(rng, 400):
        level.take(score)
        chart.take(score, level.mean)
        sizes.append(chart.baseline.n)
    assert sizes[FULL + BLOCK] == FULL
    assert sizes[-1] == MOST
    assert chart.baseline.mean == pytest.approx(MEAN, abs=SD / 4)


def test_the_first_points_are_a_plain_mean() -> None:
    level = Level()
    for score in (1_000, 2_000, 3_000):
        level.take(score)
    assert level.mean == pytest.approx(2_000)


def test_sums_are_those_of_the_textbook() -> None:
    sums = Sums()
    for score in (2, 4, 4, 4, 5, 5, 7, 9):
        sums.take(score)
    assert sums.mean == 5
    assert sums.sd == pytest.approx(2.138, abs=0.001)
