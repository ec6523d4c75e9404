"""What holds when a runner works, and ends in the middle; with real processes."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from persona.generation.output import written_personas
from persona.generation.quality import METRICS
from persona.generation.scoring import crowd_of

from personad.contract.admin import Status
from personad.contract.batch import BatchStarted, Retry
from personad.contract.budget import BudgetStatus

from ..staged_runner import POINTS  # noqa: TID252
from ..studio import WITHIN_S, Studio  # noqa: TID252

RETRIES = Retry(retries=2, delay_ms=1, jitter=False)


def assert_each_made_once(studio: Studio, started: BatchStarted) -> None:
    state = studio.state(started.batch)
    assert (state.status, state.counts.completed) == ("completed", started.total)
    completed = [e.persona for e in studio.events(started.batch, "persona.completed")]
    assert len(completed) == len(set(completed)) == started.total
    assert len(studio.personas(started)) == started.total
    costs = studio.events(started.batch, "cost.recorded")
    # What was in flight when a runner died is unknown, until its answer is found on the disk.
    answered = [cost.call for cost in costs if cost.outcome != "unknown"]
    assert len(set(answered)) == len(answered)
    assert state.usage.calls == len({cost.call for cost in costs})
    assert state.usage.input_tokens == sum(cost.input_tokens for cost in costs)
    assert not list(Path(started.output).glob("**/*.tmp"))
    assert not list((studio.paths.runs_dir / started.batch / "calls").glob("*"))
    assert not studio.anomalies(started.batch)


@pytest.mark.parametrize("points", [POINTS[::2], POINTS[1::2]], ids=["even", "odd"])
def test_a_runner_that_dies_at_any_point_is_followed_by_one_that_pays_for_nothing_twice(
    studio: Studio, points: tuple[str, ...]
) -> None:
    batches = {
        point: studio.record(f"batch-{n}", 3, concurrency=1) for n, point in enumerate(points)
    }
    dying = {
        point: studio.staged(started.batch, point, 1 if "finished" in point else 2)
        for point, started in batches.items()
    }
    dead = {point: runner.wait(WITHIN_S) for point, runner in dying.items()}
    for started in batches.values():
        studio.resumed(started.batch)
    following = [studio.staged(started.batch) for started in batches.values()]
    for runner in following:
        runner.wait(WITHIN_S)

    assert dead == dict.fromkeys(points, 9)
    for point, started in batches.items():
        assert_each_made_once(studio, started)
        lost = {"answered": 1, "half saved": 1}.get(point, 0)
        assert len(studio.calls(started.batch)) == 3 + lost, point
        recorded = {str(event.id) for event in studio.events(started.batch)}
        assert studio.acknowledged(started.batch) <= recorded, point


def test_the_same_seed_gives_the_same_personas_whatever_the_concurrency(studio: Studio) -> None:
    source = studio.survey(24)
    made = []
    for batch, concurrency in (("batch-a", 1), ("batch-b", 5)):
        started = studio.record(batch, 5, source=source, seed=7, concurrency=concurrency)
        studio.staged(batch).wait(WITHIN_S)
        made.append([without_its_place(each) for each in studio.personas(started)])

    assert len(made[0]) == 5
    assert made[0] == made[1]


def without_its_place(persona: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on the batch's id, or on which others were finished before it."""
    quality = {
        metric: score
        for metric, score in persona["quality"].items()
        if metric not in ("distinctiveness", "composite")
    }
    return {**persona, "id": "", "provenance": {}, "quality": quality}


def test_each_persona_but_the_first_is_compared_with_those_before_it(studio: Studio) -> None:
    started = studio.record(count=4, concurrency=1)
    studio.staged(started.batch).wait(WITHIN_S)

    first, *others = (each["quality"] for each in studio.personas(started))
    assert "distinctiveness" not in first
    assert all(0 < each["distinctiveness"] < 1 for each in others)
    assert all(set(METRICS) <= set(each) for each in others)


def test_a_run_that_follows_another_compares_with_what_that_one_finished(studio: Studio) -> None:
    started = studio.record(count=3, concurrency=1)
    studio.staged(started.batch).wait(WITHIN_S)
    made = written_personas(Path(started.output), total=3)
    index, first = made[0]

    crowd = crowd_of(started)

    assert crowd.join(4, first).likeness > 0.999
    again = crowd_of(started).join(index, first)
    assert len(again) == 2
    assert again.likeness < 0.9


