"""What could have been spent less, held against plain sums over the raw events in every zone."""

from typing import Any

import pytest

from .conftest import SPAN, Ask, Oracle
from .past import DAYS, ZONES

OTHERS_OFF = ("MODELS", "BATCH", "CACHING")


@pytest.mark.parametrize("zone", ZONES)
def test_what_was_spent_and_that_no_more_is_saved(zone: str, ask: Ask, oracle: Oracle) -> None:
    spent = oracle.within(zone).sums()
    reply = ask("cost", "optimise", *SPAN, "--timezone", zone)
    assert reply["basis"]["cost_usd"] == spent["cost_usd"]
    assert reply["basis"]["calls"] == spent["calls"]
    assert reply["basis"]["days"] == DAYS
    savings = [each["saving_usd"] for each in reply["recommendations"]]
    assert savings == sorted(savings, reverse=True)
    assert 0 < sum(savings) <= spent["cost_usd"]
    monthly = [each["monthly_saving_usd"] for each in reply["recommendations"]]
    assert monthly == [saving * 487 // (16 * DAYS) for saving in savings]
    assert reply["total_monthly_saving_usd"] == sum(monthly)
    for each in reply["recommendations"]:
        told = each["evidence"]
        assert told["cost_usd"] - told["would_be_usd"] == each["saving_usd"]


@pytest.mark.parametrize("zone", ZONES)
def test_what_failed_and_was_paid_for(
    zone: str, ask: Ask, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OTHERS_OFF:
        monkeypatch.setenv(f"PERSONA_COST_OPTIMISE_{name}", "false")
    reply = ask("cost", "optimise", *SPAN, "--timezone", zone)
    told = {each["id"]: each for each in reply["recommendations"]}
    assert not [name for name in told if name.startswith(("model:", "batch:", "caching:"))]
    failed: dict[str, list[Any]] = {}
    for call in oracle.within(zone).calls:
        if call["outcome"] == "error":
            failed.setdefault(f"failures:{call['provider']}/{call['model']}", []).append(call)
    least = reply["basis"]["cost_usd"] // 200
    costs = {name: sum(call["cost"] or 0 for call in some) for name, some in failed.items()}
    expected = {name: cost for name, cost in costs.items() if cost > least + 1}
    assert expected
    found = {name: each for name, each in told.items() if name.startswith("failures:")}
    assert {name: each["saving_usd"] for name, each in found.items()} == expected
    for name, each in found.items():
        assert each["evidence"]["calls"] == len(failed[name])
        assert each["evidence"]["would_be_usd"] == 0
