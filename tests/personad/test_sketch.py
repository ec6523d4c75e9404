"""Percentiles that add up: their error, the laws of adding and taking out, and damaged bytes."""

import itertools
import subprocess
import sys
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personad import sketch
from personad.sketch import LATENCIES, MAX, SCORES, BadSketch, Scale, Sketch, add_many, remove_many

QS = (0, 0.001, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1)
SCALES = pytest.mark.parametrize("scale", [LATENCIES, SCORES], ids=lambda each: each.name)

untimed = settings(deadline=None)
latencies = st.lists(st.one_of(st.integers(0, 200), st.integers(0, 2**17), st.integers(0, MAX)))
scores = st.lists(st.integers(0, 10_000))
valued = st.one_of(
    st.tuples(st.just(LATENCIES), st.lists(latencies, max_size=6)),
    st.tuples(st.just(SCORES), st.lists(scores, max_size=6)),
)


def of(scale: Scale, values: Any) -> Sketch:
    return add_many(sketch.empty(scale), values)


def stored(scale: Scale, values: Any) -> bytes:
    return sketch.encode(of(scale, values))


def buckets(scale: Scale, count: int, size: int, seed: int = 1) -> list[Any]:
    rng = np.random.default_rng(seed)
    if scale is SCORES:
        return [(rng.beta(8, 2, size) * 10_000).astype(int) for _ in range(count)]
    return [rng.lognormal(8, 1.5, size).astype(int) for _ in range(count)]


def samples() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    two = np.where(
        rng.random(20_000) < 0.3, rng.normal(300, 20, 20_000), rng.normal(9e3, 900, 20_000)
    )
    return {
        "lognormal": rng.lognormal(7.6, 0.8, 20_000).astype(np.int64),
        "bimodal": np.maximum(two, 0).astype(np.int64),
        "constant": np.full(5_000, 1_234, np.int64),
        "single": np.array([98_765], np.int64),
        "zeros": np.zeros(2_000, np.int64),
        "mostly zero": rng.poisson(0.2, 3_000).astype(np.int64),
        "small": rng.integers(0, 50, 3_000),
        "over a minute": rng.integers(60_000, 70_000, 3_000),
        "huge": 2**53 + rng.integers(-(2**50), 2**50, 3_000),
    }


@pytest.mark.parametrize("name", samples())
def test_a_latency_quantile_is_within_one_percent_of_the_exact_one(name: str) -> None:
    values = samples()[name]

    found = of(LATENCIES, values).quantiles(QS)

    exact = np.quantile(values, QS, method="inverted_cdf")
    assert np.all(np.abs(np.array(found, float) - exact) <= 0.01 * exact)


def test_the_error_holds_on_every_edge_of_the_scale() -> None:
    for low, after, answer in zip(
        LATENCIES.lows, LATENCIES.lows[1:], LATENCIES.answers, strict=False
    ):
        assert abs(answer - low) <= 0.01 * low
        assert abs(answer - (after - 1)) <= 0.01 * (after - 1)


@pytest.mark.parametrize("sample", ["beta", "uniform", "constant", "perfect", "none"])
def test_a_score_quantile_is_within_a_bin_of_the_exact_one(sample: str) -> None:
    rng = np.random.default_rng(3)
    values = {
        "beta": (rng.beta(8, 2, 9_000) * 10_000).astype(int),
        "uniform": rng.integers(0, 10_001, 9_000),
        "constant": np.full(50, 8_000),
        "perfect": np.full(50, 10_000),
        "none": np.zeros(50, int),
    }[sample]

    found = np.array(of(SCORES, values).quantiles(QS), float)

    exact = np.quantile(values, QS, method="inverted_cdf")
    outer = (exact < 50) | (exact >= 9_950)
    assert np.all(np.abs(found - exact) <= np.where(outer, 50, 25))


@pytest.mark.parametrize("score", [0, 10_000])
def test_the_worst_and_the_best_score_are_answered_exactly(score: int) -> None:
    assert of(SCORES, [score] * 3).quantile(0.5) == score


def test_latencies_below_50_ms_are_exact() -> None:
    assert [of(LATENCIES, [each, each]).quantile(0.5) for each in range(50)] == list(range(50))


@SCALES
def test_a_single_value_is_exact(scale: Scale) -> None:
    one = of(scale, [7_777])

    assert one.quantiles(QS) == [7_777] * len(QS)
    assert one.bounds == (7_777, 7_777)
    assert (one.count, one.total) == (1, 7_777)


@SCALES
def test_without_values_there_is_no_quantile(scale: Scale) -> None:
    nothing = sketch.empty(scale)

    assert nothing.quantiles((0, 1)) == [None, None]
    assert nothing.bounds is None
    assert (nothing.count, nothing.total) == (0, 0)
    assert len(sketch.encode(nothing)) == 2


@pytest.mark.parametrize("q", [-0.01, 1.01, float("nan")])
def test_a_quantile_outside_of_zero_to_one_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        of(LATENCIES, [1]).quantile(q)


