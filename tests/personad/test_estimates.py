"""What a batch is expected to cost before it begins, against plain arithmetic."""

from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from personad.contract import cost as c
from personad.contract.batch import PersonaCompleted, PersonaGenerating
from personad.contract.budget import Prices, PriceSet
from personad.contract.codec import codec, encode
from personad.questions import ANSWERS

from .conftest import Core
from .facts import NOON, cost, fresh_id, happened, queued, started

MODEL = {"provider": "house", "model": "writer-1"}
MILLION = 1_000_000


def ask(core: Core, prompts: list[int], *, most: int = 8_000, **model: str) -> c.Estimated:
    names = MODEL | model
    request = c.Estimate(input_tokens=prompts, max_output_tokens=most, **names)  # type: ignore[arg-type]
    found: Any = ANSWERS[c.Estimate](core.db, request, core.now)
    return codec(c.Estimated).decode(encode(found))


def price(core: Core, **prices: int) -> None:
    """Dollars per million tokens: a thousand nano-dollars a token for each."""
    given = {name: dollars * 10**9 for name, dollars in prices.items()}
    core.append(
        PriceSet(id=fresh_id(), at=NOON, prices=Prices(**given), effective_from=NOON, **MODEL)
    )


def batch(core: Core, name: str, outputs: list[int], *, cached: int = 0, **model: str) -> None:
    """An earlier batch: a persona for each, written with so many tokens."""
    names = MODEL | model
    events: list[Any] = [started(name, len(outputs), **names)]
    for index, output in enumerate(outputs, 1):
        who = f"{name}-p{index}"
        events += [
            queued(who, index, name),
            happened(PersonaGenerating, name, who),
            cost(
                f"{name}-{index}",
                None,
                batch=name,
                persona=who,
                input_tokens=1_000 - cached,
                cache_read_tokens=cached,
                output_tokens=output,
                **names,
            ),
            happened(PersonaCompleted, name, who, **names),
        ]
    core.append(*events)


def test_without_a_price_only_tokens_are_told(core: Core) -> None:
    found = ask(core, [1_000, 2_000])

    assert (found.low_nanousd, found.expected_nanousd, found.high_nanousd) == (None, None, None)
    assert found.price_source is None
    assert found.input_tokens.expected == 3_000


def test_what_is_free_costs_nothing(core: Core) -> None:
    found = ask(core, [1_000], provider="ollama", model="any")

    assert (found.low_nanousd, found.high_nanousd, found.price_source) == (0, 0, "free")


def test_a_new_model_goes_by_a_rule_of_thumb(core: Core) -> None:
    price(core, input_nanousd=3, output_nanousd=15)

    found = ask(core, [1_000, 3_000])

    assert found.history_batches == found.history_personas == 0
    assert found.price_source == "price.set"
    assert found.expected_nanousd == (4_000 * 3 + 2 * 1_500 * 15) * 1_000
    assert found.low_nanousd == (3_200 * 3 + 2 * 700 * 15) * 1_000
    assert found.high_nanousd == (5_000 * 3 + 2 * 4_000 * 15) * 1_000 * 11 // 10


def test_no_call_writes_more_than_it_may(core: Core) -> None:
    found = ask(core, [1_000], most=100)

    assert found.output_tokens == c.Guess(low=100, expected=100, high=110)


def test_earlier_batches_of_the_model_tell_how_much_it_writes(core: Core) -> None:
    price(core, input_nanousd=3, output_nanousd=15)
    for name, outputs in (("a", [400, 600]), ("b", [800]), ("c", [1_000, 1_200])):
        batch(core, f"batch-{name}", outputs)
    batch(core, "batch-other", [9_000], model="writer-2")

    found = ask(core, [1_000] * 10)

    assert (found.history_batches, found.history_personas) == (3, 5)
    assert found.calls == c.Guess(low=10, expected=10, high=11)
    assert found.output_tokens.expected == 10 * 800
    assert found.expected_nanousd == 10 * (1_000 * 3 + 800 * 15) * 1_000
    assert found.low_nanousd == 10 * (800 * 3 + 450 * 15) * 1_000
    assert found.high_nanousd == 11 * (1_250 * 3 + 1_210 * 15) * 1_000


def test_calls_that_had_to_be_repeated_are_expected_again(core: Core) -> None:
    price(core, input_nanousd=1, output_nanousd=1)
    batch(core, "batch-a", [500, 500])
    for again in range(2):
        core.append(cost(f"again-{again}", None, output_tokens=500, **MODEL))

    found = ask(core, [1_000, 1_000])

    assert found.calls.expected == 4
    assert found.output_tokens.expected == 4 * 500
    assert found.expected_nanousd == 4 * 1_500 * 1_000


def test_what_is_usually_read_from_a_cache_costs_what_that_costs(core: Core) -> None:
    price(core, input_nanousd=10, output_nanousd=10, cache_read_nanousd=1)
    batch(core, "batch-a", [100], cached=400)

    found = ask(core, [2_000])

    assert found.expected_nanousd == (1_200 * 10 + 800 * 1 + 100 * 10) * 1_000
    assert found.high_nanousd is not None
    assert found.high_nanousd >= (2_500 * 10 + 100 * 10) * 1_000


@settings(deadline=None, max_examples=40)
@given(
    past=st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=3), max_size=4),
    prompts=st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
    most=st.integers(0, 10**6),
)
def test_low_is_never_above_expected_nor_that_above_high(
    tmp_path_factory: Any, past: list[list[int]], prompts: list[int], most: int
) -> None:
    core = Core(tmp_path_factory.mktemp("ledger") / "ledger.db")
    price(core, input_nanousd=3, output_nanousd=15)
    for number, outputs in enumerate(past):
        batch(core, f"batch-{number}", outputs)

    found = ask(core, prompts, most=most)

    assert found.low_nanousd is not None
    assert found.expected_nanousd is not None
    assert found.high_nanousd is not None
    assert found.low_nanousd <= found.expected_nanousd <= found.high_nanousd
    for guess in (found.calls, found.input_tokens, found.output_tokens):
        assert guess.low <= guess.expected <= guess.high
    assert found.high_nanousd >= sum(prompts) * Fraction(3 * 10**9, MILLION)
    core.db.close()
