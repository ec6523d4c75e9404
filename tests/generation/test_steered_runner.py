"""What holds when a runner is paused, resumed, cancelled or signalled; with real processes."""

import os
import signal
from pathlib import Path

import pytest

from personad.contract.batch import Cancel, Pause, Resume, Retry
from personad.contract.errors import LedgerError

from ..studio import WITHIN_S, Studio  # noqa: TID252
from .test_runner import assert_each_made_once


def test_a_pause_lets_what_is_in_flight_finish_and_starts_nothing_new(studio: Studio) -> None:
    started = studio.record(count=6, concurrency=2)
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="300")
    studio.until(started.batch, lambda state: state.counts.generating == 2)

    studio.ledger.ask(Pause(batch=started.batch))
    state = studio.until_status(started.batch, "paused")

    assert (runner.wait(WITHIN_S), state.reason) == (0, "user")
    assert state.counts.completed == 2
    assert len(studio.calls()) == 2
    assert (Path(started.output) / "index.md").exists()


def test_a_resume_while_pausing_takes_the_pause_back(studio: Studio) -> None:
    started = studio.record(count=4, concurrency=2)
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="300")
    studio.until(started.batch, lambda state: state.counts.generating == 2)

    studio.ledger.ask(Pause(batch=started.batch))
    studio.ledger.ask(Resume(batch=started.batch))

    assert runner.wait(WITHIN_S) == 0
    assert_each_made_once(studio, started)
    assert len(studio.calls()) == 4


def test_a_pause_does_not_wait_for_a_retry(studio: Studio) -> None:
    slow = Retry(retries=5, delay_ms=600_000, jitter=False)
    started = studio.record(count=1, retry=slow)
    runner = studio.staged(started.batch, PERSONA_SIMULATED_ERRORS="1=server_error")
    studio.until(started.batch, lambda state: state.counts.retrying == 1)

    studio.ledger.ask(Pause(batch=started.batch))

    assert studio.until_status(started.batch, "paused").counts.completed == 0
    assert runner.wait(WITHIN_S) == 0


def test_a_cancelled_batch_stops_at_once_and_its_calls_are_unknown(studio: Studio) -> None:
    started = studio.record(count=4, concurrency=2)
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="29000")
    studio.until(started.batch, lambda state: state.counts.generating == 2)

    studio.ledger.ask(Cancel(batch=started.batch))

    assert runner.wait(WITHIN_S) == 0
    assert studio.state(started.batch).status == "cancelled"
    outcomes = [cost.outcome for cost in studio.events(started.batch, "cost.recorded")]
    # One that was granted, and not yet sent when the order came, is given back.
    given_back = list(studio.ledger.read_all(types=["call.abandoned"]))
    assert outcomes == ["unknown"] * (2 - len(given_back))
    assert len(studio.events(started.batch, "call.started")) == 2
    assert not studio.anomalies(started.batch)


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGTERM, "shutdown"), (signal.SIGINT, "user")]
)
def test_a_signal_pauses(studio: Studio, number: signal.Signals, reason: str) -> None:
    started = studio.record(count=6, concurrency=2)
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="200")
    studio.until(started.batch, lambda state: state.counts.generating == 2)

    runner.send_signal(number)
    state = studio.until_status(started.batch, "paused")

    assert (runner.wait(WITHIN_S), state.reason) == (0, reason)
    assert state.counts.completed == 2


def test_a_second_signal_drops_what_is_in_flight(studio: Studio) -> None:
    started = studio.record(count=2, concurrency=2)
    runner = studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="29000")
    studio.until(started.batch, lambda state: state.counts.generating == 2)

    runner.send_signal(signal.SIGTERM)
    studio.until_status(started.batch, "pausing")
    runner.send_signal(signal.SIGTERM)

    assert runner.wait(WITHIN_S) == 0
    assert studio.until_status(started.batch, "interrupted").counts.completed == 0


def test_the_time_limit_pauses(studio: Studio) -> None:
    started = studio.record(count=40, concurrency=1, timeout_ms=300)

    studio.staged(started.batch, PERSONA_SIMULATED_LATENCY_MS="50").wait(WITHIN_S)

    state = studio.state(started.batch)
    assert (state.status, state.reason) == ("paused", "time")


def test_a_tied_runner_pauses_when_its_starter_dies(studio: Studio) -> None:
    started = studio.record(count=40, concurrency=1)
    heard, kept = os.pipe()
    program = [os.sys.executable, "-m", "persona.generation.runner", started.batch, "--tied"]
    pid = os.posix_spawn(
        program[0],
        program,
        os.environ | {"PERSONA_SIMULATED_LATENCY_MS": "50"},
        file_actions=[(os.POSIX_SPAWN_DUP2, heard, 0)],
    )
    os.close(heard)
    studio.until_status(started.batch, "running")

    os.close(kept)
    state = studio.until_status(started.batch, "paused")

    assert os.waitpid(pid, 0)[1] == 0
    assert state.reason == "terminal"


def test_a_runner_of_a_paused_batch_ends_at_once(studio: Studio) -> None:
    started = studio.record()
    studio.ledger.ask(Pause(batch=started.batch))

    assert studio.runner(started.batch).wait(WITHIN_S) == 1
    assert studio.state(started.batch).status == "paused"


def test_a_resume_of_an_ended_batch_is_refused(studio: Studio) -> None:
    started = studio.record(count=2)
    studio.staged(started.batch).wait(WITHIN_S)

    with pytest.raises(LedgerError, match="completed"):
        studio.ledger.ask(Resume(batch=started.batch))
