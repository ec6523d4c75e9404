"""What a call cost, whatever the order in which one hears of it."""

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personad.contract import batch as b
from personad.contract import budget
from personad.contract import cost as c
from personad.contract.events import Exported, Import
from personad.log import read
from personad.projections import batch_costs
from tests.ledgers import damage_of

from .conftest import Core
from .facts import NOON, cost, fresh_id, happened, planned, started

MAX = 2**63 - 1


def call_started(call: str = "call-1", reserved: int = 9_000) -> c.CallStarted:
    return c.CallStarted(
        id=fresh_id(),
        at=NOON,
        call=call,
        provider="local",
        model="local",
        batch="batch-a",
        persona="p1",
        reserved_nanousd=reserved,
    )


def take(core: Core, *events: Any) -> None:
    core.do(Import(items=[Exported(event=event) for event in events]))


def sums(core: Core) -> tuple[int, int, int]:
    shown = core.show().cost
    return shown.spent_nanousd, shown.reserved_nanousd, shown.unresolved_nanousd


def test_of_several_figures_for_one_call_the_greatest_counts_in_any_order(
    open_core: Callable[[], Core],
) -> None:
    figures = [
        cost(nanousd=100, output_tokens=1),
        cost(nanousd=900, output_tokens=90),
        cost(nanousd=500, output_tokens=50),
        cost(nanousd=70, output_tokens=89, input_tokens=11),
    ]
    found = set()
    for order in permutations(figures):
        core = open_core()
        core.append(started(), *order)
        found.add(sums(core))
    assert found == {(900, 0, 0)}


def test_equal_figures_are_told_apart_by_their_ids(open_core: Callable[[], Core]) -> None:
    one = cost(id=UUID(int=1), nanousd=10)
    other = cost(id=UUID(int=2), nanousd=20)
    found = []
    for order in ((one, other), (other, one)):
        core = open_core()
        core.append(started(), *order)
        found.append(sums(core))
    assert found == [(20, 0, 0), (20, 0, 0)]


def test_a_call_s_start_its_end_and_its_figures_give_one_result_in_any_order(
    open_core: Callable[[], Core],
) -> None:
    events = [
        call_started(),
        happened(c.CallAbandoned, call="call-1"),
        cost(nanousd=40, outcome="unknown", output_tokens=0),
        cost(nanousd=50),
    ]
    found = set()
    for order in permutations(events):
        core = open_core()
        take(core, started(), *order)
        found.add(sums(core))
    assert found == {(50, 0, 0)}


def test_a_granted_call_is_reserved_then_spent(core: Core) -> None:
    take(core, started(), call_started())
    assert sums(core) == (0, 9_000, 0)
    core.append(cost(nanousd=4_000))
    assert sums(core) == (4_000, 0, 0)


def test_an_abandoned_call_costs_nothing(core: Core) -> None:
    take(core, started(), call_started(), happened(c.CallAbandoned, call="call-1"))
    assert sums(core) == (0, 0, 0)


def test_a_call_whose_answer_never_came_counts_at_its_maximum_and_is_not_spent_twice(
    core: Core,
) -> None:
    take(core, started(), call_started(), cost(nanousd=None, outcome="unknown"))
    assert sums(core) == (0, 0, 9_000)
    core.append(cost(nanousd=7_000, outcome="unknown", output_tokens=6))
    assert sums(core) == (0, 0, 7_000)


def test_calls_in_flight_when_the_lease_is_lost_are_unresolved(core: Core) -> None:
    take(core, started(), call_started("one"), call_started("two"), cost("two", 5))
    take(core, happened(b.BatchInterrupted))
    assert sums(core) == (5, 0, 9_000)


def test_a_call_without_a_known_price_is_counted_and_costs_null(core: Core) -> None:
    core.append(started(), cost(nanousd=None, provider="nobody"))
    shown = core.show()
    assert shown.cost.spent_nanousd == 0
    assert (shown.usage.calls, shown.usage.input_tokens) == (1, 10)


def test_absurd_figures_are_kept_and_not_counted(core: Core) -> None:
    answer = core.append(started(), cost(nanousd=MAX), cost("call-2", input_tokens=MAX))
    assert answer.anomalies == 2
    assert sums(core) == (0, 0, 0)


@pytest.mark.parametrize("reserved", [MAX, 2**62])
def test_sums_stop_at_what_the_wire_can_carry(core: Core, reserved: int) -> None:
    take(core, *planned(), *(call_started(f"call-{number}", reserved) for number in range(4)))
    assert sums(core) == (0, MAX, 0)


def test_a_projection_stops_there_as_well(core: Core) -> None:
    most = 2**62 // 1_000
    core.append(
        started(total=MAX),
        happened(b.PersonaGenerating),
        *(cost(f"call-{number}", most) for number in range(2_100)),
    )
    assert core.show().cost.spent_nanousd == MAX


