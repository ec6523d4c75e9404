"""Ways of spending less: what each saves of a bill, and that no dollar is saved twice."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad.analytics.optimising import (
    Bill,
    Cell,
    Terms,
    Usage,
    Way,
    cached,
    chosen,
    moved,
    shortened,
)
from personad.analytics.score_difference import Difference, Scores, difference, sampled

DEAR, CHEAP, FREE = ("acme", "dear"), ("acme", "cheap"), ("local", "own")
_PER_TOKEN = {DEAR: (10, 50), CHEAP: (1, 5), FREE: (0, 0)}


def price(terms: Terms, stretch: int) -> int | None:
    """Half of it as a batch, a tenth of the input from the cache, a quarter more into it."""
    per_token = _PER_TOKEN.get((terms.provider, terms.model))
    if per_token is None:
        return None
    input_, output = per_token
    usage = terms.usage
    whole = (
        usage.input_tokens * input_
        + usage.cache_read_tokens * input_ // 10
        + usage.cache_write_tokens * input_ * 5 // 4
        + usage.output_tokens * output
    ) * (stretch + 1)
    return whole // 2 if terms.is_batch else whole


def bill(
    model: tuple[str, str] = DEAR,
    usage: Usage = Usage(10, 1_000, 100),  # noqa: B008 - a constant
    *,
    outcome: str = "ok",
    experiment: str | None = None,
    stretch: int = 0,
    left: int | None = None,
) -> Bill:
    terms = Terms(*model, usage)
    cell = Cell(stretch, *model, "generation", outcome, experiment)
    return Bill(cell, terms, (price(terms, stretch) or 0) if left is None else left)


def to(other: tuple[str, str], of: tuple[str, str] = DEAR) -> Way:
    def changed(bill: Bill) -> Terms | None:
        if (bill.terms.provider, bill.terms.model) != of or bill.terms.is_moved:
            return None
        return Terms(*other, bill.terms.usage, bill.terms.is_batch, is_moved=True)

    return Way(f"to {other[1]}", changed, excludes=of[1])


def as_batch(of: tuple[str, str]) -> Way:
    def changed(bill: Bill) -> Terms | None:
        is_its = (bill.terms.provider, bill.terms.model) == of
        return bill.terms._replace(is_batch=True) if is_its and not bill.terms.is_batch else None

    return Way(f"batch {of[1]}", changed)


def without(matches: Callable[[Cell], bool], name: str = "without") -> Way:
    return Way(
        name, lambda bill: bill.terms._replace(usage=Usage()) if matches(bill.cell) else None
    )


def test_what_a_model_saves_is_the_difference_of_two_prices_of_the_same_calls() -> None:
    (saving,) = chosen([bill()], [to(CHEAP)], price, 1)
    assert (saving.calls, saving.cost_nanousd) == (10, 15_000)
    assert saving.saving_nanousd == 15_000 - 1_500


def test_each_stretch_of_time_has_its_own_prices() -> None:
    (saving,) = chosen([bill(), bill(stretch=2)], [to(CHEAP)], price, 1)
    assert saving.saving_nanousd == (15_000 - 1_500) * (1 + 3)


def test_the_greatest_is_taken_first_and_the_next_gets_what_it_left() -> None:
    found = chosen([bill()], [as_batch(CHEAP), as_batch(DEAR), to(CHEAP)], price, 1)
    assert [(each.way.id, each.saving_nanousd) for each in found] == [
        ("to cheap", 13_500),
        ("batch cheap", 750),
    ]
    assert found[1].cost_nanousd == 1_500


def test_of_two_models_instead_of_one_only_the_better_is_taken() -> None:
    found = chosen([bill()], [to(CHEAP), to(FREE)], price, 1)
    assert [each.way.id for each in found] == ["to own"]


def test_calls_that_had_a_discount_already_save_only_the_rest() -> None:
    assert chosen([bill(left=7_500)], [as_batch(DEAR)], price, 1) == []
    (saving,) = chosen([bill(left=9_000)], [as_batch(DEAR)], price, 1)
    assert saving.saving_nanousd == 1_500


def test_calls_that_cost_more_than_their_price_save_no_more_than_their_price_says() -> None:
    (saving,) = chosen([bill(left=99_000)], [as_batch(DEAR)], price, 1)
    assert saving.saving_nanousd == 7_500


def test_nothing_is_said_of_a_model_without_a_price() -> None:
    assert chosen([bill()], [to(("acme", "mystery"))], price, 1) == []


def test_a_model_that_is_dearer_for_some_calls_saves_that_much_less() -> None:
    discounted = bill(left=500)
    (saving,) = chosen([bill(), discounted], [to(CHEAP)], price, 1)
    assert saving.saving_nanousd == 13_500 - 1_000


def test_what_saves_too_little_is_left_out() -> None:
    assert chosen([bill()], [to(CHEAP)], price, 13_501) == []
    assert chosen([], [to(CHEAP)], price, 0) == []


def test_calls_that_would_not_be_made_save_all_of_their_cost() -> None:
    failed = bill(outcome="error", usage=Usage(3, 500, 0))
    (saving,) = chosen([bill(), failed], [without(lambda cell: cell.outcome == "error")], price, 1)
    assert (saving.calls, saving.saving_nanousd) == (3, 5_000)


usages = st.builds(
    Usage,
    st.integers(1, 50),
    st.integers(0, 10_000),
    st.integers(0, 5_000),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
)
bills = st.builds(
    bill,
    st.sampled_from([DEAR, CHEAP, FREE, ("acme", "mystery")]),
    usages,
    outcome=st.sampled_from(["ok", "error"]),
    experiment=st.sampled_from([None, "lost"]),
    stretch=st.integers(0, 2),
    left=st.none() | st.integers(0, 10**6),
)


@given(st.lists(bills, max_size=12), st.randoms(use_true_random=False))
def test_no_dollar_is_saved_twice_whatever_the_bills(some: list[Bill], rng: random.Random) -> None:
    ways = [
        to(CHEAP),
        to(FREE),
        to(FREE, of=CHEAP),
        as_batch(DEAR),
        as_batch(CHEAP),
        without(lambda cell: cell.outcome == "error", "failed"),
        without(lambda cell: cell.experiment == "lost", "lost"),
        Way("cached", lambda each: each.terms._replace(usage=cached(each.terms.usage, 300, 0.1))),
        Way("short", lambda each: each.terms._replace(usage=shortened(each.terms.usage, 0.3))),
    ]
    rng.shuffle(ways)
    found = chosen(some, ways, price, 1)
    savings = [each.saving_nanousd for each in found]
    assert sum(savings) <= sum(each.left_nanousd for each in some)
    assert savings == sorted(savings, reverse=True)
    assert all(each.saving_nanousd <= each.cost_nanousd for each in found)


class TestUsage:
    def test_a_prefix_is_read_by_all_but_the_calls_that_write_it(self) -> None:
        assert cached(Usage(10, 20_000, 500), 1_500, 0.2) == Usage(10, 5_000, 500, 12_000, 3_000)

    def test_what_was_written_for_nothing_is_read_instead(self) -> None:
        usage = Usage(10, 5_000, 500, 0, 15_000)
        assert cached(usage, 1_500, 0.1) == Usage(10, 5_000, 500, 13_500, 1_500)

    def test_what_is_read_already_is_left_as_it_is(self) -> None:
        usage = Usage(10, 5_000, 500, 14_000, 1_000)
        assert cached(usage, 1_500, 0.1) is usage

    @given(usages, st.integers(1, 4_000), st.floats(0, 1))
    def test_caching_makes_and_loses_no_token(
        self, usage: Usage, prefix: int, written: float
    ) -> None:
        found = cached(usage, prefix, written)
        assert found.prompt_tokens == usage.prompt_tokens
        assert min(found) >= 0
        assert found.cache_read_tokens >= usage.cache_read_tokens

    def test_another_model_takes_all_of_the_prompt_and_its_own_share_of_the_rest(self) -> None:
        assert moved(Usage(10, 1_000, 100, 300, 200), 2.0, 1.5) == Usage(15, 2_250, 300)

    def test_a_shorter_prompt_leaves_out_what_was_not_cached(self) -> None:
        assert shortened(Usage(10, 700, 100, 300, 0), 0.5) == Usage(10, 200, 100, 300, 0)
        assert shortened(Usage(10, 100, 100, 900, 0), 0.5).input_tokens == 0


def scores(*days: list[float]) -> Scores:
    values = [[round(each * 10_000) for each in day] for day in days]
    return Scores(
        [len(day) for day in values],
        [sum(day) for day in values],
        sum(each * each for day in values for each in day),
    )


def drawn(mean: float, spread_of_days: float, seed: int, days: int = 20, each: int = 15) -> Scores:
    rng = random.Random(seed)
    found = []
    for _ in range(days):
        level = rng.gauss(mean, spread_of_days)
        found.append([min(1.0, max(0.0, rng.gauss(level, 0.05))) for _ in range(each)])
    return scores(*found)


def compared(ours: Scores, theirs: Scores, seed: int = 7) -> Difference:
    rng = np.random.default_rng(seed)
    return difference(sampled(ours, rng), sampled(theirs, rng))


class TestDifference:
    def test_it_is_of_the_means(self) -> None:
        found = compared(scores([0.8, 0.6]), scores([0.9, 0.9]))
        assert found.mean == pytest.approx(2_000)

    def test_with_few_days_it_is_that_of_independent_scores(self) -> None:
        ours, theirs = scores([0.8, 0.6, 0.7, 0.9]), scores([0.7, 0.5, 0.9, 0.9])
        half = 1.959964 * math.hypot(ours.error, theirs.error)
        found = compared(ours, theirs)
        assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))

    def test_days_that_differ_widen_it(self) -> None:
        def width(spread_of_days: float) -> float:
            found = compared(drawn(0.8, spread_of_days, 1), drawn(0.8, spread_of_days, 2))
            return found.high - found.low

        assert width(0.08) > 3 * width(0.0)

    def test_it_holds_no_difference_nineteen_times_in_twenty_where_there_is_none(self) -> None:
        held = 0
        for seed in range(200):
            found = compared(drawn(0.8, 0.04, 2 * seed), drawn(0.8, 0.04, 2 * seed + 1), seed)
            held += found.low <= 0 <= found.high
        assert 0.88 <= held / 200 <= 0.99

    def test_a_single_score_says_nothing(self) -> None:
        found = compared(scores([0.8]), scores([0.9]))
        assert (found.low, found.high) == (-math.inf, math.inf)
