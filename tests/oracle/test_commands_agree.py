"""What commands answer is what plain arithmetic finds in the raw events, in every time zone.

A hundred thousand events over two changes of the clocks, sent as any producer would.
"""

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from persona.program import run

from .arithmetic import (
    SUMS,
    TOKENS,
    between,
    cost_of,
    coverage,
    distinct,
    grouped,
    kept,
    label,
    mean,
    prices_of,
    quantile,
    scores_of,
    shared,
    std,
    trend,
    when,
)
from .conftest import SPAN, Ask, Oracle, nanousd_of
from .past import DAYS, FIRST, LAST, ZONES, Fact

# What they go through is looked at line by line elsewhere, and here a hundred thousand times.
pytestmark = pytest.mark.no_cover


def _sums(row: dict[str, Any], *left_out: str) -> dict[str, int]:
    return {name: row[name] for name in SUMS if name not in left_out}


def _filled(rows: dict[Any, dict[str, int]]) -> dict[Any, dict[str, int]]:
    return {key: row for key, row in rows.items() if any(row.values())}


@pytest.mark.parametrize("zone", ZONES)
def test_a_history_by_days_weeks_and_months(zone: str, ask: Ask, oracle: Oracle) -> None:
    facts = oracle.within(zone)
    for by in ("day", "week", "month"):
        reply = ask("cost", "history", *SPAN, "--timezone", zone, "--by", by)
        found = {row["start"]: _sums(row) for row in reply["rows"]}
        assert _filled(found) == facts.by(by, zone)
        if by == "day":
            assert list(found) == [str(FIRST + timedelta(days=day)) for day in range(DAYS)]
        total, sums = reply["total"], facts.sums()
        assert _sums(total) == sums
        assert reply["coverage"] == coverage(facts.calls)
        assert total["daily_average_usd"] == shared(sums["cost_usd"], DAYS)
        assert total["cost_per_persona_usd"] == shared(sums["cost_usd"], sums["personas"])
        accepted = shared(sums["cost_usd"], sums["accepted"])
        assert total["cost_per_accepted_persona_usd"] == accepted


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("UTC", date(2025, 3, 30)),
        ("Europe/Berlin", date(2025, 3, 30)),
        ("Europe/Berlin", date(2025, 10, 26)),
        ("America/New_York", date(2025, 3, 9)),
        ("America/New_York", date(2025, 11, 2)),
        ("Asia/Kathmandu", date(2025, 10, 26)),
    ],
)
def test_a_history_by_hours_where_a_clock_is_changed(
    zone: str, change: date, ask: Ask, oracle: Oracle
) -> None:
    days = [str(change - timedelta(days=1)), str(change + timedelta(days=1))]
    asked = ("--since", days[0], "--until", days[1], "--timezone", zone, "--by", "hour")
    reply = ask("cost", "history", *asked)
    facts = oracle.within(zone, *map(date.fromisoformat, days))
    assert _filled({row["start"]: _sums(row) for row in reply["rows"]}) == facts.by("hour", zone)
    hours = {"UTC": 72, "Asia/Kathmandu": 72}.get(zone, 71 if change.month < 6 else 73)
    assert len(reply["rows"]) == hours


DIMENSIONS = ("experiment", "batch", "outcome", "provider", "model", "operation", "month")
SOME_ZONES = ("Europe/Berlin", "Australia/Lord_Howe")
"""The ledger's own, whose days are added up, and one whose are not."""


