"""Whose price holds when: the user's own, the public list's, and how long."""

import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import permutations

import pytest
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from personad import price_data
from personad.contract.budget import Prices, PriceSet
from personad.price_data import Catalogue, Epoch, UnitPrices
from personad.pricing import OwnPrice, PriceBook, Tokens, cost_of

from .facts import fresh_id

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DOLLAR = 10**9


def own(
    seq: int,
    dollars: int,
    since: datetime = NOON,
    provider: str = "anthropic",
    model: str = "claude-x",
) -> OwnPrice:
    prices = Prices(input_nanousd=dollars * DOLLAR, output_nanousd=dollars * DOLLAR)
    event = PriceSet(
        id=fresh_id(), at=NOON, provider=provider, model=model, prices=prices, effective_from=since
    )
    return OwnPrice(seq, event)


def dollars(
    book: PriceBook, at: datetime = NOON, provider: str = "anthropic", model: str = "claude-x"
) -> int | None:
    found = book.resolve(provider, model, at)
    return None if found is None else (found.input_nanousd or 0) // DOLLAR


def list_of(prices: ModelPrice | list[ConditionalPrice], installed_on: date) -> Catalogue:
    model = ModelInfo(id="m", match=ClauseEquals("m"), prices=prices)
    return Catalogue([Provider("p", "P", "", models=[model])], "test", installed_on)


def since(day: date, price: str) -> ConditionalPrice:
    prices = ModelPrice(input_mtok=Decimal(price), output_mtok=Decimal(price))
    return ConditionalPrice(StartDateConstraint(day), prices=prices)


def run(code: str) -> str:
    asked = [sys.executable, "-c", code]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def test_an_own_price_holds_from_its_effective_moment_on() -> None:
    book = PriceBook([own(1, 7, provider="openai", model="gpt-4o")])
    before = book.resolve("openai", "gpt-4o", NOON - timedelta(microseconds=1))
    after = book.resolve("openai", "gpt-4o", NOON)
    assert before == PriceBook().resolve("openai", "gpt-4o", NOON)
    assert after == UnitPrices(
        source="price.set",
        input_nanousd=7 * DOLLAR,
        output_nanousd=7 * DOLLAR,
        effective_from=NOON,
    )


def test_an_own_price_before_its_time_leaves_an_unknown_model_unpriced() -> None:
    assert dollars(PriceBook([own(1, 7)]), NOON - HOUR) is None


def test_the_later_effective_price_holds_and_of_equal_ones_the_later_in_the_ledger() -> None:
    prices = [own(1, 1), own(4, 2, NOON - DAY), own(2, 3), own(3, 4, NOON + DAY)]
    for order in permutations(prices):
        book = PriceBook(order)
        found = [dollars(book, NOON + days * DAY) for days in (-2, -1, 0, 1, 9)]
        assert found == [None, 2, 3, 4, 4]


def test_an_own_price_is_for_every_service_tier_and_over_what_is_free() -> None:
    book = PriceBook([own(1, 7), own(2, 5, provider="ollama", model="llama3")])
    assert book.resolve("anthropic", "claude-x", NOON, "batch") is not None
    assert dollars(book, provider="ollama", model="llama3") == 5
    assert dollars(book, NOON - HOUR, provider="ollama", model="llama3") == 0
    assert dollars(book, provider="ollama", model="mistral") == 0


def test_an_own_price_of_nothing_is_the_users_word() -> None:
    found = PriceBook([own(1, 0)]).resolve("anthropic", "claude-x", NOON)
    assert found is not None
    assert cost_of(Tokens(input=9, output=9, cache_read=9), found) == 0
    assert found.source == "price.set"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("Anthropic", "Claude-X"),
        ("anthropic", "claude-x-20250929"),
        ("anthropic", "claude-x-2025-09-29"),
        ("anthropic", "claude-x@20250929"),
        ("anthropic", "models/claude-x"),
        ("anthropic", "anthropic/claude-x"),
        ("litellm", "anthropic/claude-x-20250929"),
    ],
)
def test_an_own_price_holds_for_the_models_other_names(provider: str, model: str) -> None:
    assert dollars(PriceBook([own(1, 7)]), provider=provider, model=model) == 7


@pytest.mark.parametrize("model", ["claude-x-mini", "claude-x-20251399", "laude-x", "claude"])
def test_an_own_price_is_not_for_another_model(model: str) -> None:
    assert dollars(PriceBook([own(1, 7)]), model=model) is None


def test_an_own_price_that_names_the_date_comes_before_one_that_does_not() -> None:
    book = PriceBook([own(9, 1), own(1, 2, NOON - DAY, model="claude-x-20250929")])
    assert dollars(book, model="claude-x-20250929") == 2
    assert dollars(book, model="claude-x-20260101") == 1


