"""A ledger that has taken in a hundred thousand events, and the events themselves, sorted out."""

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from persona.program import run

from .arithmetic import (
    between,
    calls_of,
    distinct,
    grouped,
    kept,
    label,
    personas_of,
    scored_of,
    spent,
)
from .past import FIRST, LAST, Fact, events, lines

SPAN = ("--since", str(FIRST), "--until", str(LAST))
HOME = {
    "PERSONAD_TIMEZONE": "Europe/Berlin",
    # The past of this test gets older every day.
    "PERSONA_RETENTION_RAW_DAYS": "36500",
    "TZ": "UTC",
}
Ask = Callable[..., Any]


class Oracle:
    """The raw events, sorted out."""

    def __init__(self, facts: list[Fact]) -> None:
        facts = distinct(facts)
        self.calls = calls_of(facts)
        self.made = personas_of(facts)
        self.scored = scored_of(facts)

    def within(self, zone: str, first: date = FIRST, last: date = LAST) -> "Within":
        return Within(*(between(each, zone, first, last) for each in (self.calls, self.made)))


class Within:
    """Calls and completed personas of a time."""

    def __init__(self, calls: list[Fact], made: list[Fact]) -> None:
        self.calls = calls
        self.made = made

    def of(self, **named: list[str]) -> "Within":
        return Within(kept(self.calls, **named), kept(self.made, **named))

    def sums(self) -> dict[str, int]:
        return spent([*self.calls, *self.made])

    def by(self, name: str, zone: str) -> dict[Any, dict[str, int]]:
        facts = self.calls if name in ("operation", "outcome") else [*self.calls, *self.made]
        return {key: spent(some) for key, some in grouped(facts, label(name, zone)).items()}


@pytest.fixture(scope="package")
def past() -> list[Fact]:
    facts = events()
    assert len(facts) > 97_000
    return facts


@pytest.fixture(scope="package")
def oracle(past: list[Fact]) -> Iterator[Oracle]:
    found = Oracle(past)
    # To look through all of it for cycles, again and again, takes a third of the time.
    gc.collect()
    gc.freeze()
    yield found
    gc.unfreeze()


@pytest.fixture(scope="package")
def folder(past: list[Fact]) -> Iterator[Path]:
    """A ledger that has taken them in, with its daemon."""
    with tempfile.TemporaryDirectory(prefix="po-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "run").mkdir(mode=0o700)
        (folder / "events.jsonl").write_text(lines(past))
        environment = os.environ | HOME | _where(folder)
        program = partial(
            subprocess.run, env=environment, check=True, capture_output=True, text=True
        )
        personad = [sys.executable, "-m", "personad"]
        program([*personad, "start"])
        persona = [sys.executable, "-m", "persona"]
        taken = program([*persona, "events", "import", "--json", str(folder / "events.jsonl")])
        told = json.loads(taken.stdout)
        assert told["imported"] == len(distinct(past)), told
        assert told["imported"] + told["duplicates"] == len(past)
        assert told["anomalies"] == told["quarantined"] == told["bad"] == 0
        yield folder
        program([*personad, "stop"])


def _where(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": f"{folder}/run",
        "PERSONA_LEDGER": f"{folder}/ledger",
    }


@pytest.fixture
def ask(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The JSON of a command, with amounts as integers of nano-dollars."""
    for name, value in (HOME | _where(folder)).items():
        monkeypatch.setenv(name, value)

    def asked(*words: str) -> Any:
        code = run([*words, "--json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        return json.loads(said.out, parse_float=Decimal, object_hook=nanousd_of)

    return asked


def nanousd_of(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: int(value * 10**9) if name.endswith("_usd") and value is not None else value
        for name, value in document.items()
    }