@pytest.mark.parametrize("zone", ZONES)
def test_a_breakdown_by_whatever_calls_have(zone: str, ask: Ask, oracle: Oracle) -> None:
    facts = oracle.within(zone)
    whole = facts.sums()["cost_usd"]
    for by in DIMENSIONS if zone in SOME_ZONES else DIMENSIONS[:3]:
        reply = ask("cost", "breakdown", "--by", by, *SPAN, "--timezone", zone)
        # A persona has no operation and no outcome; a row tells no failed calls.
        left_out = {"failed_calls", *(("personas", "accepted") if by[0] == "o" else ())}
        expected = {
            key: {name: row[name] for name in row if name not in left_out}
            for key, row in facts.by(by, zone).items()
        }
        found = {row["key"]: _sums(row, *left_out) for row in reply["rows"]}
        assert found == expected
        assert sum(row["cost_usd"] for row in reply["rows"]) == reply["total"]["cost_usd"] == whole
        for row in reply["rows"]:
            assert float(row["share"]) == pytest.approx(row["cost_usd"] / whole)
            if by[0] != "o":
                each = shared(row["cost_usd"], row["personas"])
                assert row["cost_per_persona_usd"] == each


FILTERS: tuple[tuple[dict[str, list[str]], str], ...] = (
    ({"provider": ["acme", "delta"]}, "UTC"),
    ({"model": ["small"], "provider": ["beta"]}, "America/New_York"),
    ({"experiment": ["tone", "order"]}, "Asia/Kathmandu"),
    ({"experiment": ["length"], "model": ["big"]}, "Europe/Berlin"),
    ({"batch": ["batch-01", "batch-02"]}, "Australia/Lord_Howe"),
)


@pytest.mark.parametrize(("only", "zone"), FILTERS)
def test_what_a_filter_leaves_in(
    only: dict[str, list[str]], zone: str, ask: Ask, oracle: Oracle
) -> None:
    words = [word for name, some in only.items() for each in some for word in (f"--{name}", each)]
    facts = oracle.within(zone).of(**only)
    reply = ask("cost", "history", *SPAN, "--timezone", zone, *words)
    assert _filled({row["start"]: _sums(row) for row in reply["rows"]}) == facts.by("day", zone)
    assert _sums(reply["total"]) == facts.sums()
    assert reply["coverage"] == coverage(facts.calls)


CALL = ("call", "provider", "model", "operation", "outcome", "experiment", "estimated")


def _told(call: dict[str, Any]) -> tuple[Any, ...]:
    names = (*CALL, *TOKENS, "batch", "persona", "cost" if "cost" in call else "cost_usd")
    return tuple(call.get(name) for name in names)


@pytest.mark.parametrize(("only", "zone"), FILTERS)
def test_the_dearest_calls(only: dict[str, list[str]], zone: str, ask: Ask, oracle: Oracle) -> None:
    words = [word for name, some in only.items() for each in some for word in (f"--{name}", each)]
    facts = oracle.within(zone).of(**only)
    reply = ask("cost", "calls", *SPAN, "--timezone", zone, *words, "--top", "100")
    dearest = sorted(facts.calls, key=lambda each: -(each["cost"] or 0))[:100]
    assert [call["cost_usd"] or 0 for call in reply["calls"]] == [
        each["cost"] or 0 for each in dearest
    ]
    by_name = {each["call"]: each for each in facts.calls}
    for call in reply["calls"]:
        assert _told(call) == _told(by_name[call["call"]])
        assert when(call) == by_name[call["call"]]["when"]
    assert len({call["call"] for call in reply["calls"]}) == len(dearest)


def test_the_calls_that_nobody_can_price_and_those_without_an_answer(
    ask: Ask, oracle: Oracle
) -> None:
    facts = oracle.within("Australia/Lord_Howe", LAST - timedelta(days=9))
    span = ("--since", str(LAST - timedelta(days=9)), *SPAN[2:])
    asked = (*span, "--timezone", "Australia/Lord_Howe", "--top", "10000")
    unpriced = [each for each in facts.calls if each["cost"] is None]
    unknown = [each for each in facts.calls if each["outcome"] == "unknown"]
    for word, expected in (("--unpriced", unpriced), ("--unknown", unknown)):
        reply = ask("cost", "calls", *asked, word)
        assert expected
        assert sorted(map(_told, reply["calls"]), key=repr) == sorted(
            map(_told, expected), key=repr
        )


