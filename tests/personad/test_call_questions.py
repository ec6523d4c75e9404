"""Single calls: listed, and explained to the last nano-dollar."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.asking import Filter, Range
from personad.contract.base import Event
from personad.contract.budget import Prices, PriceSet
from personad.contract.errors import LedgerError
from personad.contract.events import Exported, Import
from personad.questions import ANSWERS

from .conftest import Core
from .facts import NOON, cost, fresh_id, planned

DAY = Range(since="2026-11-23", until="2026-11-23")
USUAL: dict[str, Any] = {"provider": "acme", "model": "one", "batch": None, "persona": None}


@pytest.fixture
def core(core: Core) -> Core:
    """With a price of a third of a nano-dollar a token, which no bill can hide."""
    prices = Prices(input_nanousd=333_333, output_nanousd=10_000_000, cache_read_nanousd=1)
    core.append(
        PriceSet(
            id=fresh_id(),
            at=NOON - timedelta(days=9),
            provider="acme",
            model="one",
            prices=prices,
            effective_from=NOON - timedelta(days=8),
        )
    )
    return core


def calls(core: Core, **asked: Any) -> list[k.CostCall]:
    request = k.CostCalls(**({"range": DAY} | asked))
    return ANSWERS[k.CostCalls](core.db, request, core.now).calls  # type: ignore[attr-defined, no-any-return]


def explain(core: Core, name: str, **more: Any) -> k.CostExplainReply:
    found = ANSWERS[k.CostExplain](core.db, k.CostExplain(id=name, **more), core.now)
    assert isinstance(found, k.CostExplainReply)
    return found


def corrected(name: str, nanousd: int) -> c.CostCorrected:
    return c.CostCorrected(
        id=fresh_id(), at=NOON, call=name, cost_nanousd=nanousd, reason="reconciled"
    )


def take(core: Core, *events: Event) -> None:
    """Also what only the daemon writes."""
    core.do(Import(items=[Exported(event=event) for event in events]))  # type: ignore[arg-type]


def names(found: list[k.CostCall]) -> list[str]:
    return [each.call for each in found]


class TestCalls:
    def test_the_dearest_come_first_and_only_those_of_the_range(self, core: Core) -> None:
        core.append(
            cost("a", 5, **USUAL),
            cost("b", 9, **USUAL),
            cost("c", 7, **USUAL),
            cost("before", 99, at=NOON - timedelta(days=1), **USUAL),
            cost("after", 99, at=NOON + timedelta(hours=20), **USUAL),
        )
        assert names(calls(core)) == ["b", "c", "a"]
        reply = ANSWERS[k.CostCalls](core.db, k.CostCalls(range=DAY, limit=2), core.now)
        assert isinstance(reply, k.CostCallsReply)
        assert (names(reply.calls), reply.more) == (["b", "c"], True)

    def test_of_several_figures_of_a_call_only_the_one_that_counts_is_listed(
        self, core: Core
    ) -> None:
        core.append(cost("a", 5, output_tokens=1, **USUAL), cost("a", 50, output_tokens=9, **USUAL))
        (found,) = calls(core)
        assert (found.cost_nanousd, found.output_tokens, found.price_source) == (50, 9, "producer")

    def test_filters_leave_out_what_is_not_asked_for(self, core: Core) -> None:
        core.append(*planned("batch-a"), *planned("batch-b"))
        core.append(
            cost("a", 5, **USUAL | {"batch": "batch-a"}),
            cost("b", 6, **USUAL | {"model": "two", "experiment": "tone"}),
            cost("c", 7, **USUAL | {"batch": "batch-b", "provider": "other"}),
        )
        assert names(calls(core, filter=Filter(batches=["batch-a"]))) == ["a"]
        assert names(calls(core, filter=Filter(models=["two"]))) == ["b"]
        assert names(calls(core, filter=Filter(experiments=["tone"]))) == ["b"]
        assert names(calls(core, filter=Filter(providers=["acme", "other"]))) == ["c", "b", "a"]
        with pytest.raises(LedgerError, match="there is no model 'tow'"):
            calls(core, filter=Filter(models=["tow"]))

    def test_what_has_no_price_or_no_answer_is_found_by_its_flag(self, core: Core) -> None:
        core.append(
            cost("priced", 5, **USUAL),
            cost("unpriced", None, **USUAL | {"model": "mystery"}),
            cost("lost", None, outcome="unknown", **USUAL),
        )
        assert names(calls(core, unpriced=True)) == ["unpriced"]
        assert names(calls(core, unknown=True)) == ["lost"]

    def test_a_corrected_call_stands_where_its_newer_cost_puts_it(self, core: Core) -> None:
        core.append(*(cost(name, nanousd, **USUAL) for name, nanousd in (("a", 5), ("b", 9))))
        core.append(cost("c", None, **USUAL | {"model": "mystery"}))
        assert names(calls(core, unpriced=True)) == ["c"]
        for name, nanousd in (("c", 7), ("b", 1)):
            take(core, corrected(name, nanousd))
        found = calls(core)
        assert [(each.call, each.cost_nanousd) for each in found] == [("c", 7), ("a", 5), ("b", 1)]
        assert calls(core, unpriced=True) == []

    def test_the_unanswered_are_listed_at_what_is_held_until_they_are_settled(
        self, core: Core
    ) -> None:
        core.append(cost("sure", 60, **USUAL))
        core.append(cost("told", 70, outcome="unknown", **USUAL))
        core.do(
            c.StartCall(
                call="lost", provider="acme", model="one", max_input_tokens=9, max_output_tokens=10
            )
        )
        core.append(cost("lost", None, outcome="unknown", **USUAL))
        assert names(calls(core)) == ["lost", "told", "sure"]
        assert names(calls(core, unknown=True)) == ["lost", "told"]
        core.do(c.Settle(calls=["lost"], cost_nanousd=65))
        assert names(calls(core, unknown=True)) == ["told"]
        assert names(calls(core)) == ["told", "lost", "sure"]

    def test_the_beginning_of_a_range_is_found_in_a_long_log(self, core: Core) -> None:
        for day in range(60):
            core.clock = -86_400.0 * (60 - day)
            core.append(cost(f"day-{day}", day + 1, at=core.now, **USUAL))
        core.clock = 0.0
        core.append(cost("now", 1, **USUAL))
        assert names(calls(core)) == ["now"]
        week = Range(since="2026-11-17", until="2026-11-19")
        assert names(calls(core, range=week)) == ["day-56", "day-55", "day-54"]


class TestExplain:
    def test_the_lines_sum_to_the_cost_and_each_is_within_one_nano_dollar(self, core: Core) -> None:
        tokens = {"input_tokens": 7, "output_tokens": 11, "cache_read_tokens": 13}
        core.append(cost("a", None, **USUAL, **tokens))
        (found,) = explain(core, "a").calls
        exact = [Fraction(333_333 * 7, 10**6), Fraction(110), Fraction(13, 10**6)]
        assert [line.kind for line in found.lines] == ["input", "output", "cache_read"]
        assert [line.tokens for line in found.lines] == [7, 11, 13]
        assert sum(line.cost_nanousd for line in found.lines) == found.cost_nanousd
        assert found.cost_nanousd == round(sum(exact))
        for line, whole in zip(found.lines, exact, strict=True):
            assert abs(line.cost_nanousd - whole) <= 1
        assert found.lines[0].price_per_million_nanousd == 333_333
        assert found.price is not None
        assert found.price.source == "price.set"
        assert found.price.effective_from == NOON - timedelta(days=8)

    def test_a_batch_a_persona_and_the_beginning_of_an_id_are_explained(self, core: Core) -> None:
        core.append(*planned("batch-a"))
        of_batch = {"provider": "acme", "model": "one", "batch": "batch-a"}
        core.append(
            cost("call-one", 5, persona="p1", **of_batch),
            cost("call-two", 6, persona="p2", **of_batch),
        )
        assert names([*explain(core, "batch-a").calls]) == ["call-one", "call-two"]
        assert explain(core, "last").cost_nanousd == 11
        assert names([*explain(core, "p2").calls]) == ["call-two"]
        assert names([*explain(core, "call-o").calls]) == ["call-one"]
        assert explain(core, "batch-a", limit=1).more
        with pytest.raises(LedgerError, match="several calls begin with 'call-'"):
            explain(core, "call-")
        with pytest.raises(LedgerError, match="several personas begin with 'p'"):
            explain(core, "p")
        with pytest.raises(LedgerError, match="there is no call, persona or batch 'nonsense'"):
            explain(core, "nonsense")

    def test_a_corrected_call_says_so(self, core: Core) -> None:
        asked = c.StartCall(
            call="a", provider="acme", model="one", max_input_tokens=10, max_output_tokens=10
        )
        core.do(asked)
        core.append(cost("a", None, outcome="unknown", **USUAL))
        assert explain(core, "a").cost_nanousd == 104
        core.do(c.Settle(calls=["a"], cost_nanousd=40))
        (found,) = explain(core, "a").calls
        assert (found.cost_nanousd, found.corrected, found.lines) == (40, "settled", [])

    def test_a_call_of_which_only_the_grant_is_known_is_explained_once_settled(
        self, core: Core
    ) -> None:
        core.append(*planned("batch-a"))
        core.do(
            c.StartCall(
                call="a", provider="acme", model="one", max_input_tokens=9, max_output_tokens=10
            )
        )
        take(core, corrected("a", 40))
        (found,) = explain(core, "a").calls
        assert (found.cost_nanousd, found.outcome, found.lines) == (40, "error", [])
        assert [each.cost_nanousd for each in calls(core)] == [40]

    def test_such_a_call_is_among_those_of_its_batch_and_its_persona(self, core: Core) -> None:
        core.append(*planned("batch-a"))
        of_batch = {"provider": "acme", "model": "one", "batch": "batch-a"}
        for name, persona in (("a", "p1"), ("b", "p2"), ("open", "p1")):
            core.do(
                c.StartCall(
                    call=name,
                    provider="acme",
                    model="one",
                    batch="batch-a",
                    persona=persona,
                    max_input_tokens=9,
                    max_output_tokens=10,
                )
            )
        core.append(cost("told", 5, persona="p1", **of_batch))
        take(core, corrected("a", 40), corrected("b", 50))
        assert names([*explain(core, "batch-a").calls]) == ["a", "b", "told"]
        assert explain(core, "batch-a").cost_nanousd == 95
        assert names([*explain(core, "p1").calls]) == ["a", "told"]

    def test_what_the_producer_priced_has_no_lines(self, core: Core) -> None:
        core.append(cost("a", 5, **USUAL))
        (found,) = explain(core, "a").calls
        assert (found.lines, found.price, found.price_source) == ([], None, "producer")

    def test_an_empty_ledger_has_nothing_to_explain(self, core: Core) -> None:
        with pytest.raises(LedgerError, match="there is no batch yet"):
            explain(core, "last")
        assert calls(core) == []
