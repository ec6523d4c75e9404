"""Calls at the prices that are known now: shown, and corrected only when that is asked for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from personad import log
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.asking import Filter, Range
from personad.contract.budget import Prices, PriceSet
from personad.contract.events import Exported, Import
from personad.pricing import PriceBook
from personad.projections import call_questions, repricing
from personad.projections.prices import own_prices
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
    assert reply.total == k.RepriceTotal(was_nanousd=30, would_be_nanousd=120)
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
    assert [(line.kind, line.cost_nanousd) for line in call.lines] == [("input", 0), ("output", 50)]
    assert call.before is not None
    assert sum(line.cost_nanousd for line in call.before.lines) == call.before.cost_nanousd == 30
    assert damage_of(core.path) is None


def test_a_price_that_changes_again_corrects_again(core: Core) -> None:
    core.do(k.Reprice(calls=["priced"]))
    core.clock += 1
    price(core, "one", 3)
    assert asked(core, filter=Filter(models=["one"])).total.would_be_nanousd == 30
    core.do(k.Reprice(calls=["priced"]))
    assert asked(core, filter=Filter(models=["one"])).rows == []


def test_one_change_is_one_correction_whenever_it_is_asked_for(core: Core) -> None:
    found = list(
        repricing.changes(
            PriceBook(own_prices(core.db)), call_questions.of_calls(core.db, ["priced"])
        )
    )
    first, later = (repricing.correction(found[0], NOON + timedelta(days=day)) for day in (0, 9))
    assert first.id == later.id
    assert first.at != later.at


def test_a_price_that_goes_to_and_fro_corrects_each_time(core: Core) -> None:
    for turn in range(4):
        core.clock += 1
        price(core, "one", (5, 3)[turn % 2])
        assert core.do(k.Reprice(calls=["priced"])).calls == 1
        (call,) = explained(core, "priced").calls
        assert call.cost_nanousd == sum(line.cost_nanousd for line in call.lines)
        assert call.cost_nanousd == (50, 30)[turn % 2]
    assert damage_of(core.path) is None


def test_an_export_keeps_the_prices_of_a_correction(
    core: Core, open_core: Callable[[], Core]
) -> None:
    core.do(k.Reprice(calls=["priced", "unpriced"]))
    other = open_core()
    other.do(
        Import(
            items=[
                Exported(event=each.event, receipt=each.receipt)
                for each in log.read(core.db, limit=100)
            ]
        )
    )
    for name in ("priced", "unpriced"):
        (call,) = explained(core, name).calls
        assert call.lines
        assert explained(other, name).calls == [call]


def test_a_figure_that_somebody_said_has_no_lines(core: Core) -> None:
    core.do(
        Import(
            items=[
                Exported(
                    event=c.CostCorrected(
                        id=fresh_id(),
                        at=NOON,
                        call="priced",
                        cost_nanousd=44,
                        reason="reconciled",
                    )
                )
            ]
        )
    )
    (call,) = explained(core, "priced").calls
    assert (call.cost_nanousd, call.lines, call.price) == (44, [], None)
    assert call.before is not None
    assert call.before.cost_nanousd == 30


def explained(core: Core, name: str) -> k.CostExplainReply:
    reply = ANSWERS[k.CostExplain](core.db, k.CostExplain(id=name), core.now)
    assert isinstance(reply, k.CostExplainReply)
    return reply
