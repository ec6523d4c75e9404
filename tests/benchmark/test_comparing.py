from typing import Any

import pytest
from msgspec.structs import replace
from persona.benchmark.baseline_file import Accepted
from persona.benchmark.comparing import ComparedMetric, compare
from persona.benchmark.metrics import METRICS, limits_of, metric, statistics

from personad.contract.options import DEFAULTS
from tests.benchmark.kept import HERE, kept, with_workload

SETTINGS = DEFAULTS.benchmark


def lines(scale: dict[str, float], **more: Any) -> dict[str, ComparedMetric]:
    found = compare(kept(**more), kept("now", seed=2, scale=scale), SETTINGS)
    return {line.metric: line for line in found.metrics}


def test_at_most_five_metrics_gate() -> None:
    assert sum(each.gates for each in METRICS) == 5


def test_every_metric_has_limits_in_the_configuration() -> None:
    for each in METRICS:
        limits = limits_of(each, SETTINGS)
        assert 0 <= limits.warn_percent <= limits.fail_percent
    assert limits_of(metric("memory_peak_mb") or METRICS[0], SETTINGS).fail_percent == 50
    assert metric("nonsense") is None


class TestVerdicts:
    def test_a_run_of_the_same_program_is_the_same(self) -> None:
        found = compare(kept(), kept("now", seed=2), SETTINGS)
        assert (found.comparable, found.verdict, found.reason) == (True, "same", None)
        assert all(line.verdict == "same" for line in found.metrics if line.gates)

    def test_a_tenth_more_time_on_a_core_is_a_warning_with_its_interval(self) -> None:
        line = lines({"cpu_ms": 1.1})["cpu_floor_ms"]
        assert line.verdict == "warning"
        assert line.change_percent == pytest.approx(10, abs=3)
        assert line.low_percent is not None
        assert line.high_percent is not None
        assert 0 < line.low_percent < 10 < line.high_percent

    def test_an_added_wait_is_found_by_the_median(self) -> None:
        assert lines({"generation_latency_ms": 1.4})["generation_latency_p50"].verdict == "failure"

    def test_one_call_more_is_a_failure_and_one_token_more_a_warning(self) -> None:
        assert lines({"api_calls": 4 / 3})["api_calls_per_persona"].verdict == "failure"
        assert lines({"tokens": 6_001 / 6_000})["tokens_per_persona"].verdict == "warning"

    def test_less_throughput_is_worse_and_gates_nothing(self) -> None:
        found = lines({"generation_latency_ms": 1.4})["throughput_personas_per_minute"]
        assert (found.verdict, found.gates) == ("failure", False)
        assert found.change_percent is not None
        assert found.change_percent < 0

    def test_an_accepted_change_is_the_same_and_says_why(self) -> None:
        accepted = [Accepted(metric="tokens_per_persona", reason="longer evidence")]
        found = compare(kept(accepted=accepted), kept("now", scale={"tokens": 1.5}), SETTINGS)
        (line,) = [line for line in found.metrics if line.metric == "tokens_per_persona"]
        assert (line.verdict, line.note) == ("same", "accepted: longer evidence")
        assert found.verdict == "same"

    def test_a_cost_where_there_was_none_has_no_percentage(self) -> None:
        scaled = kept("now")
        runs = [run | {"cost_nanousd": [5.0] * 20} for run in scaled.workloads["standard"].runs]
        found = compare(kept(), with_workload(scaled, runs=runs), SETTINGS)
        (line,) = [line for line in found.metrics if line.metric == "cost_per_persona_usd"]
        assert (line.verdict, line.change_percent) == ("failure", None)

    def test_a_time_of_nothing_is_not_comparable(self) -> None:
        runs = [run | {"ttft_ms": [0.0] * 20} for run in kept().workloads["standard"].runs]
        found = compare(with_workload(kept(), runs=runs), kept("now"), SETTINGS)
        (line,) = [line for line in found.metrics if line.metric == "time_to_first_token"]
        assert line.verdict == "not comparable"

    def test_four_processes_decide_nothing(self) -> None:
        found = compare(kept(processes=4), kept("now"), SETTINGS)
        (line,) = [line for line in found.metrics if line.metric == "cpu_floor_ms"]
        assert line.verdict == "not comparable"


class TestWhatCanBeCompared:
    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"cpu": "Another"}, "another machine: cpu was Some CPU @ 2.0 GHz, and is Another"),
            ({"cores": 64}, "another machine: cores was 2, and is 64"),
            ({"python_version": "3.12.1"}, "another Python: it was 3.11, and is 3.12"),
        ],
    )
    def test_another_machine_or_python_is_no_verdict(
        self, changed: dict[str, Any], reason: str
    ) -> None:
        found = compare(kept(), kept("now", environment=replace(HERE, **changed)), SETTINGS)
        assert (found.comparable, found.verdict, found.metrics) == (False, "not comparable", [])
        assert found.reason == reason

    def test_a_patch_release_of_python_and_more_memory_are(self) -> None:
        there = replace(HERE, python_version="3.11.9", memory_gb=48.0)
        assert compare(kept(), kept("now", environment=there), SETTINGS).comparable

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"input_digest": "sha256:def"}, "another standard: its input digest was"),
            ({"model": "other"}, "another standard: its model was"),
            ({"interrupted": True}, "the run's standard was interrupted, and is only a part"),
        ],
    )
    def test_another_or_half_a_workload_is_no_verdict(
        self, changed: dict[str, Any], reason: str
    ) -> None:
        found = compare(kept(), with_workload(kept("now"), **changed), SETTINGS)
        assert found.verdict == "not comparable"
        assert found.reason is not None
        assert found.reason.startswith(reason)

    def test_no_workload_in_common_is_said(self) -> None:
        other = replace(kept("now"), workloads={"quick": kept().workloads["standard"]})
        assert compare(kept(), other, SETTINGS).reason == "they have no workload in common"


class TestStatistics:
    def test_high_percentiles_need_enough_samples(self) -> None:
        few = statistics([{"cpu_ms": [1.0] * 29}, {"cpu_ms": [2.0] * 29}])["cpu_ms"]
        assert (few.n, few.p50, few.p95, few.p99) == (58, 1.0, None, None)
        many = statistics([{"cpu_ms": [float(n) for n in range(1, 301)]}])["cpu_ms"]
        assert (many.p50, many.p95, many.p99) == (150, 285, 297)

    def test_one_sample_has_no_spread_and_none_no_statistics(self) -> None:
        assert statistics([{"cpu_ms": [3.0], "ttft_ms": []}]).keys() == {"cpu_ms"}
        assert statistics([{"cpu_ms": [3.0]}])["cpu_ms"].std == 0

    def test_p95_is_not_told_of_few_samples(self) -> None:
        names = lines({}, iterations=10)
        assert "generation_latency_p95" not in names
        assert "generation_latency_p50" in names
