"""A fetched price list: kept whole, and left out where it is damaged or older."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import data

from personad import fetched_prices, price_data
from personad.contract.cost import CostRecorded
from personad.pricing import PriceBook

from .facts import fresh_id

LIST = json.dumps(
    [
        {
            "id": "acme",
            "name": "Acme",
            "api_pattern": "x",
            "models": [
                {"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 0.1}},
            ],
        }
    ]
)
NOW = datetime(2126, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / fetched_prices.FILE
    price_data.look_at(tmp_path / "nowhere")


def cost(tokens: int) -> int | None:
    call = CostRecorded(
        id=fresh_id(),
        at=NOW,
        call="c",
        provider="acme",
        model="m",
        operation="generation",
        outcome="ok",
        input_tokens=tokens,
    )
    found = PriceBook().price_call(call)
    return None if found is None else found[0]


def test_a_list_of_today_counts_with_its_exact_prices(path: Path) -> None:
    found = fetched_prices.keep(path, LIST, date(2126, 1, 1))
    assert found.models == 1
    assert cost(10) is None
    price_data.look_at(path)
    # A tenth of a dollar a million is 100 nano-dollars a token, to the last digit.
    assert cost(3) == 300
    assert price_data.catalogue().age_days(NOW) == 0


def test_one_from_before_the_installed_one_is_left_out(path: Path) -> None:
    fetched_prices.keep(path, LIST, date(2001, 1, 1))
    price_data.look_at(path)
    assert cost(3) is None
    assert price_data.catalogue().source.startswith("genai-prices 0.")


@pytest.mark.parametrize("text", ["", "{", '{"gathered_on":"2126-01-01"}', '{"providers":[]}'])
def test_a_damaged_one_is_left_out_and_logged(
    path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(text)
    price_data.look_at(path)
    assert cost(3) is None
    assert "is left out" in caplog.text


def test_what_is_no_list_leaves_the_kept_one(path: Path) -> None:
    fetched_prices.keep(path, LIST, date(2126, 1, 1))
    with pytest.raises(fetched_prices.BadList):
        fetched_prices.keep(path, "[]", date(2126, 1, 2))
    found = fetched_prices.kept(path)
    assert found is not None
    assert found.gathered_on == date(2126, 1, 1)
    assert [each.name for each in path.parent.iterdir()] == [fetched_prices.FILE]


@pytest.mark.parametrize(
    ("was", "wrong"),
    [
        ('{"equals": "m"}', '{"regex": "("}'),
        ('{"equals": "m"}', '{"or": [{"equals": "m"}, {"regex": "["}]}'),
        ('"api_pattern": "x"', '"api_pattern": "("'),
        ("0.1", "-0.1"),
        ("0.1", "1e300"),
        ("0.1", "1e-40"),
        ("0.1", '"1"'),
        ("0.1", "true"),
        ("0.1", '{"base": 1, "tiers": [{"start": 10, "price": -2}]}'),
    ],
)
def test_what_would_fail_only_when_a_call_is_priced_is_no_list(was: str, wrong: str) -> None:
    assert was in LIST
    with pytest.raises(fetched_prices.BadList):
        fetched_prices.parsed(LIST.replace(was, wrong))


def test_prices_such_as_the_installed_ones_are_taken() -> None:
    tiered = LIST.replace("0.1", '{"base": 1.25, "tiers": [{"start": 200000, "price": 2.5}]}')
    (provider,) = fetched_prices.parsed(tiered)
    assert provider.models[0].id == "m"
    dearest = max(
        _amounts(price)
        for each in data.providers
        for model in each.models
        for price in [model.get_prices(NOW)]
    )
    assert 0 < dearest < fetched_prices._DEAREST


def _amounts(prices: object) -> Decimal:
    found = [Decimal(0)]
    for value in vars(prices).values():
        if isinstance(value, Decimal):
            found.append(value)
        elif hasattr(value, "tiers"):
            found += [value.base, *(tier.price for tier in value.tiers)]
    return max(found)
