"""`persona benchmark` against a real daemon, with real workers."""

import json
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace
from persona.app import App
from persona.benchmark.baseline_file import Judged, dump, load
from persona.benchmark.recording import kept as as_baseline
from persona.benchmark.recording import record, workload_of
from persona.benchmark.running import Chosen, Ran
from persona.benchmark.workloads import WORKLOADS
from persona.client import Ledger
from persona.identity import event_id, now
from persona.program import run

from personad.contract.benchmark import BenchmarkFinished
from tests.benchmark.kept import kept, with_workload

QUICK = ("--workload", "quick", "--processes", "2", "--iterations", "4")


@pytest.fixture
def ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """With a workload that takes no time."""
    spec = replace(WORKLOADS["quick"], latency_ms=1.0, source_bytes=4_000)
    monkeypatch.setitem(WORKLOADS, "quick", spec)
    return ledger


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def recorded(ledger: Ledger) -> list[BenchmarkFinished]:
    events = [each.event for each in ledger.read_all(types=("benchmark.finished",))]
    return [each for each in events if isinstance(each, BenchmarkFinished)]


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


class TestBaselines:
    def test_a_broken_one_is_named_and_the_rest_listed_the_newest_first(
        self, house: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = Path("baselines")
        folder.mkdir()
        older, newer = kept("older"), kept("newer")
        newer = replace(newer, captured_at=newer.captured_at.replace(year=2027))
        (folder / "a.yaml").write_bytes(dump(older))
        (folder / "b.yaml").write_bytes(dump(newer))
        (folder / "c.yaml").write_bytes(b"name: [")
        assert run(["benchmark", "list"]) == 0
        out, err = capsys.readouterr()
        assert out.index("newer") < out.index("older")
        assert "c.yaml:" in err
        assert "it is no YAML" in err
        assert run(["benchmark", "clean", "--keep", "1"]) == 0
        assert sorted(path.name for path in folder.iterdir()) == ["b.yaml", "c.yaml"]
        assert load(folder / "b.yaml").name == "newer"

    def test_none_is_no_error(self, house: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["benchmark", "list"]) == 0
        assert "no baselines in baselines" in capsys.readouterr().err
        assert run(["benchmark", "clean", "--name", "x"]) == 64
        assert run(["benchmark", "clean"]) == 64


class TestReports:
    @pytest.fixture
    def measured(self, ledger: Ledger) -> Ledger:
        """Two runs of the same workload, the second one slower."""
        spec = WORKLOADS["standard"]
        what = Chosen(spec=spec, model="simulated-1", iterations=100, processes=5)
        for seed, scale in ((1, dict[str, float]()), (2, {"cpu_ms": 1.4})):
            workload = kept(seed=seed, scale=scale).workloads["standard"]
            record(ledger, "generation", what, Ran(workload=workload))
        Path("baselines").mkdir()
        Path("baselines/first.yaml").write_bytes(dump(as_baseline(recorded(ledger)[0])))
        return ledger

    def report(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        assert run(["benchmark", "report", "--baseline", "first", *arguments]) == 0
        return capsys.readouterr().out

    def test_each_format_says_the_same(
        self, measured: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        markdown = self.report(capsys, "--compare-history", "3")
        assert "## Against run-" in markdown
        assert "failure" in markdown
        assert "## Earlier runs" in markdown
        document = json.loads(self.report(capsys, "--format", "json", "--compare-history", "1"))
        assert document["comparison"]["verdict"] == "failure"
        assert len(document["history"]) == 1
        suite = ET.fromstring(self.report(capsys, "--format", "junit"))
        assert (suite.get("tests"), suite.get("failures")) == ("5", "1")
        bmf = json.loads(self.report(capsys, "--format", "bmf"))
        assert bmf["standard (simulated)"]["cpu_ms"]["value"] == pytest.approx(56, rel=0.05)
        metrics = self.report(capsys, "--format", "openmetrics")
        assert metrics.endswith("# EOF\n")
        assert 'persona_benchmark_cpu_ms{workload="standard"' in metrics
        html = self.report(capsys, "--format", "html", "--compare-history", "1")
        assert html.count("<svg") == 2
        assert "http" not in html
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(Path("summary.md").absolute()))
        said = self.report(capsys, "--format", "github")
        assert said.startswith("::error title=Benchmark standard::cpu_floor_ms +")
        assert "%25" in said
        assert Path("summary.md").read_text().startswith("# Benchmark run-")

    def test_without_a_baseline_the_metrics_of_a_suite_are_skipped_tests(
        self, measured: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["benchmark", "report", "--format", "junit"]) == 0
        suite = ET.fromstring(capsys.readouterr().out)
        assert suite.get("tests") == suite.get("skipped") == str(len(suite.findall("testcase")))
        assert "cpu_ms" in [case.get("name") for case in suite]

    def test_a_page_goes_into_the_folder_for_reports_rather_than_into_a_terminal(
        self,
        measured: Ledger,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(App, "is_terminal", True)
        assert run(["benchmark", "report", "--format", "html"]) == 0
        out, err = capsys.readouterr()
        (page,) = Path("benchmark-reports").iterdir()
        assert (out, err) == ("", f"{page}\n")
        assert page.read_text().startswith("<!doctype html>")

    def test_a_run_recorded_by_somebody_else_who_says_little_is_reported_all_the_same(
        self, measured: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = recorded(measured)[0]
        bare = replace(first, id=event_id(), run="bare", environment={"cores": "many"}, at=now())
        measured.append([bare])
        assert run(["benchmark", "report", "--run", "bare", "--baseline", "first"]) == 0
        assert "not comparable" in capsys.readouterr().out

    @pytest.mark.parametrize("format_name", ["markdown", "html", "json"])
    def test_a_report_that_has_no_room_is_told_and_leaves_nothing(
        self, measured: Ledger, capsys: pytest.CaptureFixture[str], format_name: str
    ) -> None:
        arguments = ["benchmark", "report", "--format", format_name, "-o", "report"]
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
        try:
            status = run(arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert status == 75
        assert "make room and try again" in capsys.readouterr().err
        assert [path.name for path in Path().iterdir()] == ["baselines"]
        assert run([*arguments[:-1], "/dev/full"]) == 75

    def test_a_run_is_found_by_the_beginning_of_its_id(
        self, measured: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = recorded(measured)
        assert run(["benchmark", "report", "--run", first.run, "--format", "json"]) == 0
        assert told(capsys)["run"] == first.run
        assert run(["benchmark", "report", "--run", "run-"]) == 64
        assert "several" in capsys.readouterr().err
        assert run(["benchmark", "report", "--run", "nonsense"]) == 64
        assert second.run in capsys.readouterr().err

    def test_an_empty_ledger_says_how_to_begin(
        self, ledger: Ledger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["benchmark", "report"]) == 64
        assert "`persona benchmark run` makes the first" in capsys.readouterr().err
        assert run(["benchmark", "trends"]) == 0
        assert run(["benchmark", "providers", "--provider", "openai"]) == 0
        assert "no run of openai" in capsys.readouterr().err
