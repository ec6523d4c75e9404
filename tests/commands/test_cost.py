"""`persona cost` against a real daemon."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from persona.client import Ledger
from persona.identity import event_id
from persona.program import run

from personad.contract.admin import Retention
from personad.contract.budget import Prices, PriceSet
from personad.contract.cost import CostRecorded
from personad.contract.events import AnyEvent

from .conftest import NOON, made, started

HISTORY = """\
Date                     Cost  Calls  Personas  Tokens in  Tokens out
2026-11-21  $0.012 + unpriced      3         0      3,000         600
2026-11-22  $0.009 + unpriced      3         0      3,000         300
2026-11-23            $0.0084      2         2      2,000         400

Total          $0.0294 + unpriced
Daily average  $0.0098 + unpriced
Personas       2, 2 accepted
Cost/persona   $0.0147 + unpriced
Cost/accepted  $0.0147 + unpriced
Coverage       6 calls priced, 2 UNPRICED (2,300 tokens)
"""
SPAN = ("--since", "2026-11-21", "--until", "2026-11-23", "--timezone", "UTC")


def unpriced(at: datetime, **more: Any) -> CostRecorded:
    """A call of a model that nobody knows the price of."""
    fields: dict[str, Any] = {"provider": "acme", "model": "mystery", "operation": "generation"}
    fields |= {"outcome": "ok", "input_tokens": 10} | more
    return CostRecorded(id=event_id(), at=at, call="call-unpriced", **fields)


@pytest.fixture
def spent(ledger: Ledger) -> Ledger:
    """Three days: a batch, calls of two models, one of them without a price."""
    price = Prices(input_nanousd=3_000_000_000, output_nanousd=15_000_000_000)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    events: list[AnyEvent] = [
        PriceSet(
            id=event_id(), at=NOON, provider="acme", model="big", prices=price, effective_from=begin
        ),
        *started(),
        *made(index=1),
        *made(index=2, name="Bo"),
    ]
    for day in range(2):
        for number, model in enumerate(("big", "big", "mystery")):
            events.append(
                CostRecorded(
                    id=event_id(),
                    at=NOON - timedelta(days=day + 1),
                    call=f"call-{day}-{number}",
                    provider="acme",
                    model=model,
                    operation="generation",
                    outcome="ok",
                    experiment="tone",
                    input_tokens=1_000,
                    output_tokens=100 * (day + 1),
                )
            )
    ledger.append(events)
    return ledger


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert run(["cost", *arguments]) == status
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(shown(capsys, *arguments, "--json"))


@pytest.mark.usefixtures("spent")
class TestHistory:
    def test_a_chart_the_days_the_totals_and_the_coverage(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert shown(capsys, "history", *SPAN, "--no-plot") == HISTORY
        plotted = shown(capsys, "history", *SPAN)
        assert plotted.startswith("Cost by day (UTC)\n")
        assert "█" in plotted
        assert "Coverage       6 calls priced, 2 UNPRICED (2,300 tokens)" in plotted

    def test_rows_sum_to_the_total_by_any_interval(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        whole = {
            by: document(capsys, "history", *SPAN, "--by", by)
            for by in ("hour", "day", "week", "month")
        }
        totals = {by: reply["total"]["cost_usd"] for by, reply in whole.items()}
        assert set(totals.values()) == {0.0294}
        for reply in whole.values():
            assert round(sum(row["cost_usd"] for row in reply["rows"]), 9) == 0.0294
        assert [row["start"] for row in whole["day"]["rows"]] == [
            "2026-11-21",
            "2026-11-22",
            "2026-11-23",
        ]
        assert whole["day"]["total"]["cost_per_accepted_persona_usd"] == 0.0147

    def test_hours_are_of_the_zone_that_was_asked_for(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked = ("--since", "2026-11-22", "--until", "2026-11-22", "--timezone", "Asia/Kathmandu")
        hourly = ("history", *asked, "--by", "hour", "--no-plot")
        lines = shown(capsys, *hourly).splitlines()
        assert lines[1].startswith("2026-11-22 00:00  ")
        assert lines[18].startswith("2026-11-22 17:00  $0.009 + unpriced")
        rows = list(csv.DictReader(io.StringIO(shown(capsys, *hourly, "--format", "csv"))))
        assert rows[0]["Hour"] == "2026-11-21T18:15:00Z"
        assert "2026-11-22 17:00  $0.009" in shown(capsys, "breakdown", *asked, "--by", "hour")

    def test_times_between_quarter_hours_are_said_to_count_whole_ones(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for until, is_said in (("12:07", True), ("12:15:01", True), ("12:15", False)):
            asked = ("--since", "2026-11-22T12:00", "--until", f"2026-11-22T{until}")
            assert run(["cost", "history", *asked, "--timezone", "UTC", "--json"]) == 0
            out, err = capsys.readouterr()
            assert json.loads(out)["total"]["calls"] == 3
            assert ("quarter-hours" in err) == is_said

    def test_an_hour_that_a_clock_shows_twice_is_told_from_the_other(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spent.append([unpriced(datetime(2026, 11, 1, 6, 30, tzinfo=UTC))])
        day = ("--since", "2026-11-01", "--until", "2026-11-01", "--timezone", "America/New_York")
        lines = shown(capsys, "history", *day, "--by", "hour", "--no-plot").splitlines()
        assert lines[2].startswith("2026-11-01 01:00 EDT     $0.00")
        assert lines[3].startswith("2026-11-01 01:00 EST  unpriced")

    def test_csv_and_markdown_hold_the_same_rows(self, capsys: pytest.CaptureFixture[str]) -> None:
        rows = list(csv.DictReader(io.StringIO(shown(capsys, "history", *SPAN, "--format", "csv"))))
        assert [row["Cost"] for row in rows] == ["0.012", "0.009", "0.0084"]
        markdown = shown(capsys, "history", *SPAN, "--format", "markdown")
        assert "| Date | Cost |" in markdown
        assert "```text\nCost by day" in markdown

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--provider", "acmee"), "did you mean acme?"),
            (("--experiment", "ton"), "did you mean tone?"),
            (("--days", "0"), "--days"),
            (("--days", "3", "--month", "this"), "exclude each other"),
            (("--since", "2026-11-23", "--until", "2026-11-21"), "since"),
            (("--timezone", "Mars/Olympus"), "there is no time zone 'Mars/Olympus'"),
            (("--month", "2026-13"), "2026-13"),
            (("--month", ""), "'--month': it is empty"),
            (("--timezone", " "), "'--timezone': it is empty"),
            (("--model", ""), "'--model': it is empty"),
        ],
    )
    def test_what_can_t_be_asked_is_wrong_usage_with_the_nearest_that_can(
        self, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
    ) -> None:
        assert run(["cost", "history", *arguments]) == 64
        assert said in capsys.readouterr().err

    def test_all_is_no_filter(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert document(capsys, "history", *SPAN, "--provider", "all") == document(
            capsys, "history", *SPAN
        )


@pytest.mark.usefixtures("spent")
class TestBreakdown:
    def test_by_model_the_dearest_first_and_what_has_no_price_is_not_nothing(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = shown(capsys, "breakdown", "--by", "model", *SPAN).splitlines()
        assert lines[0].split() == ["Model", "Cost", "Share", "Calls", "Personas", "$/Persona"]
        assert [line.split()[0] for line in lines[1:4]] == ["big", "local-1", "mystery"]
        assert "unpriced" in lines[3]
        assert "$0.00" not in lines[3]
        assert "Cost/accepted  $0.0147 + unpriced" in lines

    def test_a_part_without_a_price_is_said_of_what_a_persona_costs(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spent.append([unpriced(NOON, experiment="first")])
        lines = shown(capsys, "breakdown", "--by", "experiment", *SPAN).splitlines()
        (row,) = [line for line in lines if line.startswith("first")]
        assert row.endswith("$0.0042 + unpriced")

    @pytest.mark.parametrize(
        "by", ["provider", "experiment", "batch", "operation", "outcome", "day"]
    )
    def test_rows_sum_to_the_total(self, capsys: pytest.CaptureFixture[str], by: str) -> None:
        reply = document(capsys, "breakdown", "--by", by, *SPAN)
        assert round(sum(row["cost_usd"] for row in reply["rows"]), 9) == 0.0294
        assert reply["total"]["cost_usd"] == 0.0294

    def test_what_programs_read_has_every_row_and_a_table_the_dearest(
        self, spent: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fields = {"provider": "acme", "operation": "generation", "outcome": "ok", "at": NOON}
        spent.append(
            [
                CostRecorded(
                    id=event_id(),
                    call=f"call-many-{number}",
                    model=f"m{number}",
                    cost_nanousd=number + 1,
                    **fields,  # type: ignore[arg-type]
                )
                for number in range(101)
            ]
        )
        reply = document(capsys, "breakdown", "--by", "model", *SPAN)
        assert (len(reply["rows"]), reply["rest"]) == (104, None)
        assert "(4 more)" in shown(capsys, "breakdown", "--by", "model", *SPAN)

    def test_what_is_over_the_limit_is_one_row(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "(2 more)" in shown(capsys, "breakdown", "--by", "model", *SPAN, "-L", "1")


@pytest.mark.usefixtures("spent")
class TestCalls:
    def test_the_dearest_are_listed_and_each_is_explained(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["cost", "calls", *SPAN, "--top", "2"]) == 0
        out, err = capsys.readouterr()
        assert "acme/big" in out
        assert "price.set" in out
        assert "there are more than 2" in err
        (first, _) = document(capsys, "calls", *SPAN, "--top", "2")["calls"]
        assert document(capsys, "calls", *SPAN, "-L", "1")["calls"] == [first]
        bill = document(capsys, "explain", first["call"])
        (call,) = bill["calls"]
        assert sum(line["cost_usd"] for line in call["lines"]) == pytest.approx(call["cost_usd"])
        assert call["price"]["source"] == "price.set"
        told = shown(capsys, "explain", first["call"])
        assert "Prices of acme/big  price.set since 2026-01-01" in told
        assert "input    1,000        $3.00  $0.003" in told

    def test_those_that_retention_has_dropped_are_told(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ledger.append([unpriced(datetime(2020, 1, 1, 12, tzinfo=UTC))])
        ledger.ask(Retention())
        assert run(["cost", "calls", "--since", "2020-01-01", "--until", "2020-01-02"]) == 0
        assert "1 call of this range are not among them" in capsys.readouterr().err

    def test_unpriced_calls_are_found(self, capsys: pytest.CaptureFixture[str]) -> None:
        found = document(capsys, "calls", *SPAN, "--unpriced")["calls"]
        assert {call["model"] for call in found} == {"mystery"}
        assert {call["cost_usd"] for call in found} == {None}
        assert run(["cost", "calls", "--unpriced", "--unknown"]) == 64

    def test_when_a_call_was_is_told_in_the_zone_whose_days_were_asked_for(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked = ("calls", *SPAN[:4], "--timezone", "Asia/Tokyo")
        assert "2026-11-22 21:00:00  call-0-0" in shown(capsys, *asked)
        assert "2026-11-22T12:00:00Z,call-0-0" in shown(capsys, *asked, "--format", "csv")

    def test_a_call_without_a_price_is_explained_by_its_tokens_and_not_as_free(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = shown(capsys, "explain", "call-0-2").splitlines()
        assert [line.split() for line in lines[1:]] == [
            ["call-0-2", "unpriced", "–", "–", "–"],
            ["input", "1,000", "–", "–"],
            ["output", "100", "–", "–"],
            [],
            ["Sum", "unpriced"],
        ]
        rows = csv.reader(io.StringIO(shown(capsys, "explain", "call-0-2", "--format", "csv")))
        assert [row[:3] for row in rows][1:] == [
            ["call-0-2", "unpriced", ""],
            ["call-0-2", "input", "1000"],
            ["call-0-2", "output", "100"],
        ]

    def test_a_batch_is_explained_as_last(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert document(capsys, "explain", "last")["cost_usd"] == 0.0084
        assert "producer" in shown(capsys, "explain", "last")

    def test_what_is_nothing_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["cost", "explain", "nonsense"]) == 64
        assert "there is no call, persona or batch 'nonsense'" in capsys.readouterr().err


class TestOverview:
    def test_one_screen_says_where_costs_stand(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        now = datetime.now(UTC)
        ledger.append(
            [
                CostRecorded(
                    id=event_id(),
                    at=now,
                    call="call-now",
                    provider="acme",
                    model="one",
                    operation="generation",
                    outcome="ok",
                    cost_nanousd=1_250_000_000,
                )
            ]
        )
        run(["cost", "budget", "set", "--monthly", "10"])
        capsys.readouterr()
        screen = shown(capsys)
        assert "Today        $1.25" in screen
        assert "This month   $1.25" in screen
        assert "monthly  $10.00  $1.25" in screen
        told, limits = shown(capsys, "--format", "csv").split("\r\n\r\n")
        assert told.split("\r\n") == [
            "Period,Cost,Unpriced calls",
            "today,1.25,0",
            "week,1.25,0",
            "month,1.25,0",
        ]
        assert "\r\nmonthly,10,1.25," in limits
        reply = document(capsys)
        assert (reply["today_usd"], len(reply["last_days"])) == (1.25, 7)
        assert reply["budgets"][0]["scope"] == "monthly"

    def test_what_has_no_price_is_said_of_the_day_and_the_week_too(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ledger.append([unpriced(datetime.now(UTC))])
        lines = shown(capsys).splitlines()
        assert [line.split() for line in lines[:3]] == [
            ["Today", "unpriced"],
            ["This", "week", "unpriced"],
            ["This", "month", "unpriced"],
        ]
        reply = document(capsys)
        assert (reply["today_unpriced_calls"], reply["week_unpriced_calls"]) == (1, 1)

    def test_an_empty_ledger_is_no_error(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "Today        $0.00" in shown(capsys)
        assert run(["cost", "history"]) == 0
        assert "no calls in this range" in capsys.readouterr().err
        assert run(["cost", "breakdown", "--by", "model"]) == 0
        assert run(["cost", "calls"]) == 0
