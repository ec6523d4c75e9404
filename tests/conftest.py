"""Every test runs in a house of its own: no real ledger, configuration or runtime directory."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from . import warm

if TYPE_CHECKING:
    from .layers import Layers
    from .studio import Studio

# A shell that runs us in the background has us ignore Ctrl-C, `nohup` the end of a terminal, and so
# all that we start; then a test that sends one would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Simulations and laws take four times as long while every line is counted; other tests run the same
# lines, so those are marked `no_cover`.

# A busy machine is no reason to fail.
settings.register_profile(
    "any machine", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")


warm.install()


@pytest.fixture(autouse=True)
def _warm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this test's processes begin with everything loaded."""
    monkeypatch.setattr(warm, "cold", request.node.get_closest_marker("cold") is not None)


@pytest.fixture(autouse=True)
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short temporary folder that is home, working folder, ledger and runtime directory.

    Short, because a Unix socket's path may not be longer than about 100 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    for name in list(os.environ):
        if name.startswith(("PERSONA_", "PERSONAD_", "XDG_")) or name.removesuffix("_FILE") in KEYS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("NO_COLOR", "1")
    (folder / "home").mkdir()
    (folder / "run").mkdir(mode=0o700)
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def studio(house: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Studio]":
    """A ledger of this test's own, with a real daemon, and no process left behind."""
    from .studio import Studio

    monkeypatch.setenv("PERSONA_LEDGER", str(house / "ledger"))
    monkeypatch.setenv("PERSONA_SIMULATED_LATENCY_MS", "1")
    found = Studio(house)
    yield found
    found.close()


@pytest.fixture
def layers(house: Path) -> "Layers":
    """What configures in this test."""
    from .layers import Layers

    return Layers(house)