def test_an_own_price_by_an_alias_is_found_by_the_providers_name() -> None:
    book = PriceBook([own(1, 7, provider="gemini", model="models/gemini-9")])
    assert dollars(book, provider="google", model="gemini-9") == 7


instants = st.integers(-20, 20).map(lambda hours: NOON + hours * HOUR)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-HOUR * 11)])


@settings(deadline=None)
@given(
    prices=st.lists(st.tuples(instants, zones), max_size=6),
    asked=st.lists(st.tuples(instants, zones), min_size=1, max_size=12),
)
def test_what_was_asked_before_changes_no_answer(
    prices: list[tuple[datetime, timezone]], asked: list[tuple[datetime, timezone]]
) -> None:
    owned = [
        own(seq, seq, at.astimezone(zone), "deepseek", "deepseek-chat")
        for seq, (at, zone) in enumerate(prices, 1)
    ]
    book = PriceBook(owned)
    for at, zone in asked:
        at = at.astimezone(zone)
        epoch = book.epoch("deepseek", "deepseek-chat", at)
        assert epoch.since <= at < epoch.until
        assert epoch == PriceBook(owned).epoch("deepseek", "deepseek-chat", at)
        held = [(since, seq) for seq, (since, _) in enumerate(prices, 1) if since <= at]
        assert epoch.base is not None
        assert (epoch.base.source == "price.set") == bool(held)
        if held:
            assert epoch.base.input_nanousd == max(held)[1] * DOLLAR


def test_many_models_and_many_stretches_of_time_leave_the_answers_as_they_are() -> None:
    book = PriceBook([own(1, 7)])
    for number in range(4_200):
        assert dollars(book, model=f"claude-x-{number}", provider="simulated") == 0
    for number in range(150):
        at = NOON - number * HOUR * 7
        assert book.resolve("deepseek", "deepseek-chat", at) is not None
    assert dollars(book) == 7


@pytest.mark.parametrize("zone", [timezone(14 * HOUR), timezone(-12 * HOUR), UTC])
@pytest.mark.parametrize("at", [datetime.min, datetime.max])  # noqa: DTZ901 - given a zone below
def test_the_first_and_the_last_moment_there_are_have_prices(at: datetime, zone: timezone) -> None:
    book = PriceBook([own(1, 7, datetime(2_000, 1, 1, tzinfo=UTC))])
    at = at.replace(tzinfo=zone)
    assert dollars(book, at) == (7 if at.year > 2_000 else None)
    assert book.resolve("deepseek", "deepseek-chat", at) is not None
    assert book.ceiling("deepseek", "deepseek-chat", Tokens(input=1), at) is not None


def test_a_price_that_starts_on_a_day_starts_at_its_midnight_in_utc() -> None:
    day = date(2026, 3, 1)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    book = list_of([since(date(2020, 1, 1), "1"), since(day, "2")], day)
    epoch = book.epoch("p", "m", None, start)
    earlier = book.epoch("p", "m", None, start - timedelta(microseconds=1))
    assert epoch.base is not None
    assert earlier.base is not None
    assert (epoch.base.input_nanousd, epoch.base.effective_from) == (2 * DOLLAR, start)
    assert (earlier.base.input_nanousd, earlier.until) == (DOLLAR, start)


def test_a_price_per_call_is_paid_by_each_call_and_one_below_a_nano_dollar_stays_exact() -> None:
    prices = ModelPrice(
        input_mtok=Decimal("0.0000000001"), output_mtok=Decimal(1), requests_kcount=Decimal(5)
    )
    row = list_of(prices, NOON.date()).epoch("p", "m", None, NOON).base
    assert row is not None
    assert row.per_tokens == 10_000_000
    assert cost_of(Tokens(), row) == 5_000_000
    assert cost_of(Tokens(input=35_000_000), row) == 5_000_004


tokens_up_to = st.integers(0, 450_000)


