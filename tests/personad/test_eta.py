"""When a batch will be done."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.simulated_batches import SHAPES, coverage, simulate
from personad.analytics.eta import busy_slots, eta
from personad.contract.batch import Eta

DURATIONS = st.lists(st.integers(0, 10**7), max_size=30)
AGES = st.lists(st.integers(-(10**6), 10**7), max_size=30)
MAX = 2**63 - 1


def told(
    done: list[int],
    ages: list[int],
    *,
    pending: int = 0,
    slots: float = 1,
    earlier: tuple[int, ...] = (),
) -> Eta:
    found = eta(done, earlier, ages, pending=pending, slots=slots, rng=Random(1))
    assert found is not None
    return found


@pytest.mark.no_cover
@pytest.mark.parametrize("slots", [1, 4, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_actual_finish_lies_inside_the_range(shape: str, slots: int) -> None:
    updates = [
        each
        for seed in range(100, 112)
        for each in simulate(SHAPES[shape], slots=slots, personas=200, seed=seed, updates=20)
    ]
    assert len(updates) == 240
    assert coverage(updates) >= 0.75


@pytest.mark.parametrize("shape", SHAPES)
def test_the_range_narrows_as_more_is_seen(shape: str) -> None:
    updates = simulate(SHAPES[shape], slots=4, personas=200, seed=1)
    early, late = updates[0], updates[len(updates) * 3 // 4]
    assert late.high - late.low < (early.high - early.low) / 2


@given(DURATIONS, DURATIONS, AGES, st.integers(0, 1_000), st.integers(1, 50))
def test_an_estimate_lies_within_its_interval(
    done: list[int], earlier: list[int], ages: list[int], pending: int, slots: int
) -> None:
    found = eta(done, earlier, ages, pending=pending, slots=slots, rng=Random(1))
    if found is None:
        assert not done
        assert not earlier
    else:
        assert 0 <= found.low <= found.expected <= found.high


def test_the_same_figures_give_the_same_estimate() -> None:
    assert told([1_000, 3_000], [10], pending=5) == told([1_000, 3_000], [10], pending=5)


def test_nothing_known_is_no_estimate() -> None:
    assert eta([], [], [100], pending=3, slots=2, rng=Random(1)) is None


def test_equal_personas_take_their_rounds() -> None:
    found = told([1_000] * 30, [], pending=20, slots=5)
    assert found.low < 4_000 < found.high
    assert abs(found.expected - 4_000) < 1_000, "a round"


def test_a_young_batch_is_judged_by_earlier_ones() -> None:
    alone = told([1_000], [], pending=20)
    informed = told([1_000], [], pending=20, earlier=(9_000,) * 20)
    assert informed.low > alone.high


def test_earlier_batches_no_longer_count_once_enough_is_seen() -> None:
    done = [1_000] * 20
    assert told(done, [], pending=9, earlier=(9_000,) * 20) == told(done, [], pending=9)


def test_what_grows_is_taken_to_grow_on() -> None:
    steady = told([5_000] * 40, [], pending=40)
    growing = told([1_000 + 100 * place for place in range(40)], [], pending=40)
    assert growing.expected > 1.2 * steady.expected
    assert growing.expected > 40 * 5_000


def test_what_has_been_running_for_long_is_nearly_done() -> None:
    done = [10_000] * 20
    assert told(done, [9_000]).expected < told(done, [0]).expected


def test_what_runs_longer_than_any_before_is_given_more_time() -> None:
    assert told([10_000] * 20, [40_000]).high > 10_000


def test_one_that_waits_for_its_next_attempt_takes_its_wait_and_its_time() -> None:
    assert told([10_000] * 20, [-60_000]).low * 2 >= 60_000


def test_long_ones_still_in_flight_are_not_forgotten() -> None:
    quick = told([1_000] * 10, [], pending=20)
    slow = told([1_000] * 10, [30_000] * 4, pending=20)
    assert slow.expected > 2 * quick.expected


def test_slots_that_stand_idle_are_not_counted_on() -> None:
    done = [1_000] * 40
    assert busy_slots(done, [], ended=40, slots=4, active_ms=10_000) == pytest.approx(4, rel=0.1)
    idle = busy_slots(done, [], ended=40, slots=4, active_ms=40_000)
    assert 1 <= idle < 1.5


def test_a_batch_that_has_just_begun_has_all_its_slots() -> None:
    assert busy_slots([], [], ended=0, slots=4, active_ms=500) == 4
    assert busy_slots([1_000], [], ended=1, slots=4, active_ms=1_000) > 2


def test_absurd_figures_stay_within_what_the_wire_can_carry() -> None:
    assert told([MAX, 0], [], pending=MAX).high == MAX
    assert told([0, 0], [0], pending=3).low == 0
