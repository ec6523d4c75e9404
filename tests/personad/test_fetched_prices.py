"""A fetched price list: kept whole, and left out where it is damaged or older."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

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
