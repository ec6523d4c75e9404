"""What a call costs, to the nano-dollar, and the receipt that says so for ever."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import genai_prices
import msgspec
import pytest
from genai_prices import data
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from personad.contract.cost import CostRecorded
from personad.price_data import UnitPrices
from personad.pricing import (
    PriceBook,
    Receipt,
    Tokens,
    cost_of,
    flat,
    from_flat,
    parts_of,
    per_million,
)

from .facts import fresh_id

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOME = Tokens(input=1_234, output=567, cache_read=8_901, cache_write=23)
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-5"),
    ("openai", "gpt-5.4"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5-20251001"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("azure", "gpt-4o"),
    ("deepseek", "deepseek-chat"),
    ("deepseek", "deepseek-flash"),
    ("mistral", "mistral-large-latest"),
    ("huggingface_together", "Qwen/Qwen3-VL-8B-Instruct"),
    ("openrouter", "google/gemini-2.5-flash"),
]
BOOK = PriceBook()
"""Shared, so that what is cached for one question is asked for another."""

counts = st.integers(0, 500_000)
usages = st.builds(Tokens, input=counts, output=counts, cache_read=counts, cache_write=counts)
prices_nanousd = st.none() | st.integers(0, 10**11)
unit_prices = st.builds(
    UnitPrices,
    source=st.just("price.set"),
    input_nanousd=prices_nanousd,
    output_nanousd=prices_nanousd,
    cache_read_nanousd=prices_nanousd,
    cache_write_nanousd=prices_nanousd,
    request_nanousd=st.integers(0, 10**13),
    per_tokens=st.sampled_from([1_000_000, 10**9, 3]),
    effective_from=st.none() | st.datetimes(timezones=st.just(UTC)),
    above_input_tokens=counts,
    service_tier=st.none() | st.just("batch"),
)
moments = st.integers(0, 790 * 86_400).map(
    lambda seconds: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


def expected(
    provider: str, model: str, tokens: Tokens, at: datetime, context: dict[str, str] | None = None
) -> int | None:
    """The cost by genai-prices itself, rounded here; None where it knows no price of a token."""
    usage = genai_prices.Usage(
        input_tokens=tokens.input + tokens.cache_read + tokens.cache_write,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
    )
    with localcontext(prec=80):
        try:
            found = genai_prices.calc_price(
                usage,
                model,
                provider_id=provider,
                genai_request_timestamp=at,
                price_context=context,
            )
        except LookupError:
            return None
        if found.model_price.input_mtok is None or found.model_price.output_mtok is None:
            return None
        return int((found.total_price * 10**9).quantize(Decimal(1), ROUND_HALF_EVEN))


def cost(
    provider: str,
    model: str,
    tokens: Tokens = SOME,
    at: datetime = NOON,
    tier: str | None = None,
    book: PriceBook = BOOK,
) -> int | None:
    priced = book.price(provider, model, tokens, at, tier)
    return None if priced is None else priced[0]


def listed() -> Iterator[tuple[str, str]]:
    """Every model of the list; of the longest provider's, every twentieth."""
    for provider in data.providers:
        for model in provider.models[:: 20 if provider.id == "openrouter" else 1]:
            yield provider.id, model.id


@pytest.mark.parametrize("tokens", [SOME, Tokens(input=1, output=1), Tokens(input=600_000)])
def test_every_listed_model_costs_what_the_list_says(tokens: Tokens) -> None:
    tokens = msgspec.structs.replace(tokens, output=tokens.output or 1)
    for provider, model in listed():
        found = cost(provider, model, tokens)
        assert found == expected(provider, model, tokens, NOON), (provider, model)


@settings(deadline=None)
@given(model=st.sampled_from(MODELS), tokens=usages, at=moments)
def test_a_cost_at_any_moment_is_what_the_list_says_to_the_nano_dollar(
    model: tuple[str, str], tokens: Tokens, at: datetime
) -> None:
    assert cost(*model, tokens, at) == expected(*model, tokens, at)


@settings(deadline=None)
@given(model=st.sampled_from(MODELS), tokens=usages, at=moments)
def test_a_batch_costs_what_the_list_says_of_batch_processing(
    model: tuple[str, str], tokens: Tokens, at: datetime
) -> None:
    batch = {"processing": "batch"}
    assert cost(*model, tokens, at, "batch") == expected(*model, tokens, at, batch)


@pytest.mark.parametrize("above", [199_999, 200_000, 200_001])
def test_a_long_prompt_pays_its_own_price_for_all_tokens_cached_ones_counted(above: int) -> None:
    tokens = Tokens(input=above - 3_000, output=10, cache_read=2_000, cache_write=1_000)
    found = BOOK.resolve("anthropic", "claude-sonnet-4-5", NOON, input_tokens=above)
    priced = BOOK.price("anthropic", "claude-sonnet-4-5", tokens, NOON)
    assert found is not None
    assert priced is not None
    assert priced[1].prices == found
    assert (found.input_nanousd, found.above_input_tokens) == (
        (6 * 10**9, 200_000) if above > 200_000 else (3 * 10**9, 0)
    )
    assert priced[0] == expected("anthropic", "claude-sonnet-4-5", tokens, NOON)


