"""Calls at the prices that are known now: shown, and corrected only when that is asked for."""

from datetime import timedelta
from typing import Any

import pytest

from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.asking import Filter, Range
from personad.contract.budget import Prices, PriceSet
from personad.questions import ANSWERS
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, cost, fresh_id

DAY = Range(since="2026-11-23", until="2026-11-23")
USUAL: dict[str, Any] = {"provider": "acme", "batch": None, "persona": None, "output_tokens": 10}


def price(core: Core, model: str, output_nanousd: int) -> None:
    begin = NOON - timedelta(days=30)
    core.append(
        PriceSet(
            id=fresh_id(),
            at=core.now,
            provider="acme",
            model=model,
            prices=Prices(input_nanousd=0, output_nanousd=output_nanousd * 10**6),
            effective_from=begin,
        )
    )


@pytest.fixture
def core(core: Core) -> Core:
    """A call that was priced at 3 a token, one without a price, one of a producer's own."""
    price(core, "one", 3)
    core.append(
        cost("priced", None, model="one", **USUAL),
        cost("unpriced", None, model="two", **USUAL),
        cost("own", 777, model="one", **USUAL),
        cost("lost", None, model="one", outcome="unknown", **USUAL),
    )
    price(core, "one", 5)
    price(core, "two", 7)
    return core


def asked(core: Core, **more: Any) -> k.RepricingReply:
    reply = ANSWERS[k.Repricing](core.db, k.Repricing(**({"range": DAY} | more)), core.now)
    assert isinstance(reply, k.RepricingReply)
    return reply


def total(core: Core) -> int:
    reply = ANSWERS[c.CostHistory](core.db, c.CostHistory(range=DAY), core.now)
    assert isinstance(reply, c.CostHistoryReply)
    return reply.total.cost_nanousd


def test_the_difference_is_shown_by_model_and_nothing_is_changed(core: Core) -> None:
    before = total(core)
    reply = asked(core)
    assert [
        (row.model, row.calls, row.was_nanousd, row.would_be_nanousd) for row in reply.rows
    ] == [
        ("one", 1, 30, 50),
        ("two", 1, 0, 70),
    ]
    assert (reply.was_nanousd, reply.would_be_nanousd) == (30, 120)
    assert sorted(reply.calls) == ["priced", "unpriced"]
    assert total(core) == before


def test_only_the_unpriced_or_only_a_model_can_be_asked_for(core: Core) -> None:
    assert asked(core, unpriced=True).calls == ["unpriced"]
    assert asked(core, filter=Filter(models=["one"])).calls == ["priced"]


def test_corrections_are_added_and_both_figures_stay(core: Core) -> None:
    before = total(core)
    calls = [*asked(core).calls, "own", "lost", "nonsense"]
    assert core.do(k.Reprice(calls=calls)).calls == 2
    assert total(core) == before - 30 + 120
    assert asked(core).rows == []
    assert core.do(k.Reprice(calls=calls)).calls == 0
    explained = ANSWERS[k.CostExplain](core.db, k.CostExplain(id="priced"), core.now)
    assert isinstance(explained, k.CostExplainReply)
    (call,) = explained.calls
    assert (call.cost_nanousd, call.corrected) == (50, "reprice")
    assert sum(line.cost_nanousd for line in call.lines) == 30
    assert damage_of(core.path) is None


def test_a_price_that_changes_again_corrects_again(core: Core) -> None:
    core.do(k.Reprice(calls=["priced"]))
    core.clock += 1
    price(core, "one", 3)
    assert asked(core, filter=Filter(models=["one"])).would_be_nanousd == 30
    core.do(k.Reprice(calls=["priced"]))
    assert asked(core, filter=Filter(models=["one"])).rows == []