def test_how_a_call_came_to_its_cost(ask: Ask, oracle: Oracle) -> None:
    some = {(each["provider"], "cost_nanousd" in each): each for each in oracle.calls}
    assert len(some) > 5
    for each in some.values():
        reply = ask("cost", "explain", each["call"])
        (told,) = reply["calls"]
        assert _told(told) == _told(each)
        assert reply["cost_usd"] == (cost_of(each) or 0)
        prices = None if "cost_nanousd" in each else prices_of(each)
        if prices is None:
            assert not any(line["cost_usd"] for line in told["lines"])
            continue
        assert sum(line["cost_usd"] for line in told["lines"]) == each["cost"]
        assert sum(line["tokens"] for line in told["lines"]) == sum(each[k] for k in TOKENS)
        assert {line["price_per_million_usd"] for line in told["lines"]} <= set(prices.values())


def test_how_a_batch_came_to_its_cost(ask: Ask, oracle: Oracle) -> None:
    calls = kept(oracle.calls, batch=["batch-07"])
    reply = ask("cost", "explain", "batch-07")
    assert sorted(map(_told, reply["calls"]), key=repr) == sorted(map(_told, calls), key=repr)
    assert reply["cost_usd"] == sum(each["cost"] or 0 for each in calls)


@pytest.mark.parametrize("zone", ZONES)
def test_quality_over_time(zone: str, ask: Ask, oracle: Oracle) -> None:
    reply = ask("quality", "trends", *SPAN, "--timezone", zone)
    expected = scores_of(between(oracle.scored, zone, FIRST, LAST))
    assert {(each["metric"], each["scorer"]) for each in reply["metrics"]} == set(expected)
    for told in reply["metrics"]:
        scored = expected[told["metric"], told["scorer"]]
        scores = [score for _, score in scored]
        assert told["n"] == len(scores)
        assert float(told["mean"]) == pytest.approx(mean(scores), abs=1e-12)
        assert float(told["std"]) == pytest.approx(std(scores), abs=1e-12)
        for share in (10, 50, 90):
            assert float(told[f"p{share}"]) == pytest.approx(
                quantile(scores, share / 100), abs=0.0051
            )
        days: dict[str, list[float]] = {}
        name = label("day", zone)
        for at, score in scored:
            days.setdefault(name({"when": at}) or "", []).append(score)
        for day in told["series"]:
            assert (day["n"], day["mean"] is None) == _of_day(days.get(day["start"], []))
            if day["n"]:
                middle = mean(days[day["start"]])
                assert float(day["mean"]) == pytest.approx(middle, abs=1e-12)
        _check_windows(told, days)
        places = [
            (place, days[each["start"]]) for place, each in enumerate(told["series"]) if each["n"]
        ]
        change = trend(places)
        assert float(told["trend_percent"]) == pytest.approx(change, rel=1e-6, abs=1e-9)
        if abs(change) < 1:
            assert not told["significant"]


def _of_day(scores: list[float]) -> tuple[int, bool]:
    return len(scores), not scores


def _check_windows(told: dict[str, Any], days: dict[str, list[float]]) -> None:
    assert float(told["current"]) == pytest.approx(mean(days[max(days)]), abs=1e-12)
    for count in (7, 30, 90):
        begin = str(LAST - timedelta(days=count - 1))
        some = [score for day, scores in days.items() if day >= begin for score in scores]
        found = told[f"avg_{count}d"]
        assert (None if found is None else float(found)) == pytest.approx(mean(some), abs=1e-12)


@pytest.mark.parametrize("zone", ZONES)
def test_an_experiment_s_quality_day_by_day(zone: str, ask: Ask, oracle: Oracle) -> None:
    reply = ask("quality", "history", "--experiment", "order", *SPAN, "--timezone", zone)
    scored = kept(between(oracle.scored, zone, FIRST, LAST), experiment=["order"])
    days = grouped(scored, label("day", zone))
    assert [(row["start"], row["n"]) for row in reply["rows"]] == [
        (day, len(days[day])) for day in sorted(days)
    ]
    for row in reply["rows"]:
        for metric, found in row["metrics"].items():
            scores = [
                each["composite"] if metric == "composite" else each["scores"][metric]
                for each in days[row["start"]]
            ]
            assert float(found) == pytest.approx(mean(scores), abs=1e-12)


