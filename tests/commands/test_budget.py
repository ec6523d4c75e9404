"""`persona cost budget` against a real daemon."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona.client import Ledger
from persona.identity import event_id, now
from persona.program import run
from persona.render import values
from persona.render.values import decimal
from persona.usd import MOST_NANOUSD, parse

from personad.contract import cost as c
from personad.contract.budget import BudgetSet, BudgetStatus, Prices, PriceSet

from .conftest import started

BUDGET = ("cost", "budget")


def spend(ledger: Ledger, nanousd: int, call: str = "call-1", **more: Any) -> None:
    fields: dict[str, Any] = {
        "id": event_id(),
        "at": now(),
        "call": call,
        "provider": "acme",
        "model": "one",
        "operation": "generation",
        "outcome": "ok",
        "output_tokens": 1,
        "cost_nanousd": nanousd,
    }
    ledger.append([c.CostRecorded(**(fields | more))])


def hold(ledger: Ledger, nanousd: int, call: str) -> None:
    """Has a call granted whose answer never comes."""
    price = Prices(input_nanousd=0, output_nanousd=10**6)
    at = now()
    fields: dict[str, Any] = {"provider": "acme", "model": "one"}
    price_set = PriceSet(id=event_id(), at=at, prices=price, effective_from=at, **fields)
    ledger.append([price_set])
    asked = c.StartCall(call=call, max_input_tokens=0, max_output_tokens=nanousd, **fields)
    assert ledger.ask(asked) == c.Granted(reserved_nanousd=nanousd)
    spend(ledger, 0, call, outcome="unknown", cost_nanousd=None)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "nanousd"),
        [
            ("5", 5 * 10**9),
            ("$12.50", 12_500_000_000),
            (".1", 10**8),
            ("3.", 3 * 10**9),
            ("0.000000001", 1),
            ("0.1000000000000", 10**8),
            ("9007199.254740993", 9_007_199_254_740_993),
        ],
    )
    def test_dollars_are_read_to_the_nano_dollar(self, text: str, nanousd: int) -> None:
        assert parse(text) == nanousd

    @given(st.integers(1, MOST_NANOUSD))
    def test_every_amount_is_read_back_as_it_was_written(self, nanousd: int) -> None:
        assert parse(decimal(nanousd, 9)) == nanousd

    @pytest.mark.parametrize(
        "text",
        [
            *("0", "0.00", "-1", "$-1", "NaN", "inf", "1e3", "", ".", "five", "1,5", "٣"),
            *("9" * 30, "9" * 11, "0.0000000001", "1.0000000001"),
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"amount|nothing|least|million"):
            parse(text)


class TestSetting:
    def test_a_budget_stands_with_the_ledger_s_zone_and_the_usual_thresholds(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run([*BUDGET, "set", "--monthly", "50.25", "--json"]) == 0

        (found,) = told(capsys)["budgets"]
        assert found["scope"] == "monthly"
        assert (found["limit_usd"], found["action"]) == (50.25, "warn")
        assert found["thresholds"] == [50, 80, 100]
        assert found["timezone"] == ledger.ask(BudgetStatus()).timezone

    def test_an_experiment_that_nobody_has_used_is_said_with_the_nearest(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spend(ledger, 1, experiment="onboarding")
        assert run([*BUDGET, "set", "--experiment", "onbording", "--limit", "2"]) == 0
        out, err = capsys.readouterr()
        assert "experiment:onbording" in out
        assert "there is no experiment 'onbording' so far" in err
        assert "did you mean onboarding?" in err
        run([*BUDGET, "set", "--experiment", "onboarding", "--limit", "2"])
        assert capsys.readouterr().err == ""

    def test_periods_and_an_experiment_are_set_together(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = "--daily 1 --weekly 2 --experiment tone --limit 3 --action stop --at 90"
        assert run([*BUDGET, "set", *words.split(), "--timezone", "Asia/Kathmandu", "--json"]) == 0

        found = told(capsys)["budgets"]
        assert [each["scope"] for each in found] == ["daily", "weekly", "experiment:tone"]
        assert {each["action"] for each in found} == {"stop"}
        assert {each["timezone"] for each in found} == {"Asia/Kathmandu"}
        assert {tuple(each["thresholds"]) for each in found} == {(90,)}

    @pytest.mark.parametrize(
        "words",
        [
            "",
            "--daily 0",
            "--daily -1",
            "--daily NaN",
            "--experiment tone",
            "--limit 5",
            "--daily 5 --at 80,50",
            "--daily 5 --at 0",
            "--daily 5 --at fifty",
            "--daily 5 --action halt",
            "--daily 5 --timezone Europe/Berlinn",
        ],
    )
    def test_what_can_t_be_is_wrong_usage_and_nothing_is_set(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str], words: str
    ) -> None:
        assert run([*BUDGET, "set", *words.split()]) == 64

        assert capsys.readouterr().err.startswith("persona: ")
        assert ledger.ask(BudgetStatus()).budgets == []


class TestStatus:
    def test_with_nothing_set_it_says_how_to(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run([*BUDGET, "status"]) == 0

        assert "`persona cost budget set --monthly USD`" in capsys.readouterr().err

    def test_json_has_the_fields_of_the_contract(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run([*BUDGET, "set", "--experiment", "tone", "--limit", "2", "--action", "stop"])
        spend(ledger, 1_250_000_001, experiment="tone")
        capsys.readouterr()

        assert run([*BUDGET, "status", "--json"]) == 0

        (found,) = told(capsys)["budgets"]
        assert found == {
            "scope": "experiment:tone",
            "limit_usd": 2,
            "spent_usd": 1.250000001,
            "reserved_usd": 0,
            "unresolved_usd": 0,
            "used": 0.6250000005,
            "projected_usd": None,
            "action": "stop",
            "thresholds": [50, 80, 100],
            "status": "warning",
            "timezone": ledger.ask(BudgetStatus()).timezone,
            "since": None,
            "until": None,
            "exhausted_at": None,
        }

    def test_the_table_shows_a_bar_and_every_amount(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run([*BUDGET, "set", "--experiment", "tone", "--limit", "2", "--action", "stop"])
        spend(ledger, 1_000_000_000, experiment="tone")
        capsys.readouterr()

        assert run([*BUDGET, "status"]) == 0

        head, line = capsys.readouterr().out.splitlines()
        titles = "Scope Limit Spent Reserved Used Projected Status"
        assert head.split() == titles.split()
        assert line.split() == [
            *("experiment:tone", "$2.00", "$1.00", "$0.00"),
            *("#####-----", "50%", "–", "warning", "(stop)"),
        ]

    def test_what_will_be_used_up_before_its_end_is_said_below(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run([*BUDGET, "set", "--monthly", "1"])
        spend(ledger, 999_999_999)
        (budget,) = ledger.ask(BudgetStatus()).budgets
        capsys.readouterr()

        assert run([*BUDGET, "status"]) == 0

        assert budget.exhausted_at is not None
        said = f"used up at this pace  monthly on {values.when(budget.exhausted_at)}"
        assert capsys.readouterr().out.splitlines()[-1] == said

    def test_csv_and_markdown_have_a_line_a_budget(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run([*BUDGET, "set", "--daily", "2", "--weekly", "5"])
        capsys.readouterr()

        assert run([*BUDGET, "status", "--format", "csv"]) == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert [(row["Scope"], row["Limit"]) for row in rows] == [("daily", "2"), ("weekly", "5")]
        assert run([*BUDGET, "status", "--format", "markdown"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 4

    def test_a_batch_that_is_going_on_shows_its_own_budget(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import msgspec

        begun, *queue = started()
        ledger.append([msgspec.structs.replace(begun, budget_nanousd=10**9), *queue])

        assert run([*BUDGET, "status", "--json"]) == 0

        (found,) = told(capsys)["budgets"]
        assert found["scope"].startswith("batch:batch-")
        assert (found["limit_usd"], found["action"]) == (1, "warn")


class TestClearing:
    def test_a_cleared_budget_is_gone(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run([*BUDGET, "set", "--daily", "1", "--monthly", "2"])

        assert run([*BUDGET, "clear", "--daily"]) == 0
        assert [each.scope for each in ledger.ask(BudgetStatus()).budgets] == ["monthly"]
        assert run([*BUDGET, "clear", "--all"]) == 0
        assert ledger.ask(BudgetStatus()).budgets == []

    def test_one_that_is_not_set_is_named_with_those_that_are(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run([*BUDGET, "set", "--daily", "1"])
        capsys.readouterr()

        assert run([*BUDGET, "clear", "--experiment", "tone"]) == 64
        assert "experiment:tone is set; there is daily" in capsys.readouterr().err
        assert run([*BUDGET, "clear"]) == 64
        assert run([*BUDGET, "clear", "--all", "--daily"]) == 64


def test_what_has_no_price_is_said_to_count_against_no_budget(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*BUDGET, "set", "--monthly", "1"])
    assert run([*BUDGET, "status"]) == 0
    assert capsys.readouterr().err == ""
    spend(ledger, 0, cost_nanousd=None)
    assert run([*BUDGET, "status"]) == 0
    said = "1 call of this month without a price count against no budget"
    assert said in capsys.readouterr().err


class TestSettling:
    def test_all_that_is_unresolved_is_settled_once(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run([*BUDGET, "set", "--daily", "1"])
        hold(ledger, 700, "call-a")
        assert run([*BUDGET, "status"]) == 0
        assert "1 call had no answer" in capsys.readouterr().err

        assert run([*BUDGET, "settle", "--json"]) == 0
        assert told(capsys) == {
            "calls": [{"call": "call-a", "batch": None, "held_usd": 0.0000007, "cost_usd": 0}]
        }
        assert run([*BUDGET, "settle"]) == 0
        assert "nothing is unresolved" in capsys.readouterr().err

    def test_one_call_is_settled_at_what_it_did_cost(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run([*BUDGET, "set", "--daily", "1"])
        hold(ledger, 700, "call-a")
        hold(ledger, 700, "call-b")

        assert run([*BUDGET, "settle", "call-a", "--cost", "0.0000004"]) == 0

        (found,) = ledger.ask(BudgetStatus()).budgets
        assert (found.spent_nanousd, found.unresolved_nanousd) == (400, 700)
        capsys.readouterr()
        assert run(["cost", "explain", "call-a"]) == 0
        assert "at first, held back: no answer came" in capsys.readouterr().out
        assert run([*BUDGET, "settle", "call-a"]) == 0
        err = capsys.readouterr().err
        assert "nothing was held back for what you named" in err
        assert "every call has its cost" not in err

    def test_what_is_no_call_is_wrong_usage(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run([*BUDGET, "settle", "nobody"]) == 64
        assert run([*BUDGET, "settle", "--cost", "1"]) == 64


def test_a_batch_s_budget_that_was_set_by_another_program_is_shown_and_cleared(
    ledger: Ledger,
) -> None:
    ledger.append(
        [
            BudgetSet(
                id=event_id(),
                at=now(),
                scope="batch:b-1",
                limit_nanousd=5,
                action="stop",
                thresholds=[],
                timezone="UTC",
            )
        ]
    )
    assert [each.scope for each in ledger.ask(BudgetStatus()).budgets] == ["batch:b-1"]
    assert run([*BUDGET, "clear", "--all"]) == 0
    assert ledger.ask(BudgetStatus()).budgets == []
