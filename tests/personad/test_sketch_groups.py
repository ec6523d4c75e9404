"""Many sketches at once are byte for byte those that are made one after the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from personad.sketch import LATENCIES, SCORES, Scale, merge, update
from personad.sketch import encode as encoded
from personad.sketch_groups import made, merged

SCALES = st.sampled_from((LATENCIES, SCORES))
MANY = [7] * 300


@st.composite
def groups(draw: st.DrawFn, highest: int) -> tuple[Scale, list[list[int]]]:
    scale = draw(SCALES)
    top = min(highest, scale.lows[-1] - 1)
    some = st.lists(st.integers(0, top), min_size=1, max_size=12) | st.just([min(7, top)] * 300)
    return scale, draw(st.lists(some, min_size=1, max_size=8))


@given(groups(60_000))
def test_values_come_to_the_same_bytes(given_groups: tuple[Scale, list[list[int]]]) -> None:
    scale, values = given_groups
    of = np.repeat(np.arange(len(values)), [*map(len, values)])
    found = made(scale, of, np.array([each for some in values for each in some], np.int64))
    assert found == [update(scale, None, some) for some in values]


@given(groups(2**38), st.randoms())
def test_merged_ones_come_to_the_same_bytes(
    given_groups: tuple[Scale, list[list[int]]], rng: st.randoms
) -> None:
    scale, values = given_groups
    stored = [update(scale, None, some) for some in values]
    of = sorted(rng.randrange(len(stored)) for _ in stored)
    numbers = {each: number for number, each in enumerate(dict.fromkeys(of))}
    of = [numbers[each] for each in of]
    rng.shuffle(of)
    wanted = [
        encoded(merge(scale, [data for data, one in zip(stored, of, strict=True) if one == each]))
        for each in range(len(numbers))
    ]
    assert merged(scale, of, stored) == wanted


def test_what_is_out_of_the_usual_is_left_to_others() -> None:
    far = np.array([2**62], np.int64)
    assert made(LATENCIES, np.array([0]), far) is None
    assert made(SCORES, np.array([0]), np.array([10_001])) is None
    assert made(SCORES, np.array([0]), np.array([-1])) is None
    assert merged(LATENCIES, [0], [update(LATENCIES, None, [2**62])]) is None
    assert merged(SCORES, [0], [update(LATENCIES, None, [5])]) is None
    damaged = update(SCORES, None, [5_000])[:-1]
    assert merged(SCORES, [0], [damaged]) is None
