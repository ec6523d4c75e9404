"""`persona benchmark` against a real daemon, with real workers."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from persona.benchmark.baseline_file import Judged, dump
from persona.benchmark.recording import record, workload_of
from persona.benchmark.running import Chosen, Ran
from persona.benchmark.workloads import WORKLOADS
from persona.client import Ledger
from persona.program import run

from tests.benchmark.kept import kept, with_workload

from .benchmarked import recorded, told

QUICK = ("--workload", "quick", "--processes", "2", "--iterations", "4")


@pytest.fixture
def ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """With a workload that takes no time."""
    spec = replace(WORKLOADS["quick"], latency_ms=1.0, source_bytes=4_000)
    monkeypatch.setitem(WORKLOADS, "quick", spec)
    return ledger


class TestRun:
    def test_a_run_is_shown_recorded_kept_reported_and_compared(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["benchmark", "run", *QUICK, "--json"]) == 0
        document = told(capsys)
        assert (document["workload"], document["provider"]) == ("quick", "simulated")
        metrics = {row["metric"]: row for row in document["metrics"]}
        assert metrics["generation_latency"]["n"] == 4
        assert metrics["generation_latency"]["p95"] is None
        assert metrics["api_calls_per_persona"]["mean"] == 1
        assert metrics["memory_peak_mb"]["p50"] > 10
        assert document["warm_up"] == 1
        (event,) = recorded(ledger)
        assert event.run == document["run"]
        assert [len(each["cpu_ms"]) for each in event.runs] == [2, 2]
        assert event.summary["parse_success_rate"].mean == 1

        assert run(["benchmark", "capture", *QUICK, "--name", "first"]) == 0
        assert run(["benchmark", "capture", *QUICK, "--name", "first"]) == 64
        assert "exists" in capsys.readouterr().err
        assert run(["benchmark", "list", "-v"]) == 0
        assert "quick 4 runs in 2 processes; no commit;" in capsys.readouterr().out
        assert run(["benchmark", "list", "--json"]) == 0
        (listed,) = told(capsys)["baselines"]
        assert (listed["name"], listed["workloads"]) == ("first", ["quick"])

        assert run(["benchmark", "compare", "--workload", "nonsense"]) == 3
        assert "has no workload `nonsense`" in capsys.readouterr().err
        assert run(["benchmark", "compare", "--json", "--ci"]) == 0
        (comparison,) = told(capsys)["comparisons"]
        verdicts = {row["metric"]: row["verdict"] for row in comparison["metrics"]}
        assert comparison["comparable"]
        # Two processes are too few for what noise disturbs; counts need none.
        assert verdicts["cpu_floor_ms"] == "not comparable"
        assert verdicts["tokens_per_persona"] == "same"

        assert run(["benchmark", "report", "--baseline", "first"]) == 0
        report = capsys.readouterr().out
        assert "## Against first" in report
        assert "| generation\\_latency |" in report
        assert run(["benchmark", "run", *QUICK, "--only", "generation_latency_p50"]) == 0
        table, _, facts = capsys.readouterr().out.partition("\n\n")
        assert [line.split()[0] for line in table.splitlines()] == ["Metric", "generation_latency"]
        assert table.count("n/a") == 2
        assert "1 run of each process dropped" in facts
        assert run(["benchmark", "trends", "--workload", "quick"]) == 0
        assert "a change can be seen from 6 runs on; there are 4" in capsys.readouterr().out
        p95 = ("--metric", "generation_latency_p95", "--json")
        assert run(["benchmark", "trends", "--workload", "quick", *p95]) == 0
        trend = told(capsys)
        assert (trend["metric"], trend["percentile"]) == ("generation_latency", "p95")
        # Too few samples for it in each run.
        assert trend["points"] == []
        assert run(["benchmark", "trends", "--workload", "quik"]) == 64
        assert run(["benchmark", "providers", "--workload", "quik"]) == 64
        assert run(["benchmark", "providers", "--provider", "simulatd"]) == 64
        assert "there are simulated" in capsys.readouterr().err
        assert run(["benchmark", "providers", "--provider", "simulated", "--json"]) == 0
        (row,) = told(capsys)["rows"]
        assert (row["provider"], row["failures"]) == ("simulated", 0)
        assert run(["benchmark", "clean", "--keep", "1"]) == 0
        assert "nothing to delete: baselines holds 1 baseline" in capsys.readouterr().err
        assert run(["benchmark", "clean", "--name", "first"]) == 0
        assert not list(Path("baselines").iterdir())

    def test_a_recorded_run_of_this_commit_is_compared_but_never_the_kept_one_or_a_part(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        who = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
        subprocess.run(["git", "init", "-q"], check=True)
        subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
        assert run(["benchmark", "capture", *QUICK, "--name", "first"]) == 0
        compare = ["benchmark", "compare"]
        assert run(compare) == 0
        assert "with the recorded run" not in capsys.readouterr().err
        _, second = recorded(ledger)
        what = Chosen(spec=WORKLOADS["quick"], model="simulated-1", iterations=4, processes=2)
        part = replace(workload_of(second), interrupted=True)
        record(ledger, "generation", what, Ran(workload=part, cut="interrupted", exit_code=130))
        assert run(compare) == 0
        assert f"with the recorded run {second.run} of this commit" in capsys.readouterr().err

    def test_providers_are_run_in_turn_and_shown_side_by_side(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        both = ("--provider", "simulated", "--provider", "local", "--workload", "quick")
        assert run(["benchmark", "providers", *both, "--iterations", "1", "--json"]) == 0
        rows = told(capsys)["rows"]
        assert sorted(row["provider"] for row in rows) == ["local", "simulated"]
        assert run(["benchmark", "providers", "--iterations", "1"]) == 64
        assert "say which to run" in capsys.readouterr().err

    def test_a_part_of_the_micro_suite_is_measured(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        few = ("--processes", "1", "--iterations", "2")
        assert run(["benchmark", "run", "--suite", "micro", "--workload", "codec", *few]) == 0
        assert "codec" in capsys.readouterr().out
        assert run(["benchmark", "run", "--suite", "micro", "--workload", "cdec", *few]) == 64
        assert "did you mean codec?" in capsys.readouterr().err
        (event,) = recorded(ledger)
        assert (event.suite, set(event.runs[0])) == ("micro", {"part_ms", "cpu_ms"})

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--workload", "quik"), "did you mean quick?"),
            (("--iterations", "0"), "iterations"),
            (("--only", "nonsense"), "there is no metric nonsense"),
            (("--only", "nonsense_p95"), "there is no metric nonsense_p95"),
            (("--provider", "nobody"), "nobody"),
        ],
    )
    def test_what_can_t_be_run_is_wrong_usage(
        self, house: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
    ) -> None:
        assert run(["benchmark", "run", *arguments]) == 64
        assert said in capsys.readouterr().err

    def test_a_paid_provider_is_never_called_without_a_budget(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
        paid = ("--provider", "openai", "--model", "gpt-4o-mini")
        assert run(["benchmark", "run", *QUICK, *paid]) == 64
        err = capsys.readouterr().err
        assert "Estimate    $" in err
        assert "All runs    $" in err
        assert "say what all 6 runs may cost with --budget USD" in err
        assert recorded(ledger) == []


class TestCompare:
    @pytest.fixture
    def folder(self, house: Path) -> Path:
        folder = Path("baselines")
        folder.mkdir()
        (folder / "v1.yaml").write_bytes(dump(kept("v1")))
        return folder

    @pytest.mark.parametrize(
        ("scale", "flags", "status", "verdict"),
        [
            ({}, ("--ci",), 0, "same"),
            ({"cpu_ms": 1.12}, ("--ci",), 1, "warning"),
            ({"cpu_ms": 1.4}, ("--ci",), 2, "failure"),
            ({"cpu_ms": 1.4}, (), 0, "failure"),
            ({"cpu_ms": 1.4}, ("--fail-on-regression",), 2, "failure"),
            ({"cpu_ms": 1.12}, ("--fail-on-regression",), 0, "warning"),
            ({"cpu_ms": 1.12}, ("--ci", "--threshold", "30"), 0, "same"),
        ],
    )
    def test_two_files_are_compared_without_a_daemon(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        scale: dict[str, float],
        flags: tuple[str, ...],
        status: int,
        verdict: str,
    ) -> None:
        Path("now.yaml").write_bytes(dump(kept("now", seed=2, scale=scale)))
        command = ["benchmark", "compare", "--no-autostart", "--current", "now.yaml", *flags]
        assert run([*command, "--json"]) == status
        document = told(capsys)
        assert (document["verdict"], document["exit_code"]) == (verdict, status)
        assert run(command) == status
        shown = capsys.readouterr().out
        assert "now against v1" in shown
        assert "95 % interval" in shown

    def test_another_machine_is_no_verdict_and_says_so_loudly(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        now = kept("now")
        now = replace(now, environment=replace(now.environment, cores=64))
        Path("now.yaml").write_bytes(dump(now))
        command = ["benchmark", "compare", "--current", "now.yaml"]
        assert run([*command, "--ci"]) == 3
        capsys.readouterr()
        assert run([*command, "--fail-on-regression"]) == 0
        out, err = capsys.readouterr()
        assert "not comparable  another machine: cores was 2, and is 64" in out
        assert "NOTHING WAS COMPARED" in err

    def test_inconclusive_is_one_where_it_is_strict(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wild = [run | {"cpu_ms": [20.0 * (1 + n)] * 20} for n, run in enumerate(_runs())]
        Path("now.yaml").write_bytes(dump(with_workload(kept("now"), runs=wild, metrics={})))
        command = ["benchmark", "compare", "--current", "now.yaml", "--ci"]
        assert run(command) == 0
        assert "run more processes" in capsys.readouterr().out
        assert run([*command, "--strict"]) == 1

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (("--warn-threshold", "30", "--fail-threshold", "10"), 64, "a warning from 30 % on"),
            (("--threshold", "-5"), 64, "no change in percent"),
            (("--threshold", "nan"), 64, "no change in percent"),
            (("--threshold", "0"), 64, "no change in percent above 0"),
            (("--baseline", "none", "--ci"), 3, "there is no such baseline"),
            (("--baseline", "none", "--fail-on-regression"), 3, "there is no such baseline"),
            (("--current", "."), 65, "there is no such baseline"),
            (("--ci", "--fail-on-regression"), 64, "exclude each other"),
            (("--strict",), 64, "goes with --ci"),
            (("--against", ".", "--baseline", "v1"), 64, "no --baseline"),
            (("--baseline", "none"), 65, "there is no such baseline"),
            (("--current", "none.yaml"), 65, "there is no such baseline"),
        ],
    )
    def test_what_can_t_be_compared_says_why(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        arguments: tuple[str, ...],
        status: int,
        said: str,
    ) -> None:
        assert run(["benchmark", "compare", "--no-autostart", *arguments]) == status
        assert said in capsys.readouterr().err

    def test_the_baseline_s_own_thresholds_hold_and_the_command_line_s_before_them(
        self, folder: Path
    ) -> None:
        loose = Judged(warn=30, fail=60, better="lower")
        then = kept("v1", thresholds={"generation_latency_p50": loose})
        (folder / "v1.yaml").write_bytes(dump(then))
        now = kept("now", seed=2, scale={"cpu_ms": 1.12})
        Path("now.yaml").write_bytes(dump(now))
        command = ["benchmark", "compare", "--current", "now.yaml", "--ci"]
        assert run(command) == 0
        assert run([*command, "--threshold", "10"]) == 1

    def test_a_baseline_of_another_machine_is_told_before_anything_is_run(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["benchmark", "compare", "--no-autostart", "--ci"]) == 3
        assert "another machine: cpu was Some CPU" in capsys.readouterr().out

    def test_without_a_baseline_it_says_how_to_make_one(
        self, house: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["benchmark", "compare"]) == 3
        assert "`persona benchmark capture` makes one" in capsys.readouterr().err


def _runs() -> list[dict[str, list[float]]]:
    return kept().workloads["standard"].runs
