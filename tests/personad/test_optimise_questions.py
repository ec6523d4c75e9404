"""How calls could have cost less, asked of a ledger: each way against plain arithmetic."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract import optimise as o
from personad.contract.asking import Filter, Range
from personad.contract.base import Event
from personad.contract.budget import Prices, PriceSet
from personad.contract.errors import LedgerError
from personad.contract.quality import QualityScored
from personad.questions import ANSWERS

from .conftest import Core
from .facts import NOON, cost, fresh_id, happened, planned

DAYS = 10
MONTH = Range(days=30)
DEAR, CHEAP = 10_000, 1_000
"""Nano-dollars a token, in or out."""


@pytest.fixture
def core(core: Core) -> Core:
    """`acme/dear` at ten times the price of `acme/cheap`; a tenth from the cache."""
    for model, nanousd in (("dear", DEAR), ("cheap", CHEAP)):
        price(core, model, nanousd)
    return core


def price(core: Core, model: str, nanousd: int, days_ago: int = 300) -> None:
    million = nanousd * 10**6
    core.append(
        PriceSet(
            id=fresh_id(),
            at=core.now,
            provider="acme",
            model=model,
            prices=Prices(
                input_nanousd=million,
                output_nanousd=million,
                cache_read_nanousd=million // 10,
                cache_write_nanousd=million * 5 // 4,
            ),
            effective_from=ago(days_ago),
        )
    )


def calls(model: str, number: int, **more: Any) -> list[Event]:
    """So many, spread over the days before NOON."""
    usual = {
        "provider": "acme",
        "model": model,
        "batch": None,
        "persona": None,
        "input_tokens": 900,
        "output_tokens": 100,
    }
    return [
        cost(fresh_id().hex, None, **({"at": ago(each % DAYS, each)} | usual | more))
        for each in range(number)
    ]


def ago(days: int, minutes: int = 0) -> datetime:
    return NOON - timedelta(days=days, minutes=minutes)


def scored(model: str, mean: float, number: int, seed: int = 1) -> list[QualityScored]:
    rng = random.Random(f"{model}{seed}")
    return [
        QualityScored(
            id=fresh_id(),
            at=ago(each % DAYS, each),
            persona=f"p{each}",
            provider="acme",
            model=model,
            scores={"coherence": 0.5},
            composite=round(min(1.0, max(0.0, rng.gauss(mean, 0.03))), 4),
            scorer="builtin/1",
        )
        for each in range(number)
    ]


def asked(core: Core, **more: Any) -> o.CostOptimiseReply:
    question = o.CostOptimise(**({"range": MONTH} | more))
    reply = ANSWERS[o.CostOptimise](core.db, question, core.now)
    assert isinstance(reply, o.CostOptimiseReply)
    total = ANSWERS[c.CostHistory](core.db, c.CostHistory(range=MONTH), core.now)
    assert isinstance(total, c.CostHistoryReply)
    if not more:
        assert reply.basis.cost_nanousd == total.total.cost_nanousd
        assert reply.basis.calls == total.total.calls
    savings = [each.saving_nanousd for each in reply.recommendations]
    assert savings == sorted(savings, reverse=True)
    assert sum(savings) <= reply.basis.cost_nanousd
    monthly = sum(each.monthly_saving_nanousd for each in reply.recommendations)
    assert reply.total_monthly_saving_nanousd == monthly
    for each in reply.recommendations:
        told = each.evidence
        assert told.cost_nanousd - told.would_be_nanousd == each.saving_nanousd
        assert each.monthly_saving_nanousd == each.saving_nanousd * 487 // (16 * reply.basis.days)
    return reply


def ids(reply: o.CostOptimiseReply) -> list[str]:
    return [each.id for each in reply.recommendations]


def test_an_empty_ledger_has_nothing_to_save(core: Core) -> None:
    reply = asked(core)
    assert (reply.recommendations, reply.total_monthly_saving_nanousd) == ([], 0)
    assert (reply.basis.calls, reply.basis.days) == (0, 30)


def test_where_no_way_shows_there_is_none(core: Core) -> None:
    core.append(*calls("dear", 60), *scored("dear", 0.9, 60))
    assert ids(asked(core)) == []


class TestModels:
    def test_a_cheaper_one_that_is_no_worse(self, core: Core) -> None:
        core.append(*calls("dear", 100), *calls("cheap", 40, output_tokens=150))
        core.append(*scored("dear", 0.8, 100), *scored("cheap", 0.8, 100))
        (found,) = asked(core).recommendations
        assert found.id == "model:acme/dear>acme/cheap"
        assert isinstance(found.evidence, o.ModelEvidence)
        assert found.evidence.calls == 100
        assert found.evidence.cost_nanousd == 100 * 1_000 * DEAR
        # It writes half as much again.
        assert found.evidence.output_ratio == 1.5
        assert found.evidence.would_be_nanousd == 100 * (900 + 150) * CHEAP
        low, high = found.evidence.quality_low, found.evidence.quality_high
        assert low < found.evidence.quality_difference < high
        assert low < 0 < high
        assert found.evidence.scores == found.evidence.instead_scores == 100
        assert found.apply == "name acme/cheap in the program that makes these calls"

    def test_one_that_generate_has_is_chosen_by_a_command(self, core: Core) -> None:
        core.append(*calls("dear", 50), *calls("local-1", 50, provider="local"))
        core.append(*scored("dear", 0.8, 50))
        core.append(*(replace(each, provider="local") for each in scored("local-1", 0.9, 50)))
        (found,) = asked(core).recommendations
        assert found.saving_nanousd == 50 * 1_000 * DEAR
        assert found.confidence == "high"
        assert found.apply == (
            "persona config set generate.provider local && "
            "persona config set generate.model local-1"
        )

    def test_one_that_is_worse_is_none(self, core: Core) -> None:
        core.append(*calls("dear", 100), *calls("cheap", 100))
        core.append(*scored("dear", 0.9, 100), *scored("cheap", 0.8, 100))
        reply = asked(core)
        assert ids(reply) == []
        assert reply.notes == []

    @pytest.mark.parametrize("number", [0, 1, 19])
    def test_of_too_few_scores_it_is_said_that_they_are(self, core: Core, number: int) -> None:
        core.append(*calls("dear", 100), *calls("cheap", 100))
        core.append(*scored("dear", 0.8, 100), *scored("cheap", 0.8, number))
        reply = asked(core)
        assert ids(reply) == []
        assert bool(reply.notes) is bool(number)
        if number:
            assert "acme/cheap would cost less than acme/dear" in reply.notes[0]

    def test_by_another_scorer_it_is_not_judged(self, core: Core) -> None:
        core.append(*calls("dear", 100), *calls("cheap", 100))
        other = [replace(each, scorer="b/2") for each in scored("cheap", 0.8, 100)]
        core.append(*scored("dear", 0.8, 100), *other)
        assert ids(asked(core)) == []

    def test_one_that_takes_more_attempts_costs_that_much_more(self, core: Core) -> None:
        core.append(*calls("dear", 100), *calls("cheap", 50))
        core.append(*calls("cheap", 50, outcome="error", error_kind="x", output_tokens=0))
        core.append(*scored("dear", 0.8, 100), *scored("cheap", 0.8, 100))
        found = asked(core, retries=False).recommendations[0].evidence
        assert isinstance(found, o.ModelEvidence)
        assert found.attempts_ratio == 2
        assert found.would_be_nanousd == 2 * 100 * 1_000 * CHEAP

    def test_each_stretch_has_the_prices_of_its_time(self, core: Core) -> None:
        price(core, "cheap", 2 * CHEAP, days_ago=5)
        core.append(*calls("dear", 100), *calls("cheap", 100))
        core.append(*scored("dear", 0.8, 100), *scored("cheap", 0.8, 100))
        found = asked(core).recommendations[0].evidence
        # The day of the change is priced as it began.
        assert found.would_be_nanousd in range(
            100 * 1_000 * CHEAP * 14 // 10, 100 * 1_000 * CHEAP * 16 // 10 + 1
        )


class TestBatch:
    OPENAI: ClassVar[dict[str, Any]] = {"provider": "openai", "input_tokens": 10_000}

    def test_the_list_s_discount(self, core: Core) -> None:
        core.append(*calls("gpt-4o", 40, **self.OPENAI))
        reply = asked(core)
        (found,) = reply.recommendations
        assert found.id == "batch:openai/gpt-4o"
        assert found.saving_nanousd == reply.basis.cost_nanousd // 2
        assert isinstance(found.evidence, o.BatchEvidence)
        assert found.evidence.discount == 0.5

    def test_calls_that_had_it_save_nothing_more(self, core: Core) -> None:
        core.append(*calls("gpt-4o", 40, service_tier="batch", **self.OPENAI))
        assert ids(asked(core)) == []

    def test_what_has_no_price_is_said(self, core: Core) -> None:
        core.append(*calls("gpt-4o", 40, **self.OPENAI), *calls("mystery", 1_003))
        assert asked(core).notes == [
            "1,003 calls have no price: what it would save to do without is not known"
        ]
        assert asked(core, filter=Filter(models=["gpt-4o"])).notes == []

    def test_the_switch(self, core: Core) -> None:
        core.append(*calls("gpt-4o", 40, **self.OPENAI))
        reply = asked(core, batch=False)
        assert ids(reply) == []
        assert reply.notes == ["cost.optimise.batch is false: that is not looked at"]


def of_batches(number: int, **more: Any) -> list[Event]:
    """Ten calls a batch."""
    return [
        event
        for each in range(number)
        for event in calls("dear", 10, batch=f"batch-{each}", **more)
    ]


class TestCaching:
    def test_a_prefix_that_other_calls_read(self, core: Core) -> None:
        core.append(*of_batches(5, input_tokens=1_000, output_tokens=0))
        core.append(*calls("dear", 50, input_tokens=100, cache_read_tokens=900, batch="batch-5"))
        found = asked(core).recommendations[0]
        assert found.id == "caching:acme/dear/generation"
        evidence = found.evidence
        assert isinstance(evidence, o.CachingEvidence)
        assert evidence.prefix_tokens == 900
        # Six batches of 100 calls: each has to write it once.
        assert evidence.could_be == pytest.approx(94 * 900 / (100 * 1_000))
        assert evidence.cached == pytest.approx(50 * 900 / (100 * 1_000))
        more_read, written = 94 * 900 - 50 * 900, 6 * 900
        assert found.saving_nanousd == more_read * DEAR * 9 // 10 - written * DEAR // 4
        assert found.apply == "persona config set generate.concurrency 1"
        assert found.confidence == "medium"

    def test_one_that_another_model_read_is_less_sure(self, core: Core) -> None:
        core.append(*of_batches(5, input_tokens=1_000))
        core.append(*calls("cheap", 50, input_tokens=100, cache_read_tokens=800, batch="batch-9"))
        found = {each.id: each for each in asked(core).recommendations}
        told = found["caching:acme/dear/generation"]
        assert isinstance(told.evidence, o.CachingEvidence)
        assert (told.evidence.prefix_tokens, told.evidence.is_of_another_model) == (800, True)
        assert told.confidence == "low"

    def test_without_a_measured_prefix_nothing_is_said(self, core: Core) -> None:
        core.append(*of_batches(5, input_tokens=1_000))
        assert ids(asked(core)) == []

    def test_the_switch(self, core: Core) -> None:
        core.append(*of_batches(5, input_tokens=1_000))
        core.append(*calls("dear", 50, input_tokens=100, cache_read_tokens=900))
        assert ids(asked(core, caching=False)) == []


class TestFailures:
    def test_what_failed_and_was_paid_for(self, core: Core) -> None:
        failed = {"outcome": "error", "output_tokens": 0}
        core.append(*calls("dear", 80), *calls("dear", 20, error_kind="timeout", **failed))
        (found,) = asked(core).recommendations
        assert found.id == "failures:acme/dear"
        assert found.saving_nanousd == 20 * 900 * DEAR
        assert isinstance(found.evidence, o.FailureEvidence)
        assert (found.evidence.failed, found.evidence.error_kind) == (0.2, "timeout")
        assert found.apply == "persona config set generate.call_timeout_s 240"
        assert ids(asked(core, retries=False)) == []

    def test_what_failed_and_cost_nothing_is_left_out(self, core: Core) -> None:
        free = {"outcome": "error", "input_tokens": 0, "output_tokens": 0}
        core.append(*calls("dear", 80), *calls("dear", 20, **free))
        assert ids(asked(core)) == []

    def test_one_without_an_answer_is_none(self, core: Core) -> None:
        lost = cost("lost", 10**9, provider="acme", model="dear", outcome="unknown", batch=None)
        core.append(*calls("dear", 80), lost)
        reply = asked(core)
        assert ids(reply) == []
        assert reply.basis.calls == 81


class TestGrowth:
    def grown(self, by: int) -> list[Event]:
        return [
            event
            for day in range(12)
            for event in calls("dear", 5, at=ago(11 - day), input_tokens=1_000 + by * day)
        ]

    def test_prompts_that_have_become_longer(self, core: Core) -> None:
        core.append(*self.grown(100))
        (found,) = asked(core).recommendations
        assert found.id == "growth:acme/dear/generation"
        evidence = found.evidence
        assert isinstance(evidence, o.GrowthEvidence)
        assert (evidence.tokens_before, evidence.tokens_now) == (1_150, 1_950)
        over = sum(5 * max(0, 1_000 + 100 * day - 1_150) for day in range(12))
        assert found.saving_nanousd == pytest.approx(over * DEAR, rel=0.001)
        assert "--show-prompts" in found.apply

    def test_prompts_of_one_length_are_none(self, core: Core) -> None:
        core.append(*self.grown(0))
        assert ids(asked(core)) == []


def personas(batch: str, experiment: str, outcomes: Sequence[bool | None]) -> list[Event]:
    """Completed ones, accepted or not; None failed."""
    begun, *queued = planned(batch, len(outcomes))
    events = [replace(begun, experiment=experiment), *queued]
    for place, accepted in enumerate(outcomes, 1):
        its: dict[str, Any] = {"batch": batch, "persona": f"p{place}", "experiment": experiment}
        events.append(happened(b.PersonaGenerating, batch=batch, persona=f"p{place}"))
        if accepted is None:
            events.append(happened(b.PersonaFailed, **its))
        else:
            events.append(happened(b.PersonaCompleted, accepted=accepted, **its))
    return events


class TestExperiments:
    def test_one_that_came_to_nothing(self, core: Core) -> None:
        core.append(*personas("batch-a", "lost", [False, None]))
        core.append(*personas("batch-b", "tone", [False, True]))
        core.append(*calls("dear", 40, experiment="lost"), *calls("dear", 60, experiment="tone"))
        (found,) = asked(core).recommendations
        assert found.id == "experiment:lost"
        assert found.saving_nanousd == 40 * 1_000 * DEAR
        assert isinstance(found.evidence, o.ExperimentEvidence)
        assert (found.evidence.completed, found.evidence.failed) == (1, 1)
        assert found.apply == (
            "persona cost budget set --experiment lost --limit 0.01 --action stop"
        )

    def test_one_of_which_nothing_has_ended_may_still_come_to_something(self, core: Core) -> None:
        core.append(*calls("dear", 40, experiment="young"))
        assert ids(asked(core)) == []

    def test_its_calls_are_in_no_other_saving(self, core: Core) -> None:
        core.append(*personas("batch-a", "lost", [False]))
        core.append(*calls("dear", 40, experiment="lost"), *calls("dear", 60))
        core.append(*calls("cheap", 40), *scored("dear", 0.8, 100), *scored("cheap", 0.8, 100))
        reply = asked(core)
        assert ids(reply) == ["model:acme/dear>acme/cheap", "experiment:lost"]
        first, second = reply.recommendations
        assert first.saving_nanousd == 100 * 1_000 * (DEAR - CHEAP)
        assert second.saving_nanousd == 40 * 1_000 * CHEAP


class TestCallsBehind:
    def test_the_newest_of_each_way(self, core: Core) -> None:
        failed = {"outcome": "error", "error_kind": "timeout"}
        core.append(*calls("dear", 80), *calls("dear", 20, **failed))
        (found,) = asked(core, calls=7).recommendations
        assert len(found.calls) == 7
        assert {each.outcome for each in found.calls} == {"error"}
        assert all(each.cost_nanousd == 1_000 * DEAR for each in found.calls)
        assert asked(core).recommendations[0].calls == []

    def test_none_that_its_saving_does_not_rest_on(self, core: Core) -> None:
        core.append(*TestGrowth().grown(100))
        for outcome in ("error", "unknown"):
            core.append(*calls("dear", 3, outcome=outcome, cost_nanousd=1))
        (found,) = asked(core, calls=100).recommendations
        assert len(found.calls) == found.evidence.calls == 60
        assert {each.outcome for each in found.calls} == {"ok"}

    def test_a_call_without_an_answer_is_behind_none(self, core: Core) -> None:
        core.append(*personas("batch-a", "lost", [False]))
        core.append(*calls("dear", 40, experiment="lost"), *calls("dear", 60))
        core.append(*calls("dear", 3, experiment="lost", outcome="unknown", cost_nanousd=1))
        (found,) = asked(core, calls=100).recommendations
        assert found.id == "experiment:lost"
        assert len(found.calls) == found.evidence.calls == 40


def test_a_filter_leaves_out_calls_and_experiments(core: Core) -> None:
    core.append(*personas("batch-a", "lost", [False]), *personas("batch-b", "gone", [False]))
    core.append(*calls("dear", 40, experiment="lost"), *calls("cheap", 60, experiment="gone"))
    only = Filter(experiments=["lost"])
    assert ids(asked(core, filter=only)) == ["experiment:lost"]
    assert asked(core, filter=only).basis.calls == 40
    assert asked(core, filter=Filter(models=["cheap"])).basis.calls == 60


def test_a_name_that_nobody_used_is_refused_with_the_nearest(core: Core) -> None:
    core.append(*calls("dear", 1))
    with pytest.raises(LedgerError, match="deer") as caught:
        asked(core, filter=Filter(models=["deer"]))
    assert caught.value.hint == "did you mean dear?"