def test_failures_are_retried_with_their_reasons(studio: Studio) -> None:
    started = studio.record(count=2, retry=RETRIES)
    errors = "1/1=server_error,1/2=timeout,2=bad_request"

    studio.staged(
        started.batch, PERSONA_SIMULATED_ERRORS=errors, PERSONA_SIMULATED_LATENCY_MS="1"
    ).wait(WITHIN_S)

    state = studio.state(started.batch)
    assert (state.status, state.counts.completed, state.counts.failed) == ("partial", 1, 1)
    retrying = studio.events(started.batch, "persona.retrying")
    assert [(e.attempt, e.error.kind) for e in retrying] == [(1, "server_error"), (2, "timeout")]
    (failed,) = studio.events(started.batch, "persona.failed")
    assert (failed.attempts, failed.error.kind) == (1, "bad_request")


def test_all_failing_is_a_failed_batch(studio: Studio) -> None:
    retries = Retry(retries=2, delay_ms=1, jitter=False, breaker_failures=7)
    started = studio.record(count=2, retry=retries)

    studio.staged(started.batch, PERSONA_SIMULATED_ERRORS="server_error:1").wait(WITHIN_S)

    assert studio.state(started.batch).status == "failed"
    assert len(studio.calls()) == 2 * (1 + RETRIES.retries)


def test_a_rate_limit_uses_up_no_retry(studio: Studio) -> None:
    started = studio.record(count=1, retry=Retry(retries=0))
    limits = ",".join(f"1/{attempt}=rate_limit" for attempt in (1, 2, 3))

    studio.staged(
        started.batch, PERSONA_SIMULATED_ERRORS=limits, PERSONA_SIMULATED_RETRY_AFTER_S="0"
    ).wait(WITHIN_S)

    assert_each_made_once(studio, started)
    assert studio.calls() == ["1/1", "1/2", "1/3", "1/4"]


def test_an_unusable_answer_is_asked_for_again_and_paid_for_both_times(studio: Studio) -> None:
    started = studio.record(count=1, retry=RETRIES)

    studio.staged(started.batch, PERSONA_SIMULATED_ERRORS="1/1=invalid_output").wait(WITHIN_S)

    assert_each_made_once(studio, started)
    assert studio.state(started.batch).usage.calls == 2


def test_a_second_runner_leaves_the_batch_to_the_first(studio: Studio) -> None:
    started = studio.record(count=4, concurrency=2)
    first = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="300")
    studio.until_status(started.batch, "running")

    second = studio.staged(started.batch).wait(WITHIN_S)

    assert (first.wait(WITHIN_S), second) == (0, 1)
    assert_each_made_once(studio, started)
    assert len(studio.calls()) == 4


def lost_while_it_lived(studio: Studio, started: BatchStarted) -> subprocess.Popen[bytes]:
    """A runner that was frozen with two calls in flight, until it was called dead."""
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="4000")
    # A grant tells of its persona before the provider is asked.
    asked = studio.notes(started.batch) / "calls"
    studio.until(started.batch, lambda _: asked.exists() and len(studio.calls(started.batch)) == 2)
    runner.send_signal(signal.SIGSTOP)
    studio.until_status(started.batch, "interrupted")
    return runner


def unresolved(studio: Studio) -> int:
    return studio.ledger.ask(BudgetStatus()).unresolved_calls


def test_a_runner_whose_lease_ran_out_hears_its_calls_out_and_starts_no_more(
    studio: Studio,
) -> None:
    started = studio.record(count=4, concurrency=2)
    runner = lost_while_it_lived(studio, started)
    held = unresolved(studio)
    runner.send_signal(signal.SIGCONT)

    assert runner.wait(WITHIN_S) == 0
    left = studio.state(started.batch)
    assert (held, unresolved(studio)) == (2, 0)
    assert (left.status, left.counts.completed, len(studio.calls())) == ("interrupted", 2, 2)
    studio.resumed(started.batch)
    studio.staged(started.batch).wait(WITHIN_S)
    assert_each_made_once(studio, started)
    assert len(studio.calls()) == 4