@settings(deadline=None)
@given(
    model=st.sampled_from(
        [
            ("anthropic", "claude-sonnet-4-5"),
            ("google", "gemini-2.5-pro"),
            ("openai", "gpt-5.4"),
            ("deepseek", "deepseek-chat"),
            ("deepseek", "deepseek-flash"),
        ]
    ),
    most=st.tuples(tokens_up_to, tokens_up_to),
    shares=st.tuples(*[st.integers(0, 100)] * 4),
    start=st.integers(0, 86_400),
    later=st.integers(0, 3_599),
    tier=st.sampled_from([None, "batch"]),
)
def test_no_call_within_the_limits_costs_more_than_the_ceiling(
    model: tuple[str, str],
    most: tuple[int, int],
    shares: tuple[int, int, int, int],
    start: int,
    later: int,
    tier: str | None,
) -> None:
    granted = NOON.replace(hour=0) + timedelta(seconds=start)
    prompt = most[0] * shares[0] // 100
    read = prompt * shares[1] // 100
    write = (prompt - read) * shares[2] // 100
    used = Tokens(
        input=prompt - read - write,
        output=most[1] * shares[3] // 100,
        cache_read=read,
        cache_write=write,
    )
    book = PriceBook()
    ceiling = book.ceiling(*model, Tokens(input=most[0], output=most[1]), granted, tier)
    priced = book.price(*model, used, granted + timedelta(seconds=later), tier)
    assert ceiling is not None
    assert priced is not None
    assert priced[0] <= ceiling


def test_a_ceiling_counts_the_prompt_as_written_to_the_cache_and_rounds_up() -> None:
    book = PriceBook()
    ceiling = book.ceiling("anthropic", "claude-sonnet-4-5", Tokens(input=1_000, output=10), NOON)
    assert ceiling == 1_000 * 3_750 + 10 * 15_000
    third = PriceBook([OwnPrice(1, own(1, 0).event)])
    assert third.ceiling("anthropic", "claude-x", Tokens(input=1), NOON) == 0


def test_a_ceiling_is_unknown_where_a_price_will_be_while_the_call_may_last() -> None:
    book = PriceBook([own(1, 7)])
    assert book.ceiling("anthropic", "claude-x", Tokens(input=1), NOON) is not None
    assert book.ceiling("anthropic", "claude-x", Tokens(input=1), NOON - HOUR / 2) is None


def test_a_ceiling_knows_no_price_for_a_kind_the_list_has_none_for() -> None:
    book = PriceBook()
    embedding = ("openai", "text-embedding-3-small")
    assert book.ceiling(*embedding, Tokens(input=1_000), NOON) is not None
    assert book.ceiling(*embedding, Tokens(input=1_000, output=1), NOON) is None


def aged(starts: Iterable[date], installed_on: date, now: datetime) -> int:
    return list_of([since(each, "1") for each in starts], installed_on).age_days(now)


def test_the_lists_age_is_that_of_its_newest_price_that_was_no_announcement() -> None:
    spring, summer, winter = date(2026, 3, 1), date(2026, 7, 1), date(2027, 1, 1)
    installed = date(2026, 8, 1)
    assert aged([spring, summer, winter], installed, NOON) == (NOON.date() - summer).days
    assert aged([spring, winter], installed, datetime(2027, 2, 1, tzinfo=UTC)) == 337


def test_the_lists_age_is_told_where_the_installations_date_or_the_prices_say_nothing() -> None:
    summer = date(2026, 7, 1)
    assert aged([summer], date(1980, 1, 1), NOON) == (NOON.date() - summer).days
    assert aged([], date(2026, 11, 10), NOON) == 10
    assert aged([summer], summer, datetime(2026, 6, 1, tzinfo=UTC)) == 0
    assert 0 <= PriceBook().data_age_days(datetime.now(UTC)) < 10_000


def test_no_price_is_a_stretch_of_time_without_rows() -> None:
    assert Epoch(price_data.EARLIEST, price_data.LATEST, None).rows() == ()


def test_the_list_is_loaded_at_the_first_question_that_needs_it() -> None:
    said = run("""
import sys
from datetime import UTC, datetime
from personad.pricing import PriceBook
book, now = PriceBook(), datetime(2026, 11, 20, tzinfo=UTC)
book.resolve("local", "local", now)
before = "genai_prices" in sys.modules
book.resolve("openai", "gpt-4o", now)
print(before, "genai_prices" in sys.modules)
""")
    assert said == "False True"


def test_prices_come_from_the_installed_list_without_network_thread_or_other_snapshot() -> None:
    said = run("""
import sys, threading
from datetime import UTC, datetime
from decimal import Decimal
def watch(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.")):
        raise SystemExit(f"asked the network: {event}")
sys.addaudithook(watch)
from genai_prices import data_snapshot
data_snapshot.set_custom_snapshot(data_snapshot.DataSnapshot([], True))
from personad.pricing import PriceBook, Tokens
book, now = PriceBook(), datetime(2026, 11, 20, tzinfo=UTC)
print(book.price("openai", "gpt-4o", Tokens(input=1000), now)[0], book.resolve("x", "y", now))
print(book.data_age_days(now) >= 0, threading.active_count())
""")
    assert said.splitlines() == ["2500000 None", "True 1"]
