"""Benchmarks in a job of GitHub's: the page's workflow, the summary, the annotations."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from persona.benchmark.baseline_file import dump
from persona.program import load, run

from tests.benchmark.kept import kept

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def workflow() -> dict[Any, Any]:
    text = PAGE.read_text()
    (block,) = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    found: dict[Any, Any] = yaml.safe_load(block)
    return found


def lines() -> Iterator[str]:
    for step in workflow()["jobs"]["compare"]["steps"]:
        yield from step.get("run", "").splitlines()


def test_the_page_s_workflow_fetches_history_installs_and_types_what_there_is() -> None:
    checkout, *steps = workflow()["jobs"]["compare"]["steps"]
    assert checkout["with"]["fetch-depth"] == 0
    assert "pip install ." in [step.get("run") for step in steps]
    typed = [shlex.split(line) for line in lines() if line.startswith("persona ")]
    assert len(typed) == 3
    for _, group, name, *arguments in typed:
        command = load(group).commands[name]  # type: ignore[attr-defined]
        command.make_context(name, arguments).close()


@pytest.fixture
def summary(house: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Path("baselines").mkdir()
    Path("baselines/v1.yaml").write_bytes(dump(kept("v1")))
    Path("now.yaml").write_bytes(dump(kept("now", seed=2, scale={"cpu_ms": 1.4})))
    path = Path("summary.md").absolute()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


COMPARE = ("benchmark", "compare", "--current", "now.yaml")


def test_a_gate_in_a_job_tells_its_summary_and_annotates(
    summary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    summary.write_text("before\n")
    assert run([*COMPARE, "--ci", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("{")
    assert err.startswith("::error title=Benchmark standard::cpu_floor_ms +")
    told = summary.read_text()
    assert told.startswith("before\n# now against v1: failure\n\n| Metric |")
    assert "(failure from 25 % on)" in told


@pytest.mark.parametrize(("environment", "flags"), [("true", ()), ("", ("--ci",))])
def test_elsewhere_or_without_a_gate_nothing_is_told(
    summary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: str,
    flags: tuple[str, ...],
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", environment)
    run([*COMPARE, *flags])
    assert "::error" not in capsys.readouterr().err
    assert not summary.exists()