def test_providers_side_by_side(ask: Ask, oracle: Oracle) -> None:
    zone = "Australia/Lord_Howe"
    asked = (*SPAN, "--timezone", zone, "--experiment", "tone", "--by", "model")
    reply = ask("quality", "providers", *asked)
    scored = kept(between(oracle.scored, zone, FIRST, LAST), experiment=["tone"])
    facts = oracle.within(zone).of(experiment=["tone"])
    by_model = grouped(scored, lambda each: (each["provider"], each["model"]))
    assert {(row["provider"], row["model"]) for row in reply["rows"] if row["n"]} == set(by_model)
    for row in reply["rows"]:
        some = by_model[row["provider"], row["model"]]
        of_model = facts.of(provider=[row["provider"]], model=[row["model"]]).sums()
        assert row["n"] == len(some)
        assert (row["personas"], row["accepted"]) == (of_model["personas"], of_model["accepted"])
        assert row["cost_usd"] == of_model["cost_usd"]
        each = shared(of_model["cost_usd"], of_model["accepted"])
        assert row["cost_per_accepted_persona_usd"] == each
        for (metric, _), scores in scores_of(some).items():
            middle = mean([score for _, score in scores])
            assert float(row["metrics"][metric]["mean"]) == pytest.approx(middle, abs=1e-12)


@pytest.mark.parametrize("zone", ZONES)
def test_what_a_forecast_of_a_past_day_begins_with(zone: str, ask: Ask, oracle: Oracle) -> None:
    day = date(2025, 10, 26)
    asked = ("--as-of", str(day), "--timezone", zone, "--budget", "1000000")
    reply = ask("cost", "forecast", *asked)
    month = oracle.within(zone, day.replace(day=1), day)
    assert reply["budget"]["spent_usd"] == month.sums()["cost_usd"]
    first = min(label("day", zone)(each) or "" for each in oracle.calls)
    assert reply["history_days"] == (day - date.fromisoformat(first)).days
    # What is shown of a day that is over is no forecast, and is not held against anything.
    assert reply["record"]["forecasts"] == 0


def test_an_export_holds_every_cost_that_was_sent_and_what_counts_of_it(
    folder: Path, ask: Ask, past: list[Fact], oracle: Oracle, tmp_path: Path
) -> None:
    zone, file, first = "Asia/Kathmandu", tmp_path / "costs.jsonl", LAST - timedelta(days=14)
    asked = ["--since", str(first), *SPAN[2:], "--timezone", zone, "-o", str(file)]
    assert run(["cost", "export", "--format", "jsonl", *asked]) == 0
    rows = [
        json.loads(line, parse_float=Decimal, object_hook=nanousd_of)
        for line in file.read_text().splitlines()
    ]
    # A call that was billed twice has two rows, of which one counts.
    within = oracle.within(zone, first)
    assert sum(row["cost_usd"] or 0 for row in rows) == within.sums()["cost_usd"]
    counting = {row["call"]: row["cost_usd"] for row in rows if row["counts"]}
    assert counting == {each["call"]: each["cost"] for each in within.calls}
    assert len(counting) == sum(row["counts"] for row in rows) < len(rows)
    sent = [
        each | {"when": when(each), "cost": cost_of(each)}
        for each in distinct(past)
        if each["type"] == "cost.recorded"
    ]
    expected = between(sent, zone, first, LAST)
    told = [row | {"cost_usd": row["recorded_usd"]} for row in rows]
    assert sorted(map(_told, told), key=repr) == sorted(map(_told, expected), key=repr)
