"""`persona demo seed`: a ledger of its own, with half a year that every screen has something of."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from persona.client import Ledger
from persona.demo_history import DAYS, history
from persona.program import run

from personad.contract.batch import BatchFinished
from personad.contract.cost import CostRecorded
from personad.contract.schema import tag

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_the_same_seed_gives_the_same_history_and_another_another() -> None:
    first, again, other = (list(history(NOON.date(), NOON, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) == DAYS + 1
    assert max(event.at for events in first for event in events) <= NOON


def test_it_has_weekends_growth_an_incident_and_calls_of_every_kind() -> None:
    calls = [
        event
        for events in history(NOON.date(), NOON, 1)
        for event in events
        if isinstance(event, CostRecorded)
    ]
    weekdays = Counter(call.at.weekday() for call in calls)
    assert weekdays[2] > 5 * weekdays[6]
    middle = sorted(call.at for call in calls)[len(calls) // 2]
    assert (NOON - middle).days < DAYS / 2
    outcomes = Counter(call.outcome for call in calls)
    assert outcomes["error"] > 10
    assert outcomes["unknown"] > 0
    held = [call for call in calls if call.outcome == "unknown" and call.model != "ft-personas"]
    assert all(call.cost_nanousd for call in held)
    assert {call.model for call in calls} >= {"claude-sonnet-4-5", "gpt-4o-mini", "ft-personas"}


@pytest.mark.usefixtures("ledger")
def test_it_fills_a_ledger_apart_once_and_says_how_to_look_at_it(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(house / "demo")
    try:
        assert run(["demo", "seed", "--into", folder]) == 0
        out, err = capsys.readouterr()
        assert f"persona --ledger {folder} cost\n" in out
        assert f"of 180 days are in {folder}" in err
        assert run(["demo", "seed", "--into", folder]) == 64
        assert "has something in it already" in capsys.readouterr().err
        assert run(["--ledger", folder, "cost", "breakdown", "--by", "model"]) == 0
        assert "claude-sonnet-4-5" in capsys.readouterr().out
        assert run(["--ledger", folder, "events", "tail", "--type", tag(BatchFinished)]) == 0
        assert "completed" in capsys.readouterr().out
    finally:
        import subprocess
        import sys

        command = [sys.executable, "-m", "personad", "--ledger", folder, "stop"]
        subprocess.run(command, check=True, capture_output=True)


def test_ones_own_ledger_is_never_filled(
    ledger: Ledger, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "seed", "--into", str(house / "ledger")]) == 64
    assert "is your own ledger" in capsys.readouterr().err