@given(st.lists(st.integers(0, MAX), max_size=20))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_in_sql_are_exact_until_they_stop(core: Core, values: list[int]) -> None:
    core.db.execute("CREATE TEMP TABLE IF NOT EXISTS v (x INTEGER); DELETE FROM v")
    core.db.executemany("INSERT INTO v VALUES (?)", [(value,) for value in values])
    found = core.db.execute(f"SELECT {batch_costs.exact_sum('x')} FROM v").get  # noqa: S608
    assert found == min(sum(values), MAX)


def test_a_persona_s_cost_is_the_sum_of_its_calls(core: Core) -> None:
    core.append(*planned(), cost("one", 10), cost("two", 20), cost("three", 5, persona="p2"))
    assert [each.cost_nanousd for each in core.show().personas] == [30, 5]


def test_a_cost_is_news_of_the_persona_it_was_for(core: Core) -> None:
    core.append(*planned())
    core.append(cost())
    changed = core.change()[0].personas
    assert [(each.persona, each.cost_nanousd) for each in changed] == [("p1", 1_500)]


def corrected(nanousd: int, call: str = "call-1", **more: Any) -> c.CostCorrected:
    return c.CostCorrected(
        id=fresh_id(), at=NOON, call=call, cost_nanousd=nanousd, reason="reconciled", **more
    )


def test_of_several_corrections_the_newest_counts_once(core: Core) -> None:
    take(core, started(), cost(nanousd=10), corrected(100), corrected(50))
    assert sums(core) == (50, 0, 0)


def test_so_it_does_for_a_call_of_which_nothing_else_came(core: Core) -> None:
    take(core, started(), call_started(), corrected(100))
    take(core, corrected(70), corrected(50))
    assert sums(core) == (50, 0, 0)
    assert core.show().usage.calls == 1


@pytest.mark.parametrize("is_started", [True, False])
def test_a_call_without_an_answer_counts_at_what_its_greatest_figure_says_in_any_order(
    open_core: Callable[[], Core], is_started: bool
) -> None:
    events = [
        *([call_started()] if is_started else []),
        cost(nanousd=100, outcome="unknown", output_tokens=1),
        cost(nanousd=None, outcome="unknown", output_tokens=3),
    ]
    found = set()
    for order in permutations(events):
        core = open_core()
        take(core, started(), *order)
        found.add(sums(core))
    assert found == {(0, 0, 9_000 if is_started else 0)}


def test_reservations_past_all_measure_are_taken_back_as_they_were_added(core: Core) -> None:
    calls = ["one", "two", "three"]
    take(core, *planned(), *(call_started(call, MAX) for call in calls))
    take(core, *(cost(call, None, outcome="unknown") for call in calls))
    take(core, *(cost(call, 5, output_tokens=6) for call in calls))
    assert sums(core) == (15, 0, 0)
    assert {row[6] for row in core.rows()["cost_quarter"]} == {15}


def test_absurd_corrections_are_kept_and_not_counted(core: Core) -> None:
    take(core, started(), cost("one", 1), cost("two", 2))
    take(core, corrected(MAX, "one"), corrected(5, "two", input_tokens=MAX))
    assert sums(core) == (3, 0, 0)
    assert [row[0] for row in core.db.execute("SELECT seq FROM anomaly")] == [4, 5]


def test_so_many_dear_calls_that_a_sum_stops_can_be_corrected_all_at_once(core: Core) -> None:
    calls = [f"call-{number}" for number in range(1_000)]
    take(core, started(), *(cost(call, 10**16) for call in calls))
    take(core, *(corrected(0, call) for call in calls))
    assert sums(core) == (0, 0, 0)


def test_a_call_priced_past_all_measure_is_kept_and_not_counted(core: Core) -> None:
    prices = budget.Prices(input_nanousd=MAX, output_nanousd=MAX)
    common: dict[str, Any] = {"provider": "p", "model": "m"}
    dear = budget.PriceSet(
        id=fresh_id(), at=NOON, prices=prices, effective_from=NOON - timedelta(days=1), **common
    )
    answer = core.append(started(), dear, cost(nanousd=None, input_tokens=10**15, **common))
    assert (answer.last_seq, answer.anomalies) == (3, 1)
    assert sums(core) == (0, 0, 0)


def test_a_receipt_that_was_taken_back_with_a_repeated_event_is_given_anew(core: Core) -> None:
    prices = budget.Prices(input_nanousd=3_000_000, output_nanousd=4_000_000)
    own = budget.PriceSet(
        id=fresh_id(),
        at=NOON,
        provider="p",
        model="m",
        prices=prices,
        effective_from=NOON - timedelta(days=1),
    )
    sent_before = cost("call-1", 5)
    core.append(started(), own, sent_before)
    # The repeat takes the first try back, and the number of the unit prices with it.
    core.append(sent_before, cost("call-2", None, provider="p", model="m"))
    core.append(cost("call-3", None, provider="p", model="m"))
    told = list(read(core.db))[-2:]
    assert [each.cost_nanousd for each in told] == [50, 50]
    assert all(each.receipt and each.receipt["source"] == "price.set" for each in told)
    assert damage_of(core.path) is None
