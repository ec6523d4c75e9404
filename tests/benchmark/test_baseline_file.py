from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from persona.benchmark.baseline_file import (
    Accepted,
    Baseline,
    BaselineError,
    dump,
    figures,
    load,
    parse,
)

from tests.benchmark.kept import kept, with_workload


def test_what_is_written_is_read_back_and_written_the_same() -> None:
    whole = kept(accepted=[Accepted(metric="tokens_per_persona", reason="longer quotes")])
    text = dump(whole)
    found = parse(text, "v1.yaml")
    assert dump(found) == text
    assert (found.name, found.commit, found.accepted) == (whole.name, whole.commit, whole.accepted)
    was, now = whole.workloads["standard"], found.workloads["standard"]
    assert figures(now) == pytest.approx(figures(was), rel=1e-6)


def test_a_process_s_samples_are_one_line() -> None:
    text = dump(kept()).decode()
    lines = [line for line in text.splitlines() if "cpu_ms: [" in line]
    assert len(lines) == 5
    assert all(line.endswith("]") for line in lines)


def test_an_interrupted_run_says_so() -> None:
    assert (
        parse(dump(with_workload(kept(), interrupted=True)), "x").workloads["standard"].interrupted
    )


def refused(text: bytes) -> BaselineError:
    with pytest.raises(BaselineError) as caught:
        parse(text, "v1.yaml")
    assert caught.value.EXIT_CODE == 65
    return caught.value


class TestBadFiles:
    def test_a_missing_one_says_how_to_make_one(self, tmp_path: Path) -> None:
        with pytest.raises(BaselineError, match="no such baseline") as caught:
            load(tmp_path / "none.yaml")
        assert "capture" in str(caught.value.hint)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b"a: [1, 2", "it is no YAML"),
            (b"\xff\xfe\x00", "it is no YAML"),
            (b"- 1", "it is no baseline: a map"),
            (b"", "it is no baseline: a map"),
            (b"name: x", "it has format None"),
            (b"format: 1\nname: x", "missing required field"),
            (b"[" * 5_000, "it is no YAML"),
        ],
    )
    def test_what_is_no_baseline_is_said(self, text: bytes, message: str) -> None:
        assert message in str(refused(text))

    def test_a_broken_line_is_named(self) -> None:
        assert refused(b"name: x\nversion: [1\nother: }").source == "v1.yaml:3"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda whole: replace(whole, format=2), "it has format 2"),
            (lambda whole: replace(whole, version="2.0.0"), "which is newer than this one"),
            (
                lambda whole: with_workload(whole, runs=[{"cpu_ms": [1.0, float("nan")]}]),
                "a sample that is no number",
            ),
            (lambda whole: with_workload(whole, runs=[], metrics={}), "has no samples"),
            (
                lambda whole: with_workload(whole, metrics={"cpu_floor_ms": 1.0}),
                "it was edited",
            ),
        ],
    )
    def test_what_can_t_be_trusted_is_refused(
        self, change: Callable[[Baseline], Baseline], message: str
    ) -> None:
        assert message in str(refused(dump(change(kept()))))
