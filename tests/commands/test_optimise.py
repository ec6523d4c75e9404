"""`persona cost optimise` against a real daemon."""

import json
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from persona.client import Ledger
from persona.identity import event_id
from persona.program import run

from personad.contract.cost import CostRecorded
from personad.contract.events import AnyEvent
from personad.projections.optimise_models import chosen_by
from personad.projections.optimise_ways import (
    CACHE_WARM,
    LOOK_AT_PROMPTS,
    MENDS,
    look_at_failures,
    stop_of,
)

from .conftest import NOON

SPAN = ("--since", "2026-11-14", "--until", "2026-11-23", "--timezone", "UTC")


def call(number: int, **more: Any) -> CostRecorded:
    usual: dict[str, Any] = {
        "provider": "acme",
        "model": "big",
        "outcome": "ok",
        "input_tokens": 1_000,
        "output_tokens": 100,
        "cost_nanousd": 10**9 // 5,
    }
    return CostRecorded(
        id=event_id(),
        at=NOON - timedelta(days=number % 10),
        call=f"call-{number}",
        operation="generation",
        **(usual | more),
    )


@pytest.fixture
def spent(ledger: Ledger) -> Ledger:
    """A model that fails one call in eleven, by time-outs that were paid for."""
    events: list[AnyEvent] = [call(number) for number in range(100)]
    failed = {"outcome": "error", "error_kind": "timeout"}
    events += [call(number, **failed) for number in range(100, 110)]
    ledger.append(events)
    return ledger


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert run(["cost", *arguments]) == status
    return capsys.readouterr().out


@pytest.mark.usefixtures("spent")
class TestOptimise:
    def test_what_evidence_saving_and_the_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        said = shown(capsys, "optimise", *SPAN)
        row = said.splitlines()[1]
        assert "Have fewer calls of acme/big fail (timeout)" in row
        assert "10 calls, $2.00; 9% of its calls failed" in row
        assert "$6.09" in row
        assert row.endswith("persona config set generate.call_timeout_s 240")
        assert "Looked at  110 calls of 10 days: $22.00" in said
        assert "Together   $6.09 a month" in said

    def test_the_documents_fields(self, capsys: pytest.CaptureFixture[str]) -> None:
        document = json.loads(shown(capsys, "optimise", *SPAN, "--json"))
        assert document["basis"]["calls"] == 110
        assert document["basis"]["cost_usd"] == 22.0
        (found,) = document["recommendations"]
        assert found["id"] == "failures:acme/big"
        assert found["saving_usd"] == 2.0
        assert found["monthly_saving_usd"] == document["total_monthly_saving_usd"] == 6.0875
        assert found["evidence"]["would_be_usd"] == 0
        assert found["evidence"]["error_kind"] == "timeout"
        assert found["confidence"] == "medium"
        assert found["calls"] == []

    def test_verbose_shows_the_calls_behind_each(self, capsys: pytest.CaptureFixture[str]) -> None:
        said = shown(capsys, "optimise", *SPAN, "--verbose")
        assert [each for each in ("call-100", "call-109") if each in said] == [
            "call-100",
            "call-109",
        ]
        assert "call-99" not in said
        document = json.loads(shown(capsys, "optimise", *SPAN, "--verbose", "--json"))
        assert len(document["recommendations"][0]["calls"]) == 10

    def test_its_american_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert shown(capsys, "optimize", *SPAN) == shown(capsys, "optimise", *SPAN)
        assert "optimize" not in shown(capsys, "--help")

    def test_the_configuration_switches_it_off(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PERSONA_COST_OPTIMISE_RETRIES", "false")
        assert run(["cost", "optimise", *SPAN]) == 0
        said = capsys.readouterr()
        assert "Have fewer" not in said.out
        assert "nothing to save" in said.err
        assert "cost.optimise.retries is false: that is not looked at" in said.err

    def test_csv_and_markdown_hold_the_same(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        assert "6.0875" in shown(capsys, "optimise", *SPAN, "--format", "csv")
        assert "| What | Evidence |" in shown(capsys, "optimise", *SPAN, "--format", "markdown")
        file = tmp_path / "saved.json"
        shown(capsys, "optimise", *SPAN, "--json", "-o", str(file))
        assert json.loads(file.read_text())["basis"]["calls"] == 110


@pytest.mark.usefixtures("ledger")
def test_without_calls_there_is_nothing_to_save(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "optimise"]) == 0
    assert "no calls in this range, so there is nothing to save" in capsys.readouterr().err


@pytest.mark.usefixtures("spent")
def test_a_model_that_nobody_used_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "optimise", *SPAN, "--model", "bigg"]) == 64
    assert "did you mean big?" in capsys.readouterr().err


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize(
    "command",
    [
        *MENDS.values(),
        chosen_by(("openai", "gpt-4o mini")),
        stop_of("a lost cause"),
        CACHE_WARM,
        LOOK_AT_PROMPTS.replace("PATH", "interviews.md"),
        look_at_failures(("acme", "big")),
    ],
)
def test_the_commands_that_are_recommended_are_commands(
    capsys: pytest.CaptureFixture[str], command: str, house: Path
) -> None:
    Path("interviews.md").write_text("# P01\n\nI would like to pay by card.\n")
    for part in command.split(" && "):
        program, *arguments = shlex.split(part)
        assert program == "persona"
        assert run(arguments) == 0, capsys.readouterr().err
