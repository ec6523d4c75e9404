"""`persona cost forecast` against a real daemon."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from persona.client import Ledger
from persona.identity import event_id
from persona.program import run

from personad.contract.budget import ForecastRecorded
from personad.contract.cost import CostRecorded
from personad.contract.events import Exported, Import

from .test_cost import document, shown, unpriced


class TestForecast:
    @pytest.fixture
    def workdays(self, ledger: Ledger) -> Ledger:
        """Eight weeks of a dollar on each day from Monday to Friday, in UTC."""
        today = datetime.now(UTC).replace(hour=12)
        days = [today - timedelta(days=day) for day in range(1, 57)]
        ledger.append(
            [
                CostRecorded(
                    id=event_id(),
                    at=day,
                    call=f"call-{day:%F}",
                    provider="acme",
                    model="one",
                    operation="generation",
                    outcome="ok",
                    experiment="tone",
                    cost_nanousd=10**9 if day.weekday() < 5 else 0,
                )
                for day in days
            ]
        )
        return ledger

    @pytest.mark.usefixtures("workdays")
    def test_the_coming_days_have_the_weekdays_of_those_that_were(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reply = document(capsys, "forecast", "--timezone", "UTC", "--budget", "1000")
        assert (reply["history_days"], reply["level"], len(reply["days"])) == (56, 80, 7)
        for day in reply["days"]:
            is_workday = datetime.fromisoformat(day["date"]).weekday() < 5
            assert (day["expected_usd"] > 0.6) == is_workday
            assert day["low_usd"] <= day["expected_usd"] <= day["high_usd"]
        (week,) = [each for each in reply["periods"] if each["label"] == "Next 7 days"]
        assert week["expected_usd"] == pytest.approx(5, rel=0.05)
        assert reply["budget"]["probability_exceeded"] < 0.01
        assert reply["budget"]["over_by_usd"] == 0
        assert reply["warnings"] == []

    @pytest.mark.usefixtures("workdays")
    def test_a_budget_that_will_not_do_says_when_and_how_surely(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        screen = shown(capsys, "forecast", "--days", "30", "--budget", "0.5")
        assert "Next 30 days" in screen
        assert "^" in screen
        assert "$0.50 a month" in screen
        assert "`persona cost budget set --monthly USD --action stop` holds it" in screen

    @pytest.mark.usefixtures("workdays")
    def test_no_interval_has_no_level(self, capsys: pytest.CaptureFixture[str]) -> None:
        then = (datetime.now(UTC) - timedelta(days=50)).date()
        assert run(["cost", "forecast", "--as-of", str(then), "--timezone", "UTC"]) == 0
        out, err = capsys.readouterr()
        assert "Next 7 days    –" in out
        assert "intervals" not in out
        assert "6 whole days of history" in err

    @pytest.mark.usefixtures("workdays")
    def test_another_day_and_an_experiment_are_forecast_from_what_they_had(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        then = (datetime.now(UTC) - timedelta(days=30)).date()
        asked = ("forecast", "--as-of", str(then), "--timezone", "UTC", "--experiment", "tone")
        reply = document(capsys, *asked)
        assert reply["history_days"] == 26
        assert reply["days"][0]["date"] == str(then + timedelta(days=1))
        assert reply["budget"] is None
        screen = shown(capsys, *asked)
        assert "80 % of such intervals hold what comes" in screen
        assert str(then - timedelta(days=26)) in screen
        assert "days ago" not in screen

    @pytest.mark.usefixtures("workdays")
    def test_what_was_shown_is_held_against_what_came(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reply = document(capsys, "forecast", "--timezone", "UTC")
        assert reply["record"] == {"forecasts": 0, "hit_rate": None, "level": None}
        week_ago = (datetime.now(UTC) - timedelta(days=8)).date()
        told = [
            ForecastRecorded(
                id=event_id(),
                at=datetime.now(UTC),
                as_of=str(week_ago),
                filters={},
                horizon_days=7,
                level=80,
                expected_nanousd=5 * 10**9,
                low_nanousd=low,
                high_nanousd=10**10,
                timezone=zone,
            )
            for zone, low in (("UTC", 0), ("Asia/Kathmandu", 9 * 10**9))
        ]
        ledger.ask(Import(items=[Exported(event=event, derived=True) for event in told]))
        reply = document(capsys, "forecast", "--timezone", "UTC")
        assert reply["record"] == {"forecasts": 1, "hit_rate": 1.0, "level": 80}
        screen = shown(capsys, "forecast", "--timezone", "UTC")
        assert "100% of 1 earlier ones held what came; 80 % were to" in screen

    @pytest.mark.parametrize("command", ["history", "forecast"])
    @pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "2026-W01-1", ""])
    def test_what_is_no_day_is_wrong_usage(
        self, house: Any, capsys: pytest.CaptureFixture[str], command: str, text: str
    ) -> None:
        assert run(["cost", command, "--as-of", text]) == 64
        assert f"{text!r} is no date: write such as 2026-10-05" in capsys.readouterr().err

    def test_one_day_is_one_day(self, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
        ledger.append([unpriced(datetime.now(UTC) - timedelta(days=1))])
        assert run(["cost", "forecast", "--timezone", "UTC"]) == 0
        assert "1 whole day of history: from 14 on" in capsys.readouterr().err

    def test_what_was_spent_today_alone_is_not_said_to_be_nothing(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ledger.append([unpriced(datetime.now(UTC), cost_nanousd=10**9)])
        assert run(["cost", "forecast", "--timezone", "UTC", "--budget", "5"]) == 0
        out, err = capsys.readouterr()
        assert "Spent this month  $1.00" in out
        assert "no day with calls is over yet" in err

    def test_a_new_ledger_says_that_it_can_not_yet(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["cost", "forecast"]) == 0
        assert "0 whole days of history: from 14 on" in capsys.readouterr().err
        assert document(capsys, "forecast", "--budget", "5")["budget"] == {
            "limit_usd": 5.0,
            "spent_usd": 0.0,
            "expected_month_total_usd": None,
            "over_by_usd": 0.0,
            "probability_exceeded": None,
            "expected_on": None,
        }
        assert "$5.00 a month" in shown(capsys, "forecast", "--budget", "5")
        moment = datetime.now(UTC) - timedelta(days=3)
        ledger.append(
            [
                CostRecorded(
                    id=event_id(),
                    at=moment,
                    call="call-one",
                    provider="acme",
                    model="one",
                    operation="generation",
                    outcome="ok",
                    cost_nanousd=1,
                )
            ]
        )
        reply = document(capsys, "forecast")
        assert reply["periods"][0]["low_usd"] is None
        assert reply["history_days"] in (2, 3)

    @pytest.mark.parametrize(
        "arguments", [("--days", "0"), ("--level", "100"), ("--budget", "0"), ("--as-of", "soon")]
    )
    def test_what_can_t_be_forecast_is_wrong_usage(
        self, house: object, arguments: tuple[str, ...]
    ) -> None:
        assert run(["cost", "forecast", *arguments]) == 64