def test_a_runner_whose_batch_another_one_has_stops_at_once(studio: Studio) -> None:
    started = studio.record(count=4, concurrency=2)
    runner = lost_while_it_lived(studio, started)
    studio.resumed(started.batch)
    following = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="4000")
    studio.until(started.batch, lambda _: len(studio.calls(started.batch)) == 4)
    runner.send_signal(signal.SIGCONT)

    until = time.monotonic() + WITHIN_S
    assert runner.wait(WITHIN_S) == 0
    assert studio.state(started.batch).counts.completed == 0
    assert following.wait(until - time.monotonic()) == 0
    assert_each_made_once(studio, started)
    assert unresolved(studio) == 2


def test_a_runner_that_hears_its_calls_out_lets_go_when_another_takes_the_batch(
    studio: Studio,
) -> None:
    started = studio.record(count=4, concurrency=2)
    runner = lost_while_it_lived(studio, started)
    runner.send_signal(signal.SIGCONT)
    studio.until(started.batch, lambda _: "was lost" in studio.log.read_text())
    studio.resumed(started.batch)
    following = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="50")

    assert runner.wait(WITHIN_S) == 0
    assert following.wait(WITHIN_S) == 0
    assert_each_made_once(studio, started)


def test_a_changed_source_pauses_before_any_call(studio: Studio) -> None:
    started = studio.record(count=3)
    with open(started.source.path, "a") as source:
        source.write("P99,40,I want something else altogether from now on.\n")

    status = studio.runner(started.batch).wait(WITHIN_S)

    state = studio.state(started.batch)
    assert (status, state.status, state.reason) == (1, "paused", "source changed")
    assert not studio.events(started.batch, "call.started")


def test_an_output_folder_that_cannot_be_written_pauses_and_nothing_is_paid_again(
    studio: Studio,
) -> None:
    started = studio.record(count=3, concurrency=1)
    personas = Path(started.output) / "personas"
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="300")
    studio.until(started.batch, lambda state: state.counts.generating == 1)
    personas.rmdir()
    personas.write_text("in the way")

    assert runner.wait(WITHIN_S) == 1
    state = studio.state(started.batch)
    assert (state.status, state.reason) == ("paused", "output folder")
    personas.unlink()
    studio.resumed(started.batch)
    studio.staged(started.batch).wait(WITHIN_S)

    assert_each_made_once(studio, started)
    assert len(studio.calls()) == 3


def test_a_vanished_output_folder_is_made_again(studio: Studio) -> None:
    started = studio.record(count=3)
    output = Path(started.output)
    (output / "personas").rmdir()
    (output / ".batch").unlink()
    output.rmdir()

    studio.staged(started.batch).wait(WITHIN_S)

    assert_each_made_once(studio, started)


def test_an_unexpected_error_pauses_the_batch_and_stands_in_the_log(studio: Studio) -> None:
    started = studio.record(provider="nobody")

    status = studio.runner(started.batch, OPENAI_API_KEY="sk-secret-12345").wait(WITHIN_S)

    state = studio.state(started.batch)
    assert (status, state.status, state.reason) == (1, "paused", "error")
    said = studio.persona("batch", "show", started.batch).stderr
    assert "UnknownProviderError: there is no provider `nobody`" in said
    assert f"; `persona batch logs {started.batch}` has all of it\n" in said
    log = studio.log.read_text()
    assert "Traceback" in log
    assert "there is no provider `nobody`" in log
    assert "sk-secret-12345" not in log


def test_a_daemon_that_is_killed_is_started_again_and_nothing_is_lost(studio: Studio) -> None:
    started = studio.record(count=8, concurrency=2)
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="100")
    studio.until(started.batch, lambda state: state.counts.completed >= 2)

    studio.kill_daemon()

    assert runner.wait(WITHIN_S) == 0
    assert_each_made_once(studio, started)
    assert len(studio.calls()) == 8
    assert studio.acknowledged() <= {str(e.id) for e in studio.events(started.batch)}
    assert studio.ledger.ask(Status()).quarantined == 0


def test_a_batch_that_nobody_planned_is_named(studio: Studio) -> None:
    studio.record()

    assert studio.runner("batch-none").wait(WITHIN_S) == 1
    assert "there is no batch 'batch-none'" in studio.log.read_text()


def test_a_wrong_configuration_ends_the_runner_with_its_reason(studio: Studio) -> None:
    started = studio.record()

    status = studio.runner(started.batch, PERSONA_GENERATE_CONCURRENCY="many").wait(WITHIN_S)

    assert status == 78
    assert "PERSONA_GENERATE_CONCURRENCY" in studio.log.read_text()