def test_a_batch_is_cheaper_and_its_receipt_says_batch() -> None:
    found = BOOK.resolve("anthropic", "claude-sonnet-4-5", NOON, "batch")
    assert found is not None
    assert (found.input_nanousd, found.service_tier) == (1_500_000_000, "batch")


@pytest.mark.parametrize("tier", ["priority", "flex", "fast", "PRIORITY", "SERVICE_TIER_FLEX"])
def test_a_service_tier_has_its_own_price(tier: str) -> None:
    context = {"service_tier": tier.lower().removeprefix("service_tier_")}
    found = cost("openai", "gpt-5", tier=tier)
    assert found == expected("openai", "gpt-5", SOME, NOON, context)
    assert found != cost("openai", "gpt-5")


@pytest.mark.parametrize("tier", ["default", "standard", "auto", "on_demand", ""])
def test_a_standard_tier_by_any_name_costs_the_standard_price(tier: str) -> None:
    assert cost("openai", "gpt-5", tier=tier) == cost("openai", "gpt-5")


def test_a_discount_without_a_known_price_costs_the_standard_price_and_says_so() -> None:
    found = BOOK.resolve("azure", "gpt-4o", NOON, "batch")
    assert found is not None
    assert found == BOOK.resolve("azure", "gpt-4o", NOON)
    assert found.service_tier is None


@pytest.mark.parametrize("tier", ["priority", "scale", "provisioned"])
def test_a_tier_that_may_be_dearer_and_has_no_known_price_is_unpriced(tier: str) -> None:
    assert cost("anthropic", "claude-sonnet-4-5", tier=tier) is None


def test_the_fast_tier_of_a_provider_that_calls_it_speed_is_found() -> None:
    model = next(
        info.id
        for provider in data.providers
        for info in provider.models
        if provider.id == "anthropic"
        and any(each.when == {"speed": "fast"} for each in info.price_variants or ())
    )
    assert cost("anthropic", model, tier="fast") == expected(
        "anthropic", model, SOME, NOON, {"speed": "fast"}
    )


@pytest.mark.parametrize(
    ("provider", "model", "same_as"),
    [
        ("anthropic", "claude-sonnet-4-5-20250929", ("anthropic", "claude-sonnet-4-5")),
        ("Anthropic", " Claude-Sonnet-4-5 ", ("anthropic", "claude-sonnet-4-5")),
        ("gemini", "models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("Vertex_AI", "publishers/google/models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("google", "google/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("azure", "azure/gpt-4o", ("azure", "gpt-4o")),
        ("azure_openai", "gpt-4o", ("azure", "gpt-4o")),
        ("openai", "azure/gpt-4o", ("azure", "gpt-4o")),
        ("litellm", "gemini/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("xai", "grok-4", ("x-ai", "grok-4")),
    ],
)
def test_a_model_is_known_by_its_other_names(
    provider: str, model: str, same_as: tuple[str, str]
) -> None:
    found = cost(provider, model)
    assert found is not None
    assert found == cost(*same_as)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "nobody-knows-me"),
        ("nobody", "gpt-4o"),
        ("my-openai-proxy", "gpt-4o"),
        ("openai", "nobody/gpt-4o"),
        ("openai", "azure/"),
        ("groq", "anthropic/claude-sonnet-4-5"),
        ("github-copilot", "gpt-4o"),
        ("google", "models/"),
    ],
)
def test_a_model_without_a_known_price_is_unpriced_and_never_free(
    provider: str, model: str
) -> None:
    assert BOOK.resolve(provider, model, NOON) is None
    assert BOOK.price(provider, model, Tokens(), NOON) is None
    assert BOOK.ceiling(provider, model, SOME, NOON) is None


@pytest.mark.parametrize("provider", ["local", "simulated", "ollama", "Ollama"])
def test_what_runs_here_is_free_and_says_so(provider: str) -> None:
    priced = BOOK.price(provider, "anything", SOME, NOON)
    assert priced is not None
    assert (priced[0], priced[1].prices.source) == (0, "free")


def test_a_kind_of_token_without_a_price_leaves_the_call_unpriced() -> None:
    prices = UnitPrices(source="price.set", input_nanousd=1, output_nanousd=None)
    assert cost_of(Tokens(input=5_000_000), prices) == 5
    assert cost_of(Tokens(input=5, output=1), prices) is None
    assert parts_of(Receipt(prices, Tokens(output=1))) == []
    unread = UnitPrices(source="price.set", input_nanousd=None, output_nanousd=1)
    assert cost_of(Tokens(cache_read=1), unread) is None


