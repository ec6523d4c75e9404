"""A real daemon under the load of real locust users: well, dying, and dead."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from persona.benchmark import integration
from persona.benchmark.integration import Load, LoadFailed, LoadReport, run_load
from persona.benchmark.private import Private, ledger_of
from persona.program import run

from personad.contract.admin import Hello
from personad.contract.errors import LedgerError

LOAD = Load(users=4, spawn_rate=50, duration_s=2)
LONGER = Load(users=4, spawn_rate=50, duration_s=6)
WITHIN_S = 60.0


def until_more_than(private: Private, events: int) -> int:
    """How many events the daemon has taken in, as soon as these are more than so many."""
    until = time.monotonic() + WITHIN_S
    while True:
        assert time.monotonic() < until
        with ledger_of(private) as ledger:
            try:
                last: int = ledger.ask(Hello()).last_seq
            except LedgerError:
                last = 0
        if last > events:
            return last
        time.sleep(0.02)


def killed(private: Private) -> int:
    """Kills the daemon once it is at work; gives what it had taken in."""
    taken_in = until_more_than(private, 50)
    os.kill(private.daemon_pid, signal.SIGKILL)
    return taken_in


def of(report: LoadReport, name: str) -> int:
    return next(each.n for each in report.requests if each.name == name)


def test_users_append_ask_and_watch(house: Path) -> None:
    found = run_load(LOAD).report
    assert found.failed == 0
    assert all(of(found, name) > 0 for name in ("append", "cost-history", "hello"))
    assert found.frames > 0
    assert found.requests_per_s == pytest.approx(sum(e.n for e in found.requests) / 2, rel=0.01)


def test_a_daemon_that_is_killed_and_started_anew_shows_as_errors_and_recovers(
    house: Path,
) -> None:
    after: list[int] = []
    again: list[subprocess.Popen[bytes]] = []

    def meanwhile(private: Private) -> None:
        before = killed(private)
        again.append(
            subprocess.Popen(
                [sys.executable, "-m", "personad", "start", "--foreground"],
                env=private.environment,
                cwd=private.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        after.append(until_more_than(private, before + 50))

    try:
        found = run_load(LONGER, meanwhile)
    finally:
        for process in again:
            process.terminate()
            process.wait()
    with_failures = [each for each in found.report.requests if each.failed]
    assert with_failures
    assert after
    # More was acknowledged than before it died.
    assert of(found.report, "append") > 50


def test_a_daemon_that_stays_dead_ends_as_failures(
    house: Path, ledger: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = integration.run_load

    def fatal(private: Private) -> None:
        killed(private)

    monkeypatch.setattr(integration, "run_load", lambda load: whole(load, fatal))
    load = ("--users", "2", "--duration", "3")
    assert run(["benchmark", "run", "--suite", "integration", *load]) == 1
    assert "failed" in capsys.readouterr().out.lower()


def test_without_locust_it_says_how_to_get_it(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LoadFailed, match="needs locust") as raised:
        run_load(LOAD)
    assert raised.value.hint is not None
    assert "pip install" in raised.value.hint
