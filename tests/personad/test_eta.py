"""When a batch will be done."""

from statistics import mean, stdev

from hypothesis import given
from hypothesis import strategies as st

from personad.analytics.eta import Seen, eta

DURATIONS = st.lists(st.integers(0, 10**7), max_size=30)
MAX = 2**63 - 1


@given(DURATIONS, DURATIONS, st.integers(0, 1_000), st.integers(1, 50))
def test_an_estimate_lies_within_its_interval(
    durations: list[int], ages: list[int], pending: int, slots: int
) -> None:
    found = eta(Seen.of(durations), ages, pending=pending, slots=slots)
    if found is None:
        assert not durations
    else:
        assert 0 <= found.low <= found.expected <= found.high


def test_nothing_known_is_no_estimate() -> None:
    assert eta(Seen.of([]), [100], pending=3, slots=2) is None


def test_equal_personas_take_their_rounds() -> None:
    found = eta(Seen.of([1_000] * 10), [], pending=20, slots=5)
    assert found is not None
    assert (found.low, found.expected, found.high) == (4_000, 4_000, 4_000)


def test_what_has_been_running_for_long_is_nearly_done() -> None:
    young = eta(Seen.of([10_000] * 5), [0], pending=0, slots=1)
    old = eta(Seen.of([10_000] * 5), [9_000], pending=0, slots=1)
    assert young is not None
    assert old is not None
    assert old.expected < young.expected


def test_absurd_figures_stay_within_what_the_wire_can_carry() -> None:
    found = eta(Seen.of([MAX, 0]), [], pending=MAX, slots=1)
    assert found is not None
    assert found.expected == found.high == MAX


@given(DURATIONS.filter(lambda durations: len(durations) > 1))
def test_the_spread_is_that_of_the_durations(durations: list[int]) -> None:
    found = Seen.of(durations)
    assert found.n == len(durations)
    assert abs(found.mean_ms - mean(durations)) <= 1e-6 * max(durations)
    assert abs(found.spread_ms - stdev(durations)) <= 1e-4 * max(1, *durations)