@pytest.mark.parametrize(("halves", "rounded"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_half_a_nano_dollar_goes_to_the_even_side(halves: int, rounded: int) -> None:
    prices = UnitPrices(source="price.set", input_nanousd=500_000, output_nanousd=0)
    assert cost_of(Tokens(input=halves), prices) == rounded


@given(prices=unit_prices, tokens=usages)
def test_a_cost_is_the_exact_one_rounded_once(prices: UnitPrices, tokens: Tokens) -> None:
    found = cost_of(tokens, prices)
    assume(found is not None)
    plain = prices.input_nanousd or 0
    read, write = prices.cache_read_nanousd, prices.cache_write_nanousd
    exact = Fraction(
        tokens.input * plain
        + tokens.output * (prices.output_nanousd or 0)
        + tokens.cache_read * (plain if read is None else read)
        + tokens.cache_write * (plain if write is None else write)
        + prices.request_nanousd,
        prices.per_tokens,
    )
    assert type(found) is int
    assert found == round(exact)


@given(prices=unit_prices, fewer=usages, more=usages)
def test_more_tokens_never_cost_less(prices: UnitPrices, fewer: Tokens, more: Tokens) -> None:
    both = Tokens(
        input=fewer.input + more.input,
        output=fewer.output + more.output,
        cache_read=fewer.cache_read + more.cache_read,
        cache_write=fewer.cache_write + more.cache_write,
    )
    before, after = cost_of(fewer, prices), cost_of(both, prices)
    assume(before is not None and after is not None)
    assert (before or 0) <= (after or 0)


@given(prices=unit_prices, tokens=usages)
def test_the_lines_of_a_bill_add_up_to_its_cost_and_stay_within_one_nano_dollar(
    prices: UnitPrices, tokens: Tokens
) -> None:
    found = cost_of(tokens, prices)
    parts = parts_of(Receipt(prices, tokens))
    assert sum(each.cost_nanousd for each in parts) == (found or 0)
    for each in parts:
        exact = Fraction(each.amount * each.price_nanousd, each.per_tokens)
        assert abs(each.cost_nanousd - exact) < 1


@given(prices=unit_prices, tokens=usages)
def test_a_receipt_survives_its_storage_and_gives_the_cost_again(
    prices: UnitPrices, tokens: Tokens
) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(flat(Receipt(prices, tokens))))
    assert all(value is None or type(value) in (int, str) for value in stored.values())
    assert from_flat(stored) == Receipt(prices, tokens)


def test_a_receipt_that_is_none_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="source"):
        from_flat({"input_nanousd": 3})
    with pytest.raises(msgspec.ValidationError, match="int"):
        from_flat({"source": "free", "input_nanousd": 0.5, "output_nanousd": 0})


def test_every_listed_price_is_whole_and_fits_63_bits() -> None:
    for provider, model in listed():
        for row in BOOK.epoch(provider, model, NOON).rows():
            for value in flat(Receipt(row, Tokens())).values():
                assert value is None or isinstance(value, str) or 0 <= value < 2**63


def test_a_recorded_call_is_priced_by_its_own_tier_and_time() -> None:
    call = CostRecorded(
        id=fresh_id(),
        at=NOON,
        call="call-1",
        provider="openai",
        model="gpt-5",
        operation="generation",
        outcome="ok",
        input_tokens=1_000,
        output_tokens=10,
        cache_read_tokens=100,
        cache_write_tokens=7,
        service_tier="batch",
        cost_nanousd=1,
    )
    tokens = Tokens(input=1_000, output=10, cache_read=100, cache_write=7)
    priced = BOOK.price_call(call)
    assert priced is not None
    assert priced == BOOK.price("openai", "gpt-5", tokens, NOON, "batch")
    assert BOOK.bill(call) == (priced[0], priced[1].prices)


@pytest.mark.parametrize(
    ("nanousd", "per_tokens", "expected"),
    [
        (2**53 + 1, 10**6, 2**53 + 1),
        (10**15 + 1, 2 * 10**6, 5 * 10**14),
        (10**15 + 3, 2 * 10**6, 5 * 10**14 + 2),
        (1, 3 * 10**6, 0),
        (2, 3 * 10**6, 1),
    ],
)
def test_a_price_per_million_is_rounded_half_to_even_without_a_float(
    nanousd: int, per_tokens: int, expected: int
) -> None:
    assert per_million(nanousd, per_tokens) == expected


@given(
    model=st.sampled_from(("gpt-5", "gpt-4o", "gemini-2.5-pro", "claude-sonnet-4-5", "nobody's")),
    provider=st.sampled_from(("openai", "google", "anthropic", "ollama", "nobody")),
    used=st.tuples(*[st.integers(0, 10**6)] * 4),
)
def test_a_bill_is_what_its_receipt_comes_to(
    provider: str, model: str, used: tuple[int, int, int, int]
) -> None:
    call = CostRecorded(
        id=fresh_id(),
        at=NOON,
        call="call-1",
        provider=provider,
        model=model,
        operation="generation",
        outcome="ok",
        input_tokens=used[0],
        output_tokens=used[1],
        cache_read_tokens=used[2],
        cache_write_tokens=used[3],
    )
    priced = BOOK.price_call(call)
    assert BOOK.bill(call) == (None if priced is None else (priced[0], priced[1].prices))