@untimed
@given(latencies.filter(bool))
def test_bounds_lie_at_most_two_percent_outside_of_all_values(values: list[int]) -> None:
    bounds = of(LATENCIES, values).bounds

    assert bounds is not None
    least, greatest = bounds
    assert least <= min(values) <= least + least // 50
    assert greatest >= max(values) >= greatest - greatest // 50


@untimed
@given(valued, st.randoms(use_true_random=False))
def test_any_order_and_grouping_gives_the_same_bytes(
    groups: tuple[Scale, list[list[int]]], chance: Any
) -> None:
    scale, parts = groups
    everything = list(itertools.chain(*parts))
    at_once = stored(scale, everything)
    chance.shuffle(everything)
    chance.shuffle(parts)
    encoded = [stored(scale, part) for part in parts]
    half = len(encoded) // 2
    halves = [sketch.merge(scale, some) for some in (encoded[:half], encoded[half:])]

    assert stored(scale, everything) == at_once
    assert sketch.encode(sketch.merge(scale, encoded)) == at_once
    assert sketch.encode(sketch.merge(scale, list(map(sketch.encode, halves)))) == at_once


@untimed
@given(valued, st.integers(0, 6))
def test_taking_out_undoes_adding(groups: tuple[Scale, list[list[int]]], place: int) -> None:
    scale, parts = groups
    removed = parts[place % len(parts)] if parts else []
    rest = [
        value
        for at, part in enumerate(parts)
        if not parts or at != place % len(parts)
        for value in part
    ]
    full = of(scale, list(itertools.chain(*parts)))

    left = remove_many(full, removed)

    assert sketch.encode(left) == stored(scale, rest)
    assert add_many(left, removed) == full


@untimed
@given(valued)
def test_the_stored_form_decodes_to_the_same_sketch(groups: tuple[Scale, list[list[int]]]) -> None:
    scale, parts = groups
    values = list(itertools.chain(*parts))

    found = sketch.decode(scale, stored(scale, values))

    assert found == of(scale, values)
    assert (found.count, found.total) == (len(values), sum(values))


@untimed
@given(valued)
def test_an_update_is_a_fold_of_the_stored_form(groups: tuple[Scale, list[list[int]]]) -> None:
    scale, parts = groups
    kept: bytes | None = None
    for part in parts:
        kept = sketch.update(scale, kept, part, part[:1])

    expected = [value for part in parts for value in part[1:]]
    assert kept == (stored(scale, expected) if parts else None)


@SCALES
@pytest.mark.parametrize("size", [2, 40, 3_000])
def test_many_buckets_merged_by_numpy_equal_all_values_added(scale: Scale, size: int) -> None:
    parts = buckets(scale, 600, size)
    nothing = sketch.encode(sketch.empty(scale))
    encoded = [nothing, *(stored(scale, part) for part in parts), nothing]

    merged = sketch.merge(scale, encoded)

    assert merged == of(scale, np.concatenate(parts))
    assert sketch.encode(merged) == stored(scale, np.concatenate(parts).tolist())


def test_many_empty_buckets_merge_to_an_empty_one() -> None:
    nothing = sketch.encode(sketch.empty(SCORES))

    assert sketch.merge(SCORES, [nothing] * sketch.NUMPY_FROM_BYTES) == sketch.empty(SCORES)


def test_merging_counts_exactly_beyond_what_floats_can() -> None:
    many = sketch.encode(Sketch(LATENCIES, {7: 2**52 + 1}, 7 * (2**52 + 1)))
    encoded = [many] * 1_001

    merged = sketch.merge(LATENCIES, encoded)

    assert merged.counts == {7: 1_001 * (2**52 + 1)}
    assert merged.quantile(1) == 7


