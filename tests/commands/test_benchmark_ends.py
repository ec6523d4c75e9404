"""How runs end that don't end well: cut short by somebody, by time or by money, or killed."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace
from persona.benchmark.baseline_file import dump
from persona.benchmark.environment import environment
from persona.benchmark.private import private_ledger
from persona.benchmark.running import Chosen, Progress, run
from persona.benchmark.workloads import WORKLOADS
from persona.client import Ledger
from persona.program import run as persona

from personad.contract.cost import CostRecorded
from tests.benchmark.kept import kept

from ..provider_server import KEY, ProviderServer  # noqa: TID252

QUICK = replace(WORKLOADS["quick"], latency_ms=1.0, source_bytes=4_000)
WITHIN_S = 60


@pytest.fixture
def quick(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORKLOADS, "quick", QUICK)


def stopped_after(iterations: int) -> Progress:
    def told(done: int, most: int) -> None:
        if done == iterations:
            raise KeyboardInterrupt

    return told


def chosen(**more: object) -> Chosen:
    base = Chosen(spec=QUICK, model="simulated-1", iterations=3, processes=1)
    return replace(base, **more)


def test_ctrl_c_keeps_what_there_is_and_marks_it(house: Path) -> None:
    ran = run(chosen(), stopped_after(2))

    assert (ran.cut, ran.exit_code) == ("interrupted", 130)
    assert ran.workload.interrupted
    assert ran.workload.iterations == 2


def test_time_that_is_over_keeps_what_there_is_and_marks_it(house: Path) -> None:
    seconds = count()
    ran = run(chosen(limit_s=2.0), lambda done, most: None, lambda: float(next(seconds)))

    assert (ran.cut, ran.exit_code) == ("the time limit of 2 s is over", 75)
    assert ran.workload.iterations == 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ProviderServer(key=KEY) as found:
        yield found


class TestAPaidProvider:
    def arguments(self, server: ProviderServer, *more: str) -> list[str]:
        provider = ("--provider", "openai", "--model", "gpt-4o-mini")
        url = ("--base-url", server.url("openai"))
        few = ("--workload", "quick", "--iterations", "3", "--processes", "1")
        return ["benchmark", "run", *provider, *url, *few, *more]

    @pytest.mark.usefixtures("quick", "ledger")
    def test_is_not_called_without_a_budget(
        self, server: ProviderServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert persona(self.arguments(server)) == 64
        assert "--budget USD" in capsys.readouterr().err
        assert server.requests == 0

    @pytest.mark.usefixtures("quick")
    def test_is_in_the_ledger_of_who_pays(
        self, server: ProviderServer, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert persona(self.arguments(server, "--budget", "1")) == 0
        costs = [each.event for each in ledger.read_all(types=("cost.recorded",))]
        assert len(costs) == len(server.asked) == 4
        for cost in costs:
            assert isinstance(cost, CostRecorded)
            assert (cost.operation, cost.batch, cost.persona) == ("benchmark", None, None)
        capsys.readouterr()
        assert persona(["cost", "breakdown", "--by", "operation", "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        assert (row["key"], row["calls"]) == ("benchmark", 4)
        assert row["cost_usd"] > 0

    @pytest.mark.usefixtures("quick", "ledger")
    def test_is_called_within_its_budget_and_not_beyond(
        self, server: ProviderServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert persona(self.arguments(server, "--budget", "1")) == 0
        called = len(server.asked)
        assert called == 4
        assert persona(self.arguments(server, "--budget", "0.000001")) == 75
        assert "budget" in capsys.readouterr().err
        assert len(server.asked) == called

    @pytest.mark.usefixtures("quick", "ledger")
    def test_of_a_price_that_nobody_knows_is_not_called_and_of_one_s_own_price_is(
        self, server: ProviderServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def arguments(budget: str) -> list[str]:
            given = self.arguments(server, "--budget", budget)
            return ["house-model" if each == "gpt-4o-mini" else each for each in given]

        assert persona(arguments("1")) == 64
        assert "nobody knows what openai/house-model costs" in capsys.readouterr().err
        assert server.requests == 0
        price = ("--input", "1", "--output", "4", "--from", "2026-01-01")
        assert persona(["cost", "prices", "set", "openai/house-model", *price]) == 0
        assert persona(arguments("0.000001")) == 75
        assert server.requests == 0
        assert persona(arguments("1")) == 0
        assert len(server.asked) == 4

    @pytest.mark.usefixtures("quick", "ledger")
    def test_is_called_for_no_proof_of_overhead_and_no_comparison(
        self, server: ProviderServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert persona(self.arguments(server, "--budget", "1", "--prove-overhead")) == 64
        baseline = kept("paid", environment=environment())
        workload = replace(baseline.workloads["standard"], provider="openai", model="gpt-4o-mini")
        Path("baselines").mkdir()
        paid = replace(baseline, workloads={"quick": workload})
        Path("baselines/paid.yaml").write_bytes(dump(paid))
        assert persona(["benchmark", "compare"]) == 3
        assert "--budget USD` makes one" in capsys.readouterr().err
        assert server.requests == 0


def test_a_provider_that_does_not_answer_is_said_in_its_own_words(
    quick: None, ledger: object, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = ("--provider", "ollama", "--model", "m", "--base-url", "http://127.0.0.1:9")
    assert persona(["benchmark", "run", "--workload", "quick", *nobody]) == 3
    said = capsys.readouterr().err
    assert "no persona was made: 127.0.0.1:9 can't be reached" in said
    assert "RuntimeError" not in said


_HOLDS = """
import sys
from persona.benchmark.private import private_ledger
with private_ledger() as private:
    print(private.daemon_pid, private.folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody is told of a killed parent")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whoever_is_killed_leaves_no_daemon_behind(house: Path, number: signal.Signals) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    pid, folder = holder.stdout.readline().split()
    daemon = os.pidfd_open(int(pid))
    try:
        holder.send_signal(number)
        holder.communicate(timeout=WITHIN_S)
        assert select.select([daemon], [], [], WITHIN_S)[0]
    finally:
        os.close(daemon)
    assert holder.returncode == (-number if number == signal.SIGKILL else 128 + number)
    left = Path(folder).exists()
    shutil.rmtree(folder, ignore_errors=True)
    assert left == (number == signal.SIGKILL)


def test_a_private_ledger_sets_signals_back(house: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with private_ledger():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
