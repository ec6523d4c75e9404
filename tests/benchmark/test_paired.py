import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.benchmark.noise import Noise, pairs
from persona.benchmark.paired import LOOKS, change_of, decide
from persona.benchmark.verdicts import Decision, Limits, graded, percent, worst

LATENCY = Limits(warn_percent=10, fail_percent=25)
THROUGHPUT = Limits(warn_percent=10, fail_percent=25, higher_is_better=True)


def decided(change: float, rng: np.random.Generator) -> Decision:
    log_ratios = pairs(Noise(), LOOKS[-1], change, rng)
    return next(d for look in LOOKS if (d := decide(log_ratios[:look].tolist(), LATENCY)))


def verdicts(change: float, times: int) -> list[str]:
    rng = np.random.default_rng(7)
    return [decided(change, rng).verdict for _ in range(times)]


class TestOnASharedMachine:
    def test_identical_code_raises_one_alarm_in_a_hundred_at_most_and_never_fails(self) -> None:
        found = verdicts(0, 500)
        assert found.count("warning") <= 5
        assert found.count("failure") == 0

    def test_ten_percent_slower_is_found(self) -> None:
        found = verdicts(0.10, 200)
        assert sum(each in ("warning", "failure") for each in found) >= 190

    def test_a_quarter_slower_is_a_failure(self) -> None:
        assert verdicts(0.25, 200).count("failure") >= 190

    def test_ten_percent_faster_is_better(self) -> None:
        assert verdicts(-0.10, 200).count("better") >= 180

    def test_no_change_is_known_after_a_hundred_pairs_at_the_median(self) -> None:
        rng = np.random.default_rng(3)
        needed = []
        for _ in range(200):
            log_ratios = pairs(Noise(), LOOKS[-1], 0, rng).tolist()
            needed.append(next(look for look in LOOKS if decide(log_ratios[:look], LATENCY)))
        assert np.median(needed) <= 100


class TestTheDecision:
    def test_where_every_pair_is_the_same_it_is_known_at_once(self) -> None:
        found = decide([0.0] * 10, LATENCY)
        assert found is not None
        assert found.verdict == "same"
        assert found.change is not None
        assert found.change.percents == (0, 0, 0)

    def test_a_higher_throughput_is_better_and_a_lower_one_fails(self) -> None:
        up, down = [math.log(1.3)] * 15, [math.log(0.7)] * 15
        assert decide(up, THROUGHPUT) == Decision(verdict="better", change=change_of(up))
        assert decide(down, THROUGHPUT) == Decision(verdict="failure", change=change_of(down))

    def test_undecided_pairs_ask_for_more_until_the_last_look(self) -> None:
        rng = np.random.default_rng(5)
        wild = rng.normal(0.06, 3.0, LOOKS[-1])
        assert all(decide(wild[:look].tolist(), LATENCY) is None for look in LOOKS[:-1])
        last = decide(wild.tolist(), LATENCY)
        assert last is not None
        assert last.verdict == "inconclusive"
        assert "more pairs would decide it" in last.note
        assert last.change is not None
        assert last.change.low < 0.06 < last.change.high

    def test_ten_pairs_are_too_few_to_be_sure_at_once(self) -> None:
        spread = [0.3 + 0.1 * step for step in range(10)]
        assert decide(spread, LATENCY) is None

    @pytest.mark.parametrize("bad", [[], [0.1, math.nan], [math.inf]])
    def test_what_is_no_number_is_refused(self, bad: list[float]) -> None:
        with pytest.raises(ValueError, match="finite"):
            change_of(bad)


@given(
    st.lists(st.floats(-1, 1), min_size=10, max_size=40),
    st.floats(-0.5, 0.5),
)
def test_the_estimate_moves_with_the_pairs_and_lies_in_its_interval(
    log_ratios: list[float], moved: float
) -> None:
    one, other = change_of(log_ratios), change_of([each + moved for each in log_ratios])
    assert one.low <= one.estimate <= one.high
    assert other.estimate == pytest.approx(one.estimate + moved, abs=1e-9)


class TestGrading:
    def test_exactly_midway_between_the_thresholds_is_a_failure(self) -> None:
        assert graded(LATENCY.fail_log, LATENCY) == "failure"
        assert graded(math.nextafter(LATENCY.fail_log, 0), LATENCY) == "warning"

    def test_the_worst_stands_for_all_and_none_is_not_comparable(self) -> None:
        assert worst(["same", "failure", "warning"]) == "failure"
        assert worst(["better", "inconclusive"]) == "inconclusive"
        assert worst([]) == "not comparable"

    def test_percents_are_of_the_old_value(self) -> None:
        assert percent(math.log(1.25)) == pytest.approx(25)
