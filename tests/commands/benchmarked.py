"""What `persona benchmark` has said, and what the ledger has of it."""

import json
from typing import Any

import pytest
from persona.client import Ledger

from personad.contract.benchmark import BenchmarkFinished


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def recorded(ledger: Ledger) -> list[BenchmarkFinished]:
    events = [each.event for each in ledger.read_all(types=("benchmark.finished",))]
    return [each for each in events if isinstance(each, BenchmarkFinished)]
