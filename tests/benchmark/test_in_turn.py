"""Two versions in turn, by real processes: few pairs, that decide nothing and show that it runs."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import pytest
from msgspec.structs import replace
from persona.benchmark import interleaving, paired
from persona.benchmark.calibrating import of_blocks
from persona.benchmark.comparing import ComparedMetric
from persona.benchmark.crew import cores, on_core, task_of
from persona.benchmark.integration import Load, LoadFailed, run_load
from persona.benchmark.interleaving import Samples, Side, interleave, some_pairs
from persona.benchmark.noise import Noise, pairs
from persona.benchmark.other_version import (
    THIS,
    Installation,
    NotInstallable,
    merge_base,
    set_up,
)
from persona.benchmark.overhead import prove
from persona.benchmark.private import PrivateFailed, private_ledger
from persona.benchmark.verdicts import Limits
from persona.benchmark.workloads import WORKLOADS, WorkloadSpec, digest

from personad.contract.options import DEFAULTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spec(house: Path) -> WorkloadSpec:
    return replace(WORKLOADS["quick"], latency_ms=1.0, source_bytes=4_000)


@pytest.fixture
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (paired, interleaving):
        monkeypatch.setattr(module, "LOOKS", (5,))


@pytest.mark.usefixtures("few_pairs")
def test_a_folder_is_run_in_turn_with_this_version(spec: WorkloadSpec, tmp_path: Path) -> None:
    other = set_up(str(ROOT), tmp_path, tmp_path)
    told: list[tuple[int, int]] = []

    found = interleave(
        (other, THIS),
        spec,
        "simulated-1",
        DEFAULTS.benchmark,
        Random(1),
        lambda done, most: told.append((done, most)),
    )

    assert (found.pairs, told) == (5, [(5, 5)])
    assert found.comparison.baseline == str(ROOT)
    lines = {line.metric: line for line in found.comparison.metrics}
    assert lines["tokens_per_persona"].verdict == "same"
    # Five pairs are too few to be sure of anything that noise disturbs.
    assert lines["cpu_floor_ms"].verdict == "inconclusive"
    assert len(found.old["cpu_ms"]) == len(found.new["cpu_ms"]) == 5


def test_a_metric_is_decided_once_though_another_takes_longer() -> None:
    def samples(latency: Sequence[float], cpu_ms: float) -> dict[str, list[float]]:
        return {
            "generation_latency_ms": list(latency),
            "cpu_ms": [cpu_ms] * len(latency),
            "memory_peak_mb": [60.0] * len(latency),
        }

    def at(pairs: int, cpu_ms: float) -> bool:
        old = samples([100.0] * pairs, 40.0)
        new = samples([90.0, 112.0] * (pairs // 2), cpu_ms)
        return interleaving.look("quick", old, new, DEFAULTS.benchmark, decided)

    decided: dict[str, ComparedMetric] = {}
    assert not at(20, 40.0)
    assert "generation_latency_p50" not in decided
    assert decided["cpu_floor_ms"].verdict == "same"
    assert at(320, 60.0)
    assert decided["cpu_floor_ms"].verdict == "same"
    assert decided["generation_latency_p50"].verdict in ("same", "inconclusive")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="can't be put on a core here")
class TestOnOneCore:
    def test_a_process_is_on_it_and_this_one_is_free_again_though_it_failed(self) -> None:
        before = os.sched_getaffinity(0)
        asked = (sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))")
        for core in sorted(before):
            with on_core(core):
                said = subprocess.check_output(asked, text=True)
            assert said.split() == [str(core)]
            with pytest.raises(FileNotFoundError), on_core(core):
                subprocess.check_output(["/no/such/program"])
            assert os.sched_getaffinity(0) == before

    def test_both_versions_run_on_the_same_one_and_on_each_of_them_by_and_by(
        self, spec: WorkloadSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun_on: list[set[int]] = []

        class Idle:
            def iterate(self) -> dict[str, float]:
                return {"cpu_ms": 1.0}

        @contextmanager
        def worker(*of: object) -> Iterator[Idle]:
            begun_on.append(os.sched_getaffinity(0))
            yield Idle()

        monkeypatch.setattr(interleaving, "worker", worker)
        with private_ledger() as private:
            side = Side(THIS, private, task_of(spec, private, "simulated-1"))
            kept: tuple[Samples, Samples] = ({}, {})
            rng = Random(1)
            for _ in range(50):
                some_pairs((side, side), 0, kept, rng)

        assert begun_on[0::2] == begun_on[1::2]
        assert {frozenset(each) for each in begun_on} == {frozenset([each]) for each in cores()}

    def test_where_no_process_can_be_put_on_one_it_runs_on_any(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = os.sched_getaffinity(0)
        monkeypatch.delattr(os, "sched_getaffinity")
        assert cores() == [None]
        with on_core(None):
            monkeypatch.undo()
            assert os.sched_getaffinity(0) == before


def test_what_measuring_takes_is_told_with_its_interval(spec: WorkloadSpec) -> None:
    told: list[tuple[int, int]] = []
    found = prove(spec, "simulated-1", lambda *of: told.append(of), looks=(5, 10))

    assert found.pairs in (5, 10)
    assert told == [(done, 10) for done in (5, 10)][: len(told)]
    assert told[-1][0] == found.pairs
    assert found.low_percent <= found.percent <= found.high_percent
    assert found.is_under_5_percent == (found.high_percent < 5)


def test_a_daemon_under_load_answers_and_a_watcher_hears(house: Path) -> None:
    found = run_load(Load(users=2, spawn_rate=10, duration_s=2)).report

    assert found.failed == 0
    assert {each.name for each in found.requests} == {"append", "cost-history", "hello"}
    assert all(each.n and each.p50_ms for each in found.requests)
    assert found.requests_per_s > 10
    assert found.frames > 0


def test_without_locust_it_says_how_to_get_it(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LoadFailed, match="needs locust") as caught:
        run_load(Load(users=1, spawn_rate=1, duration_s=1))
    assert caught.value.hint == "pip install 'persona-observability[load]'"


def test_a_daemon_that_does_not_start_says_why(house: Path) -> None:
    with pytest.raises(PrivateFailed, match="No module named personad"):
        with private_ledger(str(_python_without_us(house))):
            pass


def _python_without_us(folder: Path) -> Path:
    program = folder / "python"
    program.write_text("#!/bin/sh\necho 'No module named personad' >&2\nexit 1\n")
    program.chmod(0o700)
    return program


class TestOtherVersions:
    @pytest.fixture
    def repository(self, house: Path) -> Path:
        """A commit that holds this version's packages by name, and nothing that runs."""
        folder = house / "repository"
        for name in ("personad/__init__.py", "personad/daemon.py"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        for name in ("", "benchmark/"):
            path = folder / "client" / "persona" / name / "__init__.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        (folder / "client/persona/benchmark/worker.py").write_text("")
        self.git(folder, "init", "-q", "-b", "main")
        self.git(folder, "add", ".")
        self.git(folder, "commit", "-q", "-m", "one")
        return folder

    def git(self, folder: Path, *arguments: str) -> str:
        who = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
        said = subprocess.run(
            ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
        )
        return said.stdout.strip()

    @pytest.mark.parametrize("reference", ["HEAD", "main", "merge-base"])
    def test_a_commit_is_unpacked_beside(
        self, repository: Path, tmp_path: Path, reference: str
    ) -> None:
        found = set_up(reference, tmp_path, repository)
        assert isinstance(found, Installation)
        assert found.environment["PYTHONPATH"].startswith(str(tmp_path / "version" / "client"))
        assert (tmp_path / "version" / "personad" / "daemon.py").exists()

    @pytest.mark.parametrize(
        ("reference", "said"),
        [("nonsense", "there is no commit nonsense"), ("--help", "there is no commit --help")],
    )
    def test_what_is_no_commit_is_said(
        self, repository: Path, tmp_path: Path, reference: str, said: str
    ) -> None:
        with pytest.raises(NotInstallable, match=said):
            set_up(reference, tmp_path, repository)

    def test_a_version_from_before_benchmarks_is_refused_at_once(
        self, repository: Path, tmp_path: Path
    ) -> None:
        (repository / "client/persona/benchmark/worker.py").unlink()
        with pytest.raises(NotInstallable, match=r"No module named 'persona\.benchmark\.worker'"):
            set_up(str(repository), tmp_path, repository)
        assert not (tmp_path / "environment").exists()

    def test_the_merge_base_is_with_the_branch_that_a_pull_request_goes_into(
        self, repository: Path, tmp_path: Path
    ) -> None:
        base = self.git(repository, "rev-parse", "HEAD")
        for branch in ("release", "change"):
            self.git(repository, "checkout", "-q", "-b", branch)
            self.git(repository, "commit", "-q", "--allow-empty", "-m", branch)
        release = self.git(repository, "rev-parse", "release")
        assert merge_base(repository, {}) == base
        assert merge_base(repository, {"GITHUB_BASE_REF": "release"}) == release
        with pytest.raises(NotInstallable, match="no branch gone") as caught:
            merge_base(repository, {"GITHUB_BASE_REF": "gone"})
        assert "git fetch --unshallow origin gone" in str(caught.value.hint)
        assert set_up("merge-base", tmp_path, repository).label == f"merge-base ({base[:9]})"

    def test_outside_of_a_repository_there_are_no_commits(
        self, house: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(NotInstallable, match="no git repository"):
            set_up("HEAD", tmp_path, house)

    def test_a_wheel_that_is_none_and_a_folder_of_something_else_are_said(
        self, house: Path, tmp_path: Path
    ) -> None:
        wheel = house / "a.whl"
        wheel.write_bytes(b"no zip")
        with pytest.raises(NotInstallable, match="can't be unpacked"):
            set_up(str(wheel), tmp_path, house)
        with pytest.raises(NotInstallable, match="holds no version of this program"):
            set_up(str(house), tmp_path, house)


def test_the_digest_tells_inputs_and_settings_apart_but_not_how_often() -> None:
    spec = WORKLOADS["quick"]
    assert digest(spec) == digest(replace(spec, iterations=3, limit_s=1.0, description="x"))
    others = (replace(spec, seed=8), replace(spec, personas=2), replace(spec, latency_ms=1.0))
    assert len({digest(each) for each in (spec, *others)}) == 4


def test_calibration_tells_false_alarms_and_what_can_be_found() -> None:
    drawn = pairs(Noise(), 120, 0.0, np.random.default_rng(1))
    blocks = [drawn[start : start + 5].tolist() for start in range(0, 120, 5)]

    found = of_blocks("quick", blocks, Limits(warn_percent=10, fail_percent=25), Random(1), 200)

    assert found.pairs == 120
    assert found.false_alarm_share <= 0.02
    assert found.false_failure_share == 0
    assert found.found_share >= 0.95
    assert found.failed_share >= 0.95
    assert found.median_pairs <= 100
