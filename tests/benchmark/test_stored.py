import math

import numpy as np
import pytest
from persona.benchmark.noise import Noise, processes
from persona.benchmark.stored import (
    by_count,
    by_floor,
    by_points,
    by_whole_interval,
    floor_of,
    student_t,
    welch,
)
from persona.benchmark.verdicts import Decision, Limits

LATENCY = Limits(warn_percent=10, fail_percent=25)
COUNT = Limits(warn_percent=0, fail_percent=15)
SHARE = Limits(warn_percent=1, fail_percent=5)


def compared(times: int, *, wall: float = 1.0, cpu: float = 1.0) -> tuple[list[str], list[str]]:
    """The verdicts by time on a core and by wall time, of 5 × 100 runs on each side."""
    rng = np.random.default_rng(11)
    cpus, walls = [], []
    for _ in range(times):
        old = processes(Noise(), 5, 100, rng)
        new = processes(Noise(), 5, 100, rng, wall=wall, cpu=cpu)
        floors = [[floor_of(each[1].tolist()) for each in side] for side in (old, new)]
        medians = [[float(np.median(each[0])) for each in side] for side in (old, new)]
        cpus.append(by_floor(*floors, LATENCY).verdict)
        walls.append(by_whole_interval(*medians, LATENCY).verdict)
    return cpus, walls


def alarms(verdicts: list[str]) -> int:
    return sum(each in ("warning", "failure") for each in verdicts)


class TestOnASharedMachine:
    def test_identical_code_raises_two_alarms_in_a_hundred_at_most(self) -> None:
        cpus, walls = compared(200)
        assert alarms(cpus) <= 4
        assert alarms(walls) <= 1

    def test_ten_percent_more_time_on_a_core_is_found(self) -> None:
        assert alarms(compared(100, cpu=1.1, wall=1.1)[0]) >= 95

    def test_a_wait_of_forty_percent_is_found_by_the_wall_though_it_takes_no_core(self) -> None:
        cpus, walls = compared(100, wall=1.4)
        assert alarms(walls) >= 95
        assert alarms(cpus) <= 2


class TestFewProcesses:
    def test_four_on_a_side_are_not_compared(self) -> None:
        found = by_floor([1.0] * 4, [1.0] * 5, LATENCY)
        assert found.verdict == "not comparable"
        assert "it takes 5" in found.note

    def test_without_any_spread_the_ratio_is_known(self) -> None:
        assert welch([1.0] * 5, [1.2] * 5, 0.95).percents == pytest.approx((20, 20, 20))
        assert by_floor([1.0] * 5, [1.2] * 5, LATENCY).verdict == "failure"
        assert by_floor([1.0] * 5, [1.1] * 5, LATENCY).verdict == "warning"
        assert by_floor([1.0] * 5, [0.8] * 5, LATENCY).verdict == "better"

    def test_a_wide_interval_is_inconclusive(self) -> None:
        found = by_floor([1, 2, 1, 2, 1], [1, 2, 2, 1, 2], LATENCY)
        assert found.verdict == "inconclusive"
        assert found.change is not None

    def test_a_figure_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="positive"):
            welch([0.0] * 5, [1.0] * 5, 0.95)


class TestCounts:
    def test_one_token_more_in_one_run_is_a_warning(self) -> None:
        assert by_count([700] * 500, [700] * 499 + [701], COUNT).verdict == "warning"

    def test_the_same_counts_in_another_order_are_the_same(self) -> None:
        assert by_count([1, 2, 3], [3, 1, 2], COUNT).verdict == "same"

    def test_fewer_is_better_and_exactly_the_threshold_more_fails(self) -> None:
        assert by_count([100], [99], COUNT).verdict == "better"
        assert by_count([100], [115], COUNT).verdict == "failure"

    def test_a_first_call_after_none_is_a_failure(self) -> None:
        found = by_count([0, 0], [0, 1], COUNT)
        assert found.verdict == "failure"
        assert found.change is not None
        assert found.change.estimate == math.inf


class TestShares:
    @pytest.mark.parametrize(
        ("now", "verdict"),
        [(0.0, "same"), (0.009, "same"), (0.01, "warning"), (0.05, "failure")],
    )
    def test_errors_are_compared_in_points(self, now: float, verdict: str) -> None:
        assert by_points([0.0], [now], SHARE).verdict == verdict

    def test_a_share_that_should_be_high_is_better_when_it_rises(self) -> None:
        limits = Limits(warn_percent=1, fail_percent=5, higher_is_better=True)
        assert by_points([0.9], [0.95], limits).verdict == "better"
        assert by_points([0.95], [0.9], limits).verdict == "failure"


class TestStudent:
    @pytest.mark.parametrize(
        ("probability", "freedom", "exact"),
        [(0.995, 4, 4.6041), (0.975, 8, 2.3060), (0.99, 6, 3.1427), (0.99, 3, 4.5407)],
    )
    def test_it_is_within_a_percent_of_the_printed_tables(
        self, probability: float, freedom: float, exact: float
    ) -> None:
        assert student_t(probability, freedom) == pytest.approx(exact, rel=0.01)


def test_a_decision_keeps_its_interval() -> None:
    found: Decision = by_floor([1, 1.01, 1.02, 1, 1.01], [1.3, 1.31, 1.32, 1.3, 1.3], LATENCY)
    assert found.verdict == "failure"
    assert found.change is not None
    assert found.change.low > 0.2
