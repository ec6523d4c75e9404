"""A real daemon, a batch whose runner is played, and terminals for the live view to run on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from persona.client import Ledger

from personad.contract.options import DEFAULTS
from personad.contract.paths import resolve_paths

from .live_runner import BATCH, Runner
from .live_terminal import Program

OWNER = str(Path(__file__).with_name("live_owner.py"))


@pytest.fixture
def ledger(house: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setenv("PERSONA_LEDGER", str(house / "ledger"))
    personad = [sys.executable, "-m", "personad"]
    subprocess.run([*personad, "start"], check=True, capture_output=True)
    with Ledger(resolve_paths(DEFAULTS, ledger=None, environ=os.environ), autostart=False) as found:
        yield found
    subprocess.run([*personad, "stop"], check=True, capture_output=True)


@pytest.fixture
def runner(ledger: Ledger) -> Runner:
    """Of three personas, the first of which is being made."""
    found = Runner(ledger, 3)
    found.begin(1)
    return found


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs programs on terminals of their own."""
    running: list[Program] = []

    def start(*arguments: str, **settings: object) -> Program:
        running.append(Program(list(arguments), **settings))  # type: ignore[arg-type]
        return running[-1]

    yield start
    for program in running:
        program.close()


@pytest.fixture
def own(start: Start) -> Callable[..., Program]:
    def own(mode: str = "detailed", **settings: object) -> Program:
        return start(OWNER, BATCH, mode, **settings)

    return own


@pytest.fixture
def view(start: Start) -> Callable[..., Program]:
    def view(*arguments: str, **settings: object) -> Program:
        return start("-m", "persona", "batch", "watch", BATCH, *arguments, **settings)

    return view
