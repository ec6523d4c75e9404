"""`persona quality` against a real daemon."""

import json
from datetime import timedelta
from typing import Any

import pytest
from persona.client import Ledger
from persona.identity import event_id, now
from persona.program import run

from personad.contract.quality import QualityScored


def a_score(**fields: Any) -> QualityScored:
    """Of a persona that acme's model one made."""
    usual = {"provider": "acme", "model": "one", "scorer": "builtin/1"}
    return QualityScored(id=event_id(), **(usual | fields))


@pytest.fixture
def scored(ledger: Ledger) -> Ledger:
    """Twelve days on which faithfulness rises, and completeness stays."""
    ledger.append(
        [
            a_score(
                at=now() - timedelta(days=day),
                persona=f"persona-{day}-{number}",
                experiment="tone",
                scores={"faithfulness": 0.9 - day * 0.03, "completeness": 0.75},
                composite=0.8 - day * 0.01,
            )
            for day in range(12)
            for number in range(3)
        ]
    )
    return ledger


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert run(["quality", *arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("scored")
class TestTrends:
    def test_a_chart_and_a_row_a_metric_with_its_trend(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["quality", "trends", "--days", "12"]) == 0
        shown = capsys.readouterr().out
        assert "faithfulness by day\n" in shown
        (line,) = [line for line in shown.splitlines() if line.startswith("faithfulness  ")]
        assert line.endswith("↑ +44.9 %")
        (flat,) = [line for line in shown.splitlines() if line.startswith("completeness  ")]
        assert flat.endswith("→ +0.0 % (not significant)")
        assert run(["quality", "trends", "--no-plot", "--metric", "composite"]) == 0
        assert "by day" not in capsys.readouterr().out

    def test_where_there_are_no_percentiles_it_is_said(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["quality", "trends", "--no-plot"]) == 0
        assert "percentiles are kept" not in capsys.readouterr().out
        assert run(["quality", "trends", "--no-plot", "--experiment", "tone"]) == 0
        assert "percentiles are kept by provider and model" in capsys.readouterr().out

    def test_json_holds_averages_percentiles_and_days(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = {row["metric"]: row for row in told(capsys, "trends", "--days", "12")["metrics"]}
        faithfulness = rows["faithfulness"]
        assert (faithfulness["n"], faithfulness["current"]) == (36, 0.9)
        assert faithfulness["significant"]
        assert faithfulness["avg_7d"] == pytest.approx(0.81)
        assert len(faithfulness["series"]) == 12
        assert rows["completeness"]["trend_percent"] == 0

    def test_one_screen_has_metrics_goals_and_the_accepted_share(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(["quality", "goals", "set", "--metric", "composite", "--target", "0.9"])
        capsys.readouterr()
        found = told(capsys, "summary", "--days", "12")
        assert [goal["metric"] for goal in found["goals"]] == ["composite"]
        assert (found["personas"], found["accepted_share"]) == (0, None)
        assert len(found["metrics"]) == 3
        assert run(["quality", "summary", "--days", "12"]) == 0
        shown = capsys.readouterr().out
        assert "faithfulness     0.90  ▁▂" in shown
        assert "accepted  – of 0 personas" in shown
        assert run(["quality", "summary", "--days", "12", "--format", "csv"]) == 0
        assert capsys.readouterr().out.startswith("Metric,Current,Days,Trend\r\nfaithfulness,0.9,")

    def test_an_experiment_is_told_day_by_day(self, capsys: pytest.CaptureFixture[str]) -> None:
        found = told(capsys, "history", "--experiment", "tone", "--days", "3")
        assert [row["n"] for row in found["rows"]] == [3, 3, 3]
        assert found["rows"][-1]["metrics"]["faithfulness"] == 0.9
        assert run(["quality", "history", "--experiment", "tone", "--days", "3"]) == 0
        head = capsys.readouterr().out.splitlines()[0].split()
        assert head == ["Date", "Faithfulness", "Completeness", "Composite", "n"]

    def test_all_is_no_experiment_but_every_one(
        self, scored: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        scored.append([a_score(at=now(), persona="p", scores={"faithfulness": 0.5}, composite=0.5)])
        (row,) = told(capsys, "history", "--experiment", "all", "--days", "1")["rows"]
        assert row["n"] == 4

    def test_days_of_another_scorer_stand_apart(
        self, scored: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        scored.append(
            [
                a_score(
                    at=now(),
                    persona="persona-0-0",
                    experiment="tone",
                    scores={"faithfulness": 0.2},
                    composite=0.2,
                    scorer="builtin/2",
                )
            ]
        )
        rows = told(capsys, "history", "--experiment", "tone", "--days", "1")["rows"]
        assert [(row["scorer"], row["n"], row["metrics"]["faithfulness"]) for row in rows] == [
            ("builtin/1", 3, 0.9),
            ("builtin/2", 1, 0.2),
        ]
        assert run(["quality", "history", "--experiment", "tone", "--days", "1"]) == 0
        shown = capsys.readouterr().out
        assert shown.splitlines()[0].split()[:2] == ["Date", "Scorer"]
        today = str(now().date())
        assert (
            f"the scorer changed: builtin/1 from {today} to {today}, builtin/2 from {today} to "
            f"{today}; their figures stand apart, and don't compare"
        ) in shown
        assert run(["quality", "check", "--min", "faithfulness=0.1"]) == 0
        assert "scores by builtin/1 are left out" in capsys.readouterr().err

    def test_what_nobody_has_scored_is_named_with_the_nearest(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["quality", "trends", "--metric", "faith"]) == 64
        assert "did you mean faithfulness?" in capsys.readouterr().err
        assert run(["quality", "history", "--experiment", "ton"]) == 64
        assert "did you mean tone?" in capsys.readouterr().err


@pytest.mark.usefixtures("scored")
class TestCheck:
    @pytest.mark.parametrize(
        ("required", "status", "verdict"),
        [("composite=0.7", 0, "met"), ("composite=0.9", 2, "below"), ("coherence=0.1", 2, "below")],
    )
    def test_it_ends_by_what_is_required(
        self, capsys: pytest.CaptureFixture[str], required: str, status: int, verdict: str
    ) -> None:
        found = told(capsys, "check", "--days", "12", "--min", required, status=status)
        assert found["verdict"] == verdict

    def test_a_metric_without_scores_is_not_called_low(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["quality", "check", "--min", "coherence=0.1"]) == 2
        assert capsys.readouterr().out.splitlines()[1].split() == [
            *("coherence", "–", "0.10", "a", "--min", "no", "scores"),
        ]

    def test_where_nothing_is_required_there_is_nothing_to_check(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = told(capsys, "check", "--days", "12", status=1)
        assert found == {"checks": [], "verdict": "nothing to check"}
        assert run(["quality", "check"]) == 1
        assert "nothing is required: --min composite=0.8" in capsys.readouterr().err
        assert run(["quality", "check", "--allow-empty"]) == 0

    def test_what_is_a_little_below_does_not_look_the_same(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["quality", "check", "--days", "12", "--min", "completeness=0.7504"]) == 2
        assert "completeness  0.7500    0.7504  a --min  below" in capsys.readouterr().out

    def test_a_metric_that_nobody_knows_is_wrong_usage(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["quality", "check", "--min", "compsite=0.9"]) == 64
        assert "did you mean composite?" in capsys.readouterr().err

    @pytest.mark.parametrize("bad", ["composite", "composite=2", "=0.5", "composite=nan"])
    def test_what_is_no_requirement_is_wrong_usage(
        self, capsys: pytest.CaptureFixture[str], bad: str
    ) -> None:
        assert run(["quality", "check", "--min", bad]) == 64
        assert "METRIC=X" in capsys.readouterr().err


class TestGoals:
    def test_a_metric_that_nobody_knows_is_named_with_the_nearest(
        self, scored: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["quality", "goals", "set", "--metric", "compsite", "--target", "0.9"]) == 64
        assert "did you mean composite?" in capsys.readouterr().err

    def test_a_goal_is_judged_by_the_present_trend_until_it_is_cleared(
        self, scored: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for metric, target in (
            ("composite", "0.9"),
            ("completeness", "0.7"),
            ("authenticity", "0.5"),
        ):
            assert run(["quality", "goals", "set", "--metric", metric, "--target", target]) == 0
        capsys.readouterr()
        goals = {row["metric"]: row for row in told(capsys, "goals", "list")["goals"]}
        assert goals["completeness"]["status"] == "achieved"
        assert goals["completeness"]["progress"] == 1
        composite = goals["composite"]
        assert (composite["status"], composite["current"]) == ("in progress", pytest.approx(0.77))
        # It rises by 0.01 a day, and 0.13 are missing.
        expected = (now() + timedelta(days=13)).date()
        assert composite["expected_on"] == str(expected)
        other = goals["authenticity"]
        assert (other["current"], other["status"]) == (None, "in progress")
        assert run(["quality", "goals", "clear", "--metric", "authenticity"]) == 0
        assert run(["quality", "goals", "clear", "--metric", "authenticity"]) == 64
        assert "no goal for authenticity is set; there is completeness" in capsys.readouterr().err

    def test_what_falls_is_slipping(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ledger.append(
            [
                a_score(
                    at=now() - timedelta(days=day),
                    persona=f"p-{day}",
                    scores={},
                    composite=0.5 + day * 0.02,
                )
                for day in range(10)
            ]
        )
        run(["quality", "goals", "set", "--metric", "composite", "--target", "0.9"])
        assert "slipping" in capsys.readouterr().out

    @pytest.mark.parametrize("target", ["0", "1.1", "nan", "x"])
    def test_what_is_no_score_is_wrong_usage(
        self, house: Any, capsys: pytest.CaptureFixture[str], target: str
    ) -> None:
        assert run(["quality", "goals", "set", "--metric", "composite", "--target", target]) == 64


def test_an_empty_ledger_is_no_error_but_for_a_gate(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["quality", "trends"]) == 0
    assert "no scores in this range" in capsys.readouterr().err
    assert run(["quality", "goals", "list"]) == 0
    assert run(["quality", "check", "--min", "composite=0.5"]) == 1
    assert run(["quality", "check", "--min", "composite=0.5", "--allow-empty"]) == 0
    assert run(["quality", "check", "--allow-empty"]) == 0


class TestProviders:
    def test_a_row_a_provider_and_what_its_accepted_personas_cost(
        self, scored: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (row,) = told(capsys, "providers", "--days", "12")["rows"]
        assert (row["provider"], row["model"], row["n"]) == ("acme", None, 36)
        assert row["metrics"]["composite"]["mean"] == pytest.approx(0.745)
        assert row["cost_per_accepted_persona_usd"] is None
        (row,) = told(capsys, "providers", "--by", "model", "--metric", "composite")["rows"]
        assert (row["model"], list(row["metrics"])) == ("one", ["composite"])

    def test_a_table_ends_with_what_its_stars_rest_on(
        self, scored: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        scored.append(
            [
                a_score(
                    at=now(),
                    persona=f"p-{number}",
                    provider="other",
                    model="two",
                    scores={"faithfulness": 0.5},
                    composite=0.5,
                )
                for number in range(6)
            ]
        )
        assert run(["quality", "providers"]) == 0
        shown = capsys.readouterr().out
        head = shown.splitlines()[0].split()
        assert head[:3] == ["Provider", "n", "Faithfulness"]
        assert "★" not in shown
        assert "`persona generate --compare` makes some" in shown
