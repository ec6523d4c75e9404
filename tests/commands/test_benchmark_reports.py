"""`persona benchmark`: baselines listed and cleaned up, and reports in each format."""

import json
import resource
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace
from persona.app import App
from persona.benchmark.baseline_file import dump, load
from persona.benchmark.recording import kept as as_baseline
from persona.benchmark.recording import record
from persona.benchmark.running import Chosen, Ran
from persona.benchmark.workloads import WORKLOADS
from persona.client import Ledger
from persona.identity import event_id, now
from persona.program import run

from tests.benchmark.kept import kept

from .benchmarked import recorded, told


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
        assert [line.split()[0] for line in out.splitlines()] == ["Name", "b", "a"]
        assert "c.yaml:" in err
        assert "it is no YAML" in err
        assert run(["benchmark", "clean", "--keep", "1"]) == 0
        assert sorted(path.name for path in folder.iterdir()) == ["b.yaml", "c.yaml"]
        assert load(folder / "b.yaml").name == "newer"

    def test_a_copy_goes_by_its_file_s_name(
        self, house: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = Path("baselines")
        folder.mkdir()
        for name in ("kept", "copy"):
            (folder / f"{name}.yaml").write_bytes(dump(kept("kept")))
        assert run(["benchmark", "clean", "--name", "other"]) == 64
        err = capsys.readouterr().err
        assert "copy" in err
        assert "kept" in err
        assert run(["benchmark", "clean", "--name", "copy"]) == 0
        assert [path.name for path in folder.iterdir()] == ["kept.yaml"]

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
