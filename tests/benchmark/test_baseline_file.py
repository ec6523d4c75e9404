from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from msgspec.structs import replace
from persona.benchmark.baseline_file import (
    Accepted,
    Baseline,
    BaselineError,
    Judged,
    dump,
    figures,
    load,
    parse,
    thresholds_of,
)

from personad.contract.options import DEFAULTS
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


def test_what_people_write_is_theirs_to_change() -> None:
    text = dump(replace(kept(), thresholds=thresholds_of(DEFAULTS.benchmark)))
    line = b"memory_peak_mb: {warn: 20, fail: 50, better: lower}"
    assert line in text
    changed = text.replace(line, b"memory_peak_mb: {warn: 5, fail: 50, better: lower}")
    changed = changed.replace(
        b"accepted: []", b"accepted: [{metric: tokens_per_persona, reason: x}]"
    )
    found = parse(changed, "v1.yaml")
    assert found.thresholds["memory_peak_mb"].warn == 5
    assert found.accepted[0].reason == "x"


def test_one_sample_that_was_edited_is_found_by_the_checksum() -> None:
    text = dump(kept())
    begin = text.index(b"generation_latency_ms: [") + len(b"generation_latency_ms: [")
    edited = text[:begin] + b"9" + text[begin:]
    assert "checksum" in str(refused(edited))
    other = text.replace(b"input_digest: sha256:abc", b"input_digest: sha256:abd")
    assert "it was edited" in str(refused(other))


@pytest.mark.parametrize("sample", [b".nan", b"nan", b"many", b"true", b"1e999", b"[1]", b".inf"])
def test_a_sample_that_is_no_number_is_named(sample: bytes) -> None:
    text = dump(kept()).replace(b"api_calls: [3,", b"api_calls: [" + sample + b",", 1)
    said = str(refused(text))
    assert said == "workloads.standard.runs[1].api_calls has a sample that is no number"


def judged(warn: float, fail: float, better: Literal["lower", "higher"] = "lower") -> Judged:
    return Judged(warn=warn, fail=fail, better=better)


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
            (b"format: 1\nother: x", "unknown field `other`"),
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
            (
                lambda whole: replace(whole, accepted=[Accepted(metric="tokns", reason="x")]),
                "accepted: there is no metric tokns",
            ),
            (
                lambda whole: replace(whole, thresholds={"nothing": judged(10, 25)}),
                "thresholds: there is no nothing",
            ),
            (
                lambda whole: replace(whole, thresholds={"memory_peak_mb": judged(25, 10)}),
                "they are reversed",
            ),
            (
                lambda whole: replace(whole, thresholds={"memory_peak_mb": judged(1, 2, "higher")}),
                "lower is better",
            ),
        ],
    )
    def test_what_can_t_be_trusted_is_refused(
        self, change: Callable[[Baseline], Baseline], message: str
    ) -> None:
        assert message in str(refused(dump(change(kept()))))
