"""`persona cost export`: the same rows and the same money in each format."""

import csv
import io
import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from persona.client import Ledger
from persona.identity import event_id, now
from persona.program import run

from personad.contract.budget import Prices, PriceSet
from personad.contract.cost import CostRecorded
from personad.contract.cost_rows import ROWS_MAX

from .conftest import BATCH, made, started

HOSTILE = "=1+1"
CALLS = 3 * ROWS_MAX + 5


@pytest.fixture
def spent(ledger: Ledger) -> Ledger:
    """More than a page of calls over ten days, one of them without a price."""
    ledger.append([*started(), *made()])
    ledger.append(
        [
            CostRecorded(
                id=event_id(),
                at=now() - timedelta(days=number % 10),
                call=f"call-{number}",
                provider="acme",
                model=HOSTILE if number == 7 else "one",
                operation="generation",
                outcome="ok",
                input_tokens=number,
                cost_nanousd=None if number == 7 else number + 1,
            )
            for number in range(CALLS)
        ]
    )
    return ledger


def exported(capsysbinary: pytest.CaptureFixture[bytes], *arguments: str) -> bytes:
    assert run(["cost", "export", "--days", "30", *arguments]) == 0
    return capsysbinary.readouterr().out


def test_each_format_has_the_same_rows_and_the_same_money(
    spent: Ledger, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    acme = ("--provider", "acme")
    array: list[dict[str, Any]] = json.loads(
        exported(capsysbinary, *acme, "--format", "json"), parse_float=Decimal
    )
    lines = exported(capsysbinary, *acme, "--format", "jsonl").splitlines()
    assert [json.loads(line, parse_float=Decimal) for line in lines] == array
    table = list(csv.DictReader(io.StringIO(exported(capsysbinary, *acme).decode())))
    assert run(["cost", "export", *acme, "--format", "parquet", "-o", "cost.parquet"]) == 0
    columns = pq.read_table("cost.parquet").to_pylist()

    assert len(array) == len(table) == len(columns) == CALLS
    total = Decimal(sum(range(1, CALLS + 1)) - 8).scaleb(-9)
    assert sum(Decimal(row["cost_usd"] or 0) for row in array) == total
    assert sum(Decimal(row["cost_usd"] or 0) for row in table) == total
    assert sum(row["cost_usd"] or 0 for row in columns) == total
    assert [row["call"] for row in table] == [row["call"] for row in columns]
    assert table[7]["model"] == f"'{HOSTILE}"
    assert array[7]["model"] == HOSTILE
    assert (table[7]["cost_usd"], columns[7]["cost_usd"]) == ("", None)


def test_a_range_and_filters_leave_out_the_rest(
    spent: Ledger, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(["cost", "export", "--days", "1", "--format", "jsonl"]) == 0
    days = {json.loads(line)["at"][:10] for line in capsysbinary.readouterr().out.splitlines()}
    assert len(days) <= 1
    of_batch = exported(capsysbinary, "--batch", BATCH[:20], "--format", "jsonl")
    assert [json.loads(line)["batch"] for line in of_batch.splitlines()] == [BATCH]


def test_a_file_is_written_whole_and_its_rows_are_counted(
    spent: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cost", "export", "-o", "cost.csv", "--days", "30"]) == 0
    assert "1,506 events exported" in capsys.readouterr().err
    assert Path("cost.csv").read_text().count("\n") == CALLS + 2


def test_a_file_without_a_name_is_wrong_usage(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["cost", "export"], ["events", "export"]):
        assert run([*words, "-o", ""]) == 64
        assert "it is empty: leave it out, or say which" in capsys.readouterr().err


def test_parquet_without_its_library_says_how_to_get_it(
    ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["cost", "export", "--format", "parquet"]) == 64
    assert "pip install 'persona-observability[parquet]'" in capsys.readouterr().err


def test_nothing_is_a_table_without_rows(
    ledger: Ledger, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert exported(capsysbinary).count(b"\n") == 1
    assert json.loads(exported(capsysbinary, "--format", "json")) == []


def test_corrections_are_in_it_and_it_sums_to_the_history(
    spent: Ledger, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    spent.append(
        [
            PriceSet(
                id=event_id(),
                at=now(),
                provider="acme",
                model=HOSTILE,
                prices=Prices(input_nanousd=10**9, output_nanousd=0),
                effective_from=now() - timedelta(days=60),
            )
        ]
    )
    assert run(["cost", "reprice", "--days", "30", "--apply"]) == 0
    capsysbinary.readouterr()
    rows = [
        json.loads(line, parse_float=Decimal)
        for line in exported(capsysbinary, "--format", "jsonl").splitlines()
    ]
    assert run(["cost", "history", "--days", "30", "--json"]) == 0
    history = json.loads(capsysbinary.readouterr().out, parse_float=Decimal)
    assert sum(Decimal(row["cost_usd"] or 0) for row in rows) == history["total"]["cost_usd"]
    (corrected,) = (row for row in rows if row["corrected"])
    assert corrected["model"] == HOSTILE
    assert (corrected["recorded_usd"], corrected["cost_usd"]) == (None, Decimal(7 * 1_000) / 10**9)
    assert run(["cost", "explain", corrected["call"]]) == 0
    told = capsysbinary.readouterr().out.decode()
    assert "at first, unpriced" in told
    assert "reprice:" in told
    assert "price.set since" in told


@pytest.mark.parametrize("name", ["csv", "json", "jsonl", "parquet"])
def test_who_reads_only_the_beginning_gets_no_traceback(spent: Ledger, name: str) -> None:
    command = [sys.executable, "-m", "persona", "cost", "export", "--days", "30", "--format", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
