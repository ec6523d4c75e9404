"""`persona cost alerts` and `persona quality alerts` against a real daemon."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from persona.client import Ledger
from persona.identity import event_id, now
from persona.program import run

from personad.contract.alerts import MAX_ALERTS
from personad.contract.cost import CostRecorded
from personad.contract.quality import QualityScored

SHOWN = "alert (warn): the daily budget has passed 80 %: $0.90 of $1.00 are used\n"


def spend(ledger: Ledger, usd: float, **more: Any) -> None:
    bill = {"provider": "acme", "model": "one", "operation": "generation", "outcome": "ok"}
    fields: dict[str, Any] = bill | {"cost_nanousd": round(usd * 10**9)} | more
    name = str(event_id())
    ledger.append([CostRecorded(id=event_id(), at=now(), call=f"call-{name}", **fields)])


def score(
    ledger: Ledger, *composites: float, metric: str = "coherence", model: str = "one"
) -> None:
    ledger.append(
        [
            QualityScored(
                id=event_id(),
                at=now() - timedelta(seconds=1),
                persona=f"p-{model}-{place}",
                provider="acme",
                model=model,
                scores={metric: composite},
                composite=composite,
                scorer="builtin/1",
            )
            for place, composite in enumerate(composites)
        ]
    )


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert run([*arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def spent(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> Ledger:
    """A daily budget of a dollar, of which 90 cents are gone."""
    assert run(["cost", "budget", "set", "--daily", "1"]) == 0
    spend(ledger, 0.9)
    capsys.readouterr()
    return ledger


class TestNextCommand:
    def test_says_once_what_was_raised(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["cost", "history", "--json"]) == 0
        said = capsys.readouterr()
        assert said.err == SHOWN + "  see `persona cost alerts list`\n"
        assert json.loads(said.out)["total"]["cost_usd"] == 0.9
        assert run(["cost", "history", "--json"]) == 0
        assert capsys.readouterr().err == ""

    def test_says_nothing_where_it_is_to_be_quiet_and_leaves_it_for_another(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["cost", "history", "--json", "-q"]) == 0
        assert capsys.readouterr().err == ""
        assert run(["cost"]) == 0
        out, err = capsys.readouterr()
        assert SHOWN in err
        assert " at most $0.90 a day\n" in out

    def test_of_thresholds_that_were_passed_together_only_the_highest_is_said(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spend(spent, 5)
        run(["cost"])
        said = capsys.readouterr().err
        assert said.count("alert (") == 1
        assert "the daily budget has passed 100 %: $5.90 of $1.00 are used" in said

    def test_of_many_the_newest_are_said_and_the_others_counted(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for number in range(12):
            run(["cost", "budget", "set", "--experiment", f"e{number}", "--limit", "1", "-q"])
            spend(ledger, 1, experiment=f"e{number}")
        capsys.readouterr()
        run(["cost"])
        said = capsys.readouterr().err
        assert said.count("alert (") == 10
        assert "experiment e11 " in said
        assert "  and 2 older alerts\n" in said

    def test_a_list_has_said_it(self, spent: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["cost", "alerts", "list"]) == 0
        assert "alert (" not in capsys.readouterr().err
        run(["cost"])
        assert "alert (" not in capsys.readouterr().err

    def test_a_name_from_elsewhere_can_t_paint_the_terminal(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = "\x1b[31mred"
        run(["cost", "budget", "set", "--experiment", name, "--limit", "1"])
        spend(ledger, 1, experiment=name)
        capsys.readouterr()
        run(["cost"])
        said = capsys.readouterr().err
        assert "the budget of experiment" in said
        assert "\x1b" not in said


class TestCostAlerts:
    def test_the_list_has_a_row_an_alert_the_newest_first(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = told(capsys, "cost", "alerts", "list")
        assert (found["enabled"], found["enabled_by"], found["webhook"]) == (True, "command", False)
        newest, first = found["alerts"]
        assert (newest["scope"], newest["percent"], newest["level"]) == ("daily", 80, "warn")
        assert (first["percent"], first["level"], first["acknowledged"]) == (50, "log", False)
        assert (first["spent_usd"], first["limit_usd"]) == (0.9, 1)
        assert {"id", "at", "scope", "percent", "level", "message", "acknowledged"} <= set(first)
        assert run(["cost", "alerts", "list"]) == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.split() == ["When", "Scope", "Level", "Message", "ID"]
        assert newest["id"] in rows[0]
        assert rows[-1] == "alerts  on, by a command"

    def test_csv_has_the_same(self, spent: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["cost", "alerts", "list", "--format", "csv"]) == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert [row["Level"] for row in rows] == ["warn", "log"]

    def test_one_is_acknowledged_by_its_beginning_last_or_all(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        *_, first = told(capsys, "cost", "alerts", "list")["alerts"]
        assert run(["cost", "alerts", "ack", first["id"][:-1]]) == 0
        capsys.readouterr()
        seen = told(capsys, "cost", "alerts", "ack", "last")["alerts"]
        assert [each["acknowledged"] for each in seen] == [True, True]
        assert run(["cost", "alerts", "ack", "--all"]) == 0
        said = capsys.readouterr()
        assert "nothing was left to acknowledge" in said.err
        assert "warn (seen)" in said.out

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["nobody"], "there is no alert 'nobody'"),
            (["alert-"], "several alerts begin with 'alert-'"),
            ([], "say which: an ID, or --all"),
            (["last", "--all"], "say which: an ID, or --all"),
        ],
    )
    def test_one_that_there_is_not_is_wrong_usage(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str], words: list[str], said: str
    ) -> None:
        assert run(["cost", "alerts", "ack", *words]) == 64
        assert said in capsys.readouterr().err

    def test_they_are_switched_off_and_on(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert not told(capsys, "cost", "alerts", "list")["enabled"]
        assert told(capsys, "cost", "alerts", "enable")["enabled"]
        assert not told(capsys, "cost", "alerts", "disable")["enabled"]
        assert run(["cost", "alerts", "list"]) == 0
        said = capsys.readouterr()
        assert "off, by a command; `persona cost alerts enable` switches them on" in said.out
        assert "no budget was used up to a threshold" in said.err
        run(["cost", "budget", "set", "--daily", "1"])
        capsys.readouterr()
        assert told(capsys, "cost", "alerts", "list")["enabled"]

    def test_a_budget_s_thresholds_are_those_of_the_configuration(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PERSONA_COST_ALERTS_THRESHOLDS", "10,20")
        (budget,) = told(capsys, "cost", "budget", "set", "--daily", "1")["budgets"]
        assert budget["thresholds"] == [10, 20]

    @pytest.mark.parametrize("at", ["80,50", "50,50", "0,80", "nan", "-5", "", "1001"])
    def test_thresholds_out_of_order_or_reach_are_wrong_usage(
        self, house: Any, capsys: pytest.CaptureFixture[str], at: str
    ) -> None:
        assert run(["cost", "budget", "set", "--daily", "1", "--at", at]) == 64


class TestQualityAlerts:
    def test_a_rule_is_set_and_what_is_below_it_is_listed(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rule = ["quality", "alerts", "set", "--metric", "coherence", "--threshold", "0.8"]
        found = told(capsys, *rule)
        assert found["enabled"]
        assert not found["drift"]
        rules = {each["metric"]: each for each in found["rules"]}
        assert (rules["coherence"]["threshold"], rules["coherence"]["enabled"]) == (0.8, True)
        assert not rules["composite"]["enabled"]
        score(ledger, 0.7, 0.7, 0.7)
        assert run(["cost"]) == 0
        said = capsys.readouterr().err
        assert "alert (warn): coherence of acme/one is 0.70, below 0.8\n" in said
        assert "  see `persona quality alerts list`\n" in said
        (alert,) = told(capsys, "quality", "alerts", "list")["alerts"]
        assert (alert["metric"], alert["value"], alert["threshold"]) == ("coherence", 0.7, 0.8)
        assert (alert["where"], alert["cause"]) == ("acme/one", "threshold")
        assert run(["quality", "alerts", "list"]) == 0
        lines = capsys.readouterr().out.splitlines()
        columns = ["When", "Metric", "Value", "Threshold", "Where", "Cause", "ID"]
        assert lines[0].split() == columns
        assert lines[-2].split() == ["alerts", "on,", "by", "a", "command"]
        (row,) = told(capsys, "quality", "alerts", "ack", "last")["alerts"]
        assert row["acknowledged"]

    def test_all_are_enabled_and_one_is_disabled(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = told(capsys, "quality", "alerts", "enable")
        assert found["enabled"]
        assert found["drift"]
        assert all(rule["enabled"] for rule in found["rules"])
        found = told(capsys, "quality", "alerts", "disable", "--metric", "composite")
        off = [rule["metric"] for rule in found["rules"] if not rule["enabled"]]
        assert off == ["composite"]
        assert not told(capsys, "quality", "alerts", "disable")["enabled"]

    def test_a_metric_of_the_ledger_s_own_may_have_a_rule(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        score(ledger, 0.7, metric="warmth")
        rule = ["quality", "alerts", "set", "--metric", "warmth", "--threshold", "0.8"]
        assert "warmth" in [each["metric"] for each in told(capsys, *rule)["rules"]]

    def test_a_metric_that_nobody_knows_is_named_with_the_nearest(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rule = ["quality", "alerts", "set", "--metric", "coherense", "--threshold", "0.8"]
        assert run(rule) == 64
        assert "did you mean coherence?" in capsys.readouterr().err
        assert run(["quality", "alerts", "disable", "--metric", "coherense"]) == 64
        assert "did you mean coherence?" in capsys.readouterr().err
        assert run(["quality", "alerts", "enable", "--metric", "authenticity"]) == 64
        assert "alerts set --metric authenticity" in capsys.readouterr().err

    @pytest.mark.parametrize("least", ["0", "nan", "inf", "1.01", "-0.5", "x", ""])
    def test_what_is_no_threshold_is_wrong_usage(
        self, house: Any, capsys: pytest.CaptureFixture[str], least: str
    ) -> None:
        rule = ["quality", "alerts", "set", "--metric", "composite", "--threshold", least]
        assert run(rule) == 64
        assert "no score above 0, up to 1" in capsys.readouterr().err

    def test_one_that_there_is_not_is_not_acknowledged(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["quality", "alerts", "ack", "alert-x"]) == 64
        assert "there is no alert 'alert-x'" in capsys.readouterr().err


class TestCheckAndSummary:
    def test_a_check_holds_goals_and_the_thresholds_of_alerts_that_are_on(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        score(ledger, 0.7, 0.7, 0.7)
        assert run(["quality", "goals", "set", "--metric", "composite", "--target", "0.9"]) == 0
        capsys.readouterr()
        found = told(capsys, "quality", "check", status=1)
        assert (found["verdict"], found["checks"][0]["by"]) == ("below a goal", "goal")
        assert run(["quality", "check", "--min", "composite=0.7"]) == 1
        rule = ["quality", "alerts", "set", "--metric", "coherence", "--threshold"]
        run([*rule, "0.6"])
        run([*rule[:4], "authenticity", "--threshold", "0.6"])
        assert run(["quality", "check"]) == 1
        run([*rule, "0.8"])
        capsys.readouterr()
        found = told(capsys, "quality", "check", status=2)
        by = {(each["metric"], each["by"]): each["ok"] for each in found["checks"]}
        assert by == {("composite", "goal"): False, ("coherence", "alert"): False}

    def test_the_summary_has_what_nobody_has_acknowledged(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(["quality", "alerts", "set", "--metric", "composite", "--threshold", "0.8"])
        score(ledger, 0.7, 0.7, 0.7)
        capsys.readouterr()
        (alert,) = told(capsys, "quality", "summary")["alerts"]
        assert alert["metric"] == "composite"
        assert run(["quality", "summary"]) == 0
        assert alert["id"] in capsys.readouterr().out
        run(["quality", "alerts", "ack", "--all"])
        capsys.readouterr()
        assert told(capsys, "quality", "summary")["alerts"] == []

    def test_the_summary_stays_on_one_screen(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(["quality", "alerts", "set", "--metric", "composite", "--threshold", "0.8"])
        for number in range(7):
            score(ledger, 0.7, 0.7, 0.7, model=f"m{number}")
        capsys.readouterr()
        assert len(told(capsys, "quality", "summary")["alerts"]) == 7
        assert run(["quality", "summary"]) == 0
        out = capsys.readouterr().out
        assert out.count("acme/m") == 5
        assert out.endswith("and  2 more; `persona quality alerts list` shows all\n")

    def test_the_summary_has_an_old_one_that_many_came_after(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(["quality", "alerts", "set", "--metric", "composite", "--threshold", "0.8"])
        for number in range(102):
            score(ledger, 0.7, 0.7, 0.7, model=f"m{number}")
        capsys.readouterr()
        raised = told(capsys, "quality", "alerts", "list", "--limit", "200")["alerts"]
        assert len(raised) == 102
        run(["quality", "alerts", "ack", *(each["id"] for each in raised[:-1])])
        capsys.readouterr()
        (left,) = told(capsys, "quality", "summary")["alerts"]
        assert left["where"] == "acme/m0"


@pytest.mark.parametrize("kind", ["cost", "quality"])
def test_more_alerts_than_an_answer_takes_are_no_reason_to_read_a_schema(
    ledger: Ledger, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    told(capsys, kind, "alerts", "list", "-L", str(MAX_ALERTS))
    assert run([kind, "alerts", "list", "-L", str(MAX_ALERTS + 1)]) == 64
    assert f"1<=x<={MAX_ALERTS}" in capsys.readouterr().err
