"""`persona cost prices` against a real daemon."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from persona.client import Ledger
from persona.identity import event_id, now
from persona.program import run

from personad.contract.cost import CostRecorded
from personad.contract.prices import PriceList


def call(ledger: Ledger, provider: str, model: str) -> None:
    ledger.append(
        [
            CostRecorded(
                id=event_id(),
                at=now(),
                call=f"call-{event_id()}",
                provider=provider,
                model=model,
                operation="generation",
                outcome="ok",
                output_tokens=1,
            )
        ]
    )


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(["cost", "prices", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_models_that_were_used_are_shown_with_where_their_prices_come_from(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    call(ledger, "openai", "gpt-4o-mini")
    call(ledger, "openai", "my-own")
    call(ledger, "local", "local-1")

    assert run(["cost", "prices"]) == 0
    out, err = capsys.readouterr()

    assert out.splitlines()[0].split("  ")[0] == "Model"
    assert "openai/gpt-4o-mini  $0.15   $0.60" in out
    assert "nobody knows what openai/my-own costs: `persona cost prices set openai/my-own" in err
    rows = {row["model"]: row for row in told(capsys)["prices"]}
    assert rows["gpt-4o-mini"]["source"].startswith("genai-prices")
    assert rows["local-1"]["source"] == "free"
    assert (rows["my-own"]["source"], rows["my-own"]["input_usd"]) == (None, None)


def test_a_price_of_ones_own_stands_over_the_list_from_its_day_on(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    price = ("--input", "1.5", "--output", "6", "--cache-read", "0", "--from", "2026-01-01")
    assert run(["cost", "prices", "set", "openai/gpt-4o-mini", *price]) == 0
    assert "price.set  2026-01-01" in capsys.readouterr().out
    call(ledger, "openai", "gpt-4o-mini")
    (row,) = told(capsys)["prices"]
    assert (row["input_usd"], row["output_usd"], row["cache_read_usd"]) == (1.5, 6, 0)
    assert row["is_used"]
    (one,) = ledger.ask(PriceList(models=["openai/gpt-4o-mini"])).prices
    assert one.effective_from == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_price_that_was_set_is_written_as_asked(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    price = ("--input", "1", "--output", "2")
    assert run(["cost", "prices", "set", "acme/my-own", *price, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["prices"]
    assert (row["output_usd"], row["source"]) == (2, "price.set")


def test_a_price_of_a_day_to_come_is_said_to_hold_from_then_on(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    price = ("--input", "1", "--output", "2", "--from", "2999-12-25")
    assert run(["cost", "prices", "set", "acme/my-own", *price]) == 0
    err = capsys.readouterr().err
    assert "the new price of acme/my-own holds from 2999-12-25 on" in err
    assert "nobody knows" not in err


def test_a_model_that_nobody_used_is_looked_up_by_its_full_name(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = told(capsys, "--model", "openai/gpt-4o")["prices"]
    assert row["input_usd"] == 2.5
    assert not row["is_used"]
    assert run(["cost", "prices", "--model", "gpt-4o"]) == 64
    assert "name it as PROVIDER/MODEL" in capsys.readouterr().err
    assert run(["cost", "prices"]) == 0
    assert "no model was used yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gpt", "--input", "1", "--output", "1"), "no PROVIDER/MODEL"),
        (("a/b", "--input", "-1", "--output", "1"), "is negative: write 0 or more"),
        (("a/b", "--input", "x", "--output", "1"), "is no amount"),
        (("a/b", "--input", "0.0.0", "--output", "1"), "is no amount"),
        (("a/b", "--input", "$", "--output", "1"), "is no amount"),
        (("a/b", "--input", "1"), "--output"),
        (("a/b", "--input", "1", "--output", "1", "--from", "soon"), "soon"),
    ],
)
def test_what_is_no_price_is_wrong_usage(
    ledger: Ledger, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run(["cost", "prices", "set", *arguments]) == 64
    assert said in capsys.readouterr().err


def test_calls_are_priced_anew_only_when_that_is_asked_for(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    call(ledger, "acme", "my-own")
    run(["cost", "prices", "set", "acme/my-own", "--input", "1", "--output", "2000000"])
    run(["cost", "prices", "set", "acme/my-own", "--input", "1", "--output", "2000000"])
    capsys.readouterr()
    assert run(["cost", "reprice"]) == 64
    assert "--dry-run shows the difference" in capsys.readouterr().err
    dated = ("--input", "1", "--output", "2000000", "--from", "2026-01-01")
    run(["cost", "prices", "set", "acme/my-own", *dated])
    capsys.readouterr()
    assert run(["cost", "reprice", "--dry-run"]) == 0
    assert "unpriced → $2.00 (+$2.00)" in capsys.readouterr().out
    assert run(["cost", "reprice", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == {"was_usd": 0, "would_be_usd": 2}
    assert run(["cost", "reprice", "--apply", "--unpriced"]) == 0
    assert "1 call corrected" in capsys.readouterr().err
    assert run(["cost", "reprice", "--dry-run"]) == 0
    assert "every call of this range costs what it would now" in capsys.readouterr().err
    assert run(["cost", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["today_usd"] == 2