@untimed
@given(st.lists(st.one_of(st.integers(0, 2**17), st.integers(0, MAX)), min_size=1, max_size=30))
def test_lists_and_arrays_short_and_long_give_the_same_sketch(values: list[int]) -> None:
    times = -(-sketch.NUMPY_FROM_VALUES // len(values))
    long = values * times
    by_parts = sketch.empty(LATENCIES)
    for _ in range(times):
        by_parts = add_many(by_parts, values)

    assert of(LATENCIES, long) == by_parts
    assert of(LATENCIES, np.array(long, np.int64)) == by_parts
    assert of(LATENCIES, array("q", long)) == by_parts
    assert of(LATENCIES, array("q", values * 2)) == of(LATENCIES, values * 2)
    assert by_parts.total == sum(long)


def test_a_hundred_thousand_latencies_take_about_500_bytes() -> None:
    values = np.random.default_rng(1).lognormal(7.6, 0.5, 100_000).astype(int)

    assert len(stored(LATENCIES, values)) <= 500


def test_few_scores_take_few_bytes() -> None:
    assert len(stored(SCORES, [8_000, 8_010, 9_000])) <= 10


@SCALES
@pytest.mark.parametrize("times", [1, sketch.NUMPY_FROM_VALUES])
@pytest.mark.parametrize("value", [-1, MAX + 1, 2**64, 0.5, "7"])
def test_what_is_no_value_of_the_scale_is_refused(scale: Scale, times: int, value: Any) -> None:
    with pytest.raises(BadSketch, match=r"out of range|whole number"):
        of(scale, [value] * times)


@SCALES
@pytest.mark.parametrize("value", [-1, -(2**63)])
@pytest.mark.parametrize("others", [[], [5, 2**40], [70] * 2_000])
def test_an_array_with_what_is_no_value_of_the_scale_is_refused(
    scale: Scale, value: int, others: list[int]
) -> None:
    with pytest.raises(BadSketch, match=r"out of range"):
        of(scale, array("q", [*others, value]))


def test_an_array_is_binned_like_a_list_of_every_small_value() -> None:
    for scale, end in ((LATENCIES, 1 << 17), (SCORES, 10_001)):
        values = range(end)
        assert of(scale, array("q", values)) == of(scale, list(values))


def test_a_score_above_one_is_refused() -> None:
    with pytest.raises(BadSketch, match="10001 is out of range: scores lie from 0 to 10000"):
        of(SCORES, [10_001])


def test_what_was_never_added_cannot_be_taken_out() -> None:
    with pytest.raises(BadSketch, match="can't take out latencies near 2981 that were never"):
        remove_many(of(LATENCIES, [3_000, 70]), [3_000, 3_000])


def test_taking_out_another_value_of_the_same_bin_is_noticed_by_the_sum() -> None:
    with pytest.raises(BadSketch, match="sum up to"):
        remove_many(of(SCORES, [8_000]), [8_001])


NOT_A_SKETCH = {
    "nothing at all": (b"", "cut off"),
    "one byte": (b"\x01", "cut off"),
    "sum cut off": (b"\x01\x02\x05", "cut off"),
    "scores": (stored(SCORES, [5]), "it holds scores, not latencies"),
    "another kind": (b"\x09\x00", "unknown"),
    "sum with a leading zero": (b"\x01\x02\x00\x05\x0b\x00", "zero byte"),
    "last number cut off": (b"\x01\x01\x05\x0b\x80", "goes on"),
    "longer form of a number": (b"\x01\x01\x05\x8b\x00\x00", "shortest form"),
    "too long a number": (b"\x01\x01\x05" + b"\xff" * 9 + b"\x01\x00", "63 bits"),
    "no empty bins passed": (b"\x01\x01\x05\x01\x00", "empty bins"),
    "empty bins passed twice": (b"\x01\x01\x05\x03\x09\x00", "empty bins"),
    "no bin behind empty ones": (b"\x01\x01\x05\x0b", "a bin is missing"),
    "beyond the last bin": (b"\x01\x01\x05\xff\x7e\x00", "there is no bin"),
    "far beyond the last bin": (b"\x01\x01\x05" + b"\xff" * 8 + b"\x7f\x00", "there is no bin"),
    "one beyond the last bin": (b"\x01\x01\x05\xe9\x1f\x00", "there is no bin 2036"),
    "a sum that is too small": (b"\x01\x01\x04\x0b\x00", "sum up to"),
    "a sum that is too great": (b"\x01\x01\x06\x0b\x00", "sum up to"),
    "a sum of nothing": (b"\x01\x01\x06", "sum up to"),
}


@pytest.mark.parametrize("name", NOT_A_SKETCH)
def test_damaged_bytes_are_refused_with_the_reason(name: str) -> None:
    data, reason = NOT_A_SKETCH[name]

    with pytest.raises(BadSketch, match=reason):
        sketch.decode(LATENCIES, data)


@pytest.mark.parametrize("name", NOT_A_SKETCH)
def test_a_damaged_one_among_many_is_named_by_its_place(name: str) -> None:
    data, reason = NOT_A_SKETCH[name]
    sound = [stored(LATENCIES, part) for part in buckets(LATENCIES, 600, 20)]

    with pytest.raises(BadSketch, match=rf"sketch 400 of 601: .*{reason}"):
        sketch.merge(LATENCIES, [*sound[:400], data, *sound[400:]])


@untimed
@given(st.binary(max_size=12).map(lambda body: b"\x01" + body))
def test_any_bytes_are_refused_or_are_the_one_form_of_a_sketch(data: bytes) -> None:
    try:
        found = sketch.decode(LATENCIES, data)
    except BadSketch:
        return
    assert sketch.encode(found) == data


@untimed
@given(st.binary(max_size=12).map(lambda body: b"\x01" + body))
def test_numpy_refuses_what_reading_one_by_one_refuses(data: bytes) -> None:
    sound = [stored(LATENCIES, part) for part in buckets(LATENCIES, 100, 30)]
    try:
        sketch.decode(LATENCIES, data)
    except BadSketch:
        with pytest.raises(BadSketch, match="sketch 100 of 101"):
            sketch.merge(LATENCIES, [*sound, data])
        return
    expected = list(map(sketch.decode, [LATENCIES] * 101, [*sound, data]))
    assert sketch.merge(LATENCIES, [*sound, data]).total == sum(each.total for each in expected)


def test_importing_and_small_work_load_no_numpy() -> None:
    program = (
        "import sys; from personad import sketch as s\n"
        "one = s.update(s.LATENCIES, None, [5, 700])\n"
        "s.merge(s.LATENCIES, [one] * 50).quantile(0.5)\n"
        "sys.exit('numpy' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
