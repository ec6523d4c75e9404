"""Budgets: which calls they let through, what stands against them, and what is settled."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.budget import BudgetCleared
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Exported, Import
from personad.log import last_seq
from personad.store import begin_weeks_on

from .budgeting import bill, budget, call, go_to, granted, priced, status, sums
from .conftest import Core
from .facts import NOON, fresh_id, happened, planned, started


@pytest.fixture
def shop(core: Core) -> Core:
    """A ledger that knows a price and may spend 100 nano-dollars a day."""
    core.append(priced(), budget())
    return core


class TestCeiling:
    def test_the_whole_prompt_at_its_dearest_and_the_longest_answer_are_reserved(
        self, core: Core
    ) -> None:
        core.append(priced())
        asked = call(most=7, max_input_tokens=10)
        assert core.do(asked) == granted(10 * 3 + 7)

    def test_what_is_free_reserves_nothing_and_no_budget_refuses_it(self, core: Core) -> None:
        core.append(budget(limit=1))
        assert core.do(call(provider="local", model="x", most=10**9)) == granted(0)
        # Nor one of which more than all is gone.
        core.append(bill("dear", 5))
        assert core.do(call("call-2", provider="local", model="x", most=10**9)) == granted(0)

    def test_a_model_without_a_price_is_granted_where_nothing_has_to_hold(self, core: Core) -> None:
        core.append(budget(action="warn"))
        assert core.do(call(model="nobody-knows")) == granted(None)

    def test_a_model_without_a_price_is_refused_under_a_budget_that_has_to_hold(
        self, shop: Core
    ) -> None:
        refused = shop.do(call(model="nobody-knows"))
        assert isinstance(refused, c.Refused)
        assert (refused.budget, refused.maximum_nanousd) == ("daily", None)

    @pytest.mark.parametrize("field", ["max_input_tokens", "max_output_tokens"])
    def test_more_tokens_than_a_call_can_have_are_refused_by_name(
        self, shop: Core, field: str
    ) -> None:
        with pytest.raises(LedgerError) as refused:
            shop.do(call(**{field: 2**63 - 1}))
        assert (refused.value.code, refused.value.field) == ("invalid", f"$.{field}")


class TestGranting:
    def test_what_fits_to_the_last_nano_dollar_is_granted(self, shop: Core) -> None:
        assert shop.do(call(most=100)) == granted(100)

    def test_what_could_cross_the_limit_alone_is_refused(self, shop: Core) -> None:
        refused = shop.do(call(most=101))
        assert refused == c.Refused(
            budget="daily",
            spent_nanousd=0,
            reserved_nanousd=0,
            limit_nanousd=100,
            maximum_nanousd=101,
        )

    def test_a_call_waits_for_those_in_flight_and_is_granted_once_they_cost_less(
        self, shop: Core
    ) -> None:
        shop.do(call("one"))
        assert shop.do(call("two")) == c.Wait()
        shop.append(bill("one", 40))
        assert shop.do(call("two")) == granted(60)

    def test_a_call_is_refused_once_those_in_flight_cost_all_they_could(self, shop: Core) -> None:
        shop.do(call("one"))
        shop.append(bill("one", 60))
        refused = shop.do(call("two"))
        assert isinstance(refused, c.Refused)
        assert refused.spent_nanousd == 60

    def test_one_that_waits_or_is_refused_leaves_nothing_behind(self, shop: Core) -> None:
        shop.do(call("one"))
        before = last_seq(shop.db)
        shop.do(call("two"))
        shop.do(call("three", most=101))
        assert last_seq(shop.db) == before
        assert sums(shop) == (0, 60, 0)

    def test_an_abandoned_call_frees_what_it_held(self, shop: Core) -> None:
        shop.do(call("one", most=100))
        shop.append(happened(c.CallAbandoned, call="one"))
        assert shop.do(call("two", most=100)) == granted(100)

    def test_a_bill_over_its_reservation_is_recorded_as_it_is(self, shop: Core) -> None:
        shop.do(call("one"))
        shop.append(bill("one", 170))
        assert sums(shop) == (170, 0, 0)
        assert isinstance(shop.do(call("two", most=1)), c.Refused)

    def test_of_several_budgets_each_has_to_hold(self, shop: Core) -> None:
        shop.append(budget("monthly", 50), budget("experiment:tone", 20))
        assert isinstance(shop.do(call("one", most=60)), c.Refused)
        refused = shop.do(call("two", most=21, experiment="tone"))
        assert isinstance(refused, c.Refused)
        assert refused.budget == "experiment:tone"
        assert shop.do(call("three", most=21)) == granted(21)

    @pytest.mark.parametrize("action", ["log", "warn"])
    def test_a_budget_that_only_tells_stops_nothing(self, core: Core, action: Any) -> None:
        core.append(priced(), budget(action=action))
        assert core.do(call(most=1_000)) == granted(1_000)

    def test_a_cleared_budget_stops_nothing(self, shop: Core) -> None:
        shop.append(BudgetCleared(id=fresh_id(), at=NOON, scope="daily"))
        assert shop.do(call(most=1_000)) == granted(1_000)

    def test_a_raised_budget_lets_more_through(self, shop: Core) -> None:
        shop.append(budget(limit=1_000))
        assert shop.do(call(most=1_000)) == granted(1_000)


class TestAskingAgain:
    def test_a_granted_call_is_answered_as_before_and_held_once(self, shop: Core) -> None:
        assert shop.do(call()) == shop.do(call()) == granted(60)
        assert sums(shop) == (0, 60, 0)

    def test_it_is_answered_as_before_also_where_it_would_be_refused_by_now(
        self, shop: Core
    ) -> None:
        shop.do(call())
        shop.append(budget(limit=1))
        assert shop.do(call()) == granted(60)

    @pytest.mark.parametrize("end", ["billed", "abandoned", "unknown", "settled"])
    def test_one_that_is_over_is_not_opened_again(self, shop: Core, end: str) -> None:
        shop.do(call())
        if end == "billed":
            shop.append(bill())
        elif end == "abandoned":
            shop.append(happened(c.CallAbandoned, call="call-1"))
        elif end == "unknown":
            shop.append(bill(nanousd=None, outcome="unknown"))  # type: ignore[arg-type]
        else:
            shop.do(c.Settle(calls=["call-1"]))
        before = sums(shop)
        with pytest.raises(LedgerError) as refused:
            shop.do(call())
        assert refused.value.code == "conflict"
        assert sums(shop) == before


class TestScopes:
    def test_a_day_ends_where_the_budget_s_zone_says(self, core: Core) -> None:
        core.append(priced(), budget(timezone="Pacific/Auckland"))
        go_to(core, datetime.fromisoformat("2026-11-23T10:59:59+00:00"))
        core.append(bill("late", 100, at=core.now))
        assert isinstance(core.do(call("one")), c.Refused)
        go_to(core, datetime.fromisoformat("2026-11-23T11:00:00+00:00"))
        assert core.do(call("one")) == granted(60)

    def test_a_week_begins_as_it_is_configured(self, core: Core) -> None:
        core.append(priced(), budget("weekly"))
        sunday = datetime.fromisoformat("2026-11-22T12:00:00+00:00")
        core.append(bill("sunday", 100, at=sunday))
        assert core.do(call("one")) == granted(60)
        begin_weeks_on(core.db, "sunday")
        core.book.forget()
        assert isinstance(core.do(call("two")), c.Refused)

    def test_a_month_holds_what_was_spent_since_its_first_day(self, core: Core) -> None:
        core.append(priced(), budget("monthly"))
        for day, nanousd in (("2026-10-31", 50), ("2026-11-01", 30)):
            at = datetime.fromisoformat(f"{day}T12:00:00+00:00")
            core.append(bill(day, nanousd, at=at))
        assert sums(core, "monthly") == (30, 0, 0)

    def test_an_experiment_is_its_batches_too(self, core: Core) -> None:
        core.append(priced(), started(experiment="tone"), budget("experiment:tone"))
        core.do(call("one", batch="batch-a"))
        core.append(bill("before", 30, experiment="tone", at=NOON - timedelta(days=700)))
        assert sums(core, "experiment:tone") == (30, 60, 0)
        assert core.do(call("two", experiment="tone")) == c.Wait()

    def test_a_batch_that_was_told_to_stop_holds_its_own_budget(self, core: Core) -> None:
        core.append(priced(), started(budget_nanousd=100, stop_on_budget=True))
        assert core.do(call("one", batch="batch-a")) == granted(60)
        assert core.do(call("two", batch="batch-a")) == c.Wait()
        assert core.do(call("three")) == granted(60)

    def test_a_batch_that_was_only_to_warn_goes_on(self, core: Core) -> None:
        core.append(priced(), started(budget_nanousd=100))
        assert core.do(call("one", most=1_000, batch="batch-a")) == granted(1_000)
        assert status(core)["batch:batch-a"].action == "warn"

    def test_what_is_held_back_counts_in_the_new_day_as_well(self, shop: Core) -> None:
        go_to(shop, datetime.fromisoformat("2026-11-23T23:59:59+00:00"))
        shop.do(call("one"))
        go_to(shop, datetime.fromisoformat("2026-11-24T00:00:01+00:00"))
        assert shop.do(call("two")) == c.Wait()
        shop.append(bill("one", 60, at=shop.now))
        assert sums(shop) == (60, 0, 0)


class TestUnresolved:
    def test_a_lost_lease_holds_back_what_was_in_flight_until_it_is_settled(
        self, shop: Core
    ) -> None:
        shop.append(*planned())
        fence = shop.do(b.Claim(batch="batch-a", runner="r", ttl_ms=1_000)).fence
        shop.do(call("one", batch="batch-a", fence=fence))
        shop.clock += 5
        shop.keep_time()
        assert sums(shop) == (0, 0, 60)
        assert isinstance(shop.do(call("two")), c.Refused)
        settled = shop.do(c.Settle()).calls
        assert [(each.call, each.held_nanousd, each.cost_nanousd) for each in settled] == [
            ("one", 60, 0)
        ]
        assert shop.do(call("two")) == granted(60)

    def test_settling_again_changes_nothing(self, shop: Core) -> None:
        shop.do(call())
        shop.append(bill(nanousd=None, outcome="unknown"))  # type: ignore[arg-type]
        shop.do(c.Settle(cost_nanousd=5))
        assert shop.do(c.Settle(calls=["call-1"], cost_nanousd=7)).calls == []
        assert shop.do(c.Settle()).calls == []
        assert sums(shop) == (5, 0, 0)

    @pytest.mark.parametrize("is_first_told_unknown", [True, False])
    def test_a_bill_that_comes_after_all_counts_whatever_was_settled(
        self, shop: Core, is_first_told_unknown: bool
    ) -> None:
        shop.do(call())
        if is_first_told_unknown:
            shop.append(bill(nanousd=None, outcome="unknown"))  # type: ignore[arg-type]
        shop.do(c.Settle(calls=["call-1"]))
        shop.append(bill(nanousd=44))
        assert sums(shop) == (44, 0, 0)

    def test_a_call_in_flight_of_a_batch_that_is_run_is_not_settled(self, shop: Core) -> None:
        shop.append(*planned())
        shop.do(b.Claim(batch="batch-a", runner="r"))
        shop.do(call("one", batch="batch-a"))
        assert shop.do(c.Settle()).calls == []
        with pytest.raises(LedgerError) as refused:
            shop.do(c.Settle(calls=["one"]))
        assert refused.value.code == "conflict"

    def test_a_call_is_found_by_the_beginning_of_its_id(self, shop: Core) -> None:
        for name in ("call-a1", "call-a2", "call-b1"):
            shop.do(call(name, most=1))
        assert [each.call for each in shop.do(c.Settle(calls=["call-b"])).calls] == ["call-b1"]
        with pytest.raises(LedgerError, match="several calls"):
            shop.do(c.Settle(calls=["call-a"]))
        with pytest.raises(LedgerError) as refused:
            shop.do(c.Settle(calls=["call-b1", "nobody"]))
        assert (refused.value.code, refused.value.field) == ("not-found", "$.calls[1]")

    def test_the_order_of_settlement_and_bill_changes_nothing(
        self, open_core: Callable[[], Core]
    ) -> None:
        settled = c.CostCorrected(
            id=fresh_id(), at=NOON, call="call-1", cost_nanousd=0, reason="settled"
        )
        unknown, told = bill(nanousd=None, outcome="unknown"), bill(nanousd=44)  # type: ignore[arg-type]
        found = set()
        for events in ([unknown, settled, told], [unknown, told, settled], [told, settled]):
            core = open_core()
            core.append(budget())
            core.do(Import(items=[Exported(event=event) for event in events]))
            found.add(sums(core))
        assert found == {(44, 0, 0)}


class TestSetting:
    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"scope": "yearly"}, "scope"),
            ({"scope": "experiment:"}, "scope"),
            ({"thresholds": [80, 50]}, "thresholds"),
            ({"thresholds": [50, 50]}, "thresholds"),
            ({"timezone": "Europe/Berlinn"}, "timezone"),
        ],
    )
    def test_a_budget_that_could_not_hold_is_refused_by_its_field(
        self, core: Core, wrong: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(LedgerError) as refused:
            core.append(started(), budget(**wrong))
        assert (refused.value.code, refused.value.field) == ("invalid", f"$.events[1].{field}")
        assert last_seq(core.db) == 0

    @pytest.mark.parametrize("limit", ["0", "-1", "1.5", "null"])
    def test_a_limit_is_a_number_of_nano_dollars_above_nothing(self, limit: str) -> None:
        from personad.contract.codec import codec

        event = (
            '{"type": "append", "events": [{"type": "budget.set", "scope": "daily", "action": '
            '"stop", "id": "018f0000-0000-7000-8000-000000000000", "at": "2026-11-23T12:00:00Z", '
            f'"thresholds": [], "timezone": "UTC", "limit_nanousd": {limit}}}]}}'
        )
        with pytest.raises(LedgerError) as refused:
            codec(Append).decode(event.encode())
        assert refused.value.field == "$.events[0].limit_nanousd"


class TestStatus:
    def test_days_come_before_weeks_months_and_experiments(self, core: Core) -> None:
        scopes = ["experiment:a", "monthly", "weekly", "daily"]
        core.append(*(budget(scope) for scope in scopes))
        assert list(status(core)) == scopes[::-1]

    def test_a_budget_tells_how_far_it_is(self, shop: Core) -> None:
        shop.append(bill("one", 30))
        shop.do(call("two", most=25))
        found = status(shop)["daily"]
        assert (found.used, found.status) == (0.55, "warning")
        assert found.since == datetime.fromisoformat("2026-11-23T00:00:00+00:00")
        assert found.until == datetime.fromisoformat("2026-11-24T00:00:00+00:00")

    def test_at_noon_a_day_goes_on_as_it_began(self, core: Core) -> None:
        core.append(budget())
        go_to(core, datetime.fromisoformat("2026-11-23T12:00:00+00:00"))
        core.append(bill("one", 30))
        found = status(core)["daily"]
        assert (found.projected_nanousd, found.exhausted_at) == (60, None)

    @pytest.mark.parametrize(
        ("spent", "hour"), [(49, None), (50, None), (60, 20), (80, 15), (100, None), (120, None)]
    )
    def test_at_noon_it_is_known_when_the_rest_will_be_used_up(
        self, core: Core, spent: int, hour: int | None
    ) -> None:
        core.append(budget())
        go_to(core, datetime.fromisoformat("2026-11-23T12:00:00+00:00"))
        core.append(bill("one", spent))
        found = status(core)["daily"].exhausted_at
        assert found == (None if hour is None else NOON.replace(hour=hour, microsecond=0))

    @pytest.mark.parametrize(
        ("spent", "told"), [(49, "ok"), (50, "warning"), (99, "warning"), (100, "reached")]
    )
    def test_a_threshold_is_passed_where_it_is_met(self, core: Core, spent: int, told: str) -> None:
        core.append(budget(), bill("one", spent))
        assert status(core)["daily"].status == told

    def test_the_writer_and_the_readers_count_alike_over_a_long_month(self, core: Core) -> None:
        core.append(priced(), budget("monthly", 10**9, timezone="Asia/Kathmandu"))
        core.do(call("warm", most=1))
        days = (NOON - timedelta(hours=7 * step) for step in range(90))
        core.append(*(bill(f"c-{n}", n, at=at) for n, at in enumerate(days)))
        spent, reserved, _ = sums(core, "monthly")
        refused = core.do(call("most", most=10**9))
        assert isinstance(refused, c.Refused)
        assert (refused.spent_nanousd, refused.reserved_nanousd) == (spent, reserved)
        core.book.forget()
        assert core.do(call("most", most=10**9)) == refused
