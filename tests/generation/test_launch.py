"""Starting a runner: it has begun, or it is said why not; tied to its starter, or alone."""

import os
from pathlib import Path

import pytest
from persona.generation.launch import DETACHED, LOG, RunnerFailed, Standby, Tie, spawn_runner

from ..studio import Studio  # noqa: TID252


def environment(**more: str) -> dict[str, str]:
    return os.environ | more


def test_a_started_runner_has_the_batch_and_finishes_it(studio: Studio) -> None:
    started = studio.record(count=2)

    tie = spawn_runner(studio.paths, started.batch)

    assert tie is None
    assert studio.until_status(started.batch, "completed").counts.completed == 2


def test_the_log_is_for_its_owner_alone(studio: Studio) -> None:
    started = studio.record(count=1)

    spawn_runner(studio.paths, started.batch)

    log = studio.paths.runs_dir / started.batch / LOG
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700
    studio.until_status(started.batch, "completed")


def test_a_tied_runner_pauses_when_the_tie_is_cut(studio: Studio) -> None:
    started = studio.record(count=40, concurrency=1)
    slow = environment(PERSONA_SIMULATED_LATENCY_MS="100")
    tie = spawn_runner(studio.paths, started.batch, tied=True, environ=slow)
    studio.until_status(started.batch, "running")

    assert tie is not None
    os.close(tie._descriptor)

    assert studio.until_status(started.batch, "paused").reason == "terminal"


def test_a_detached_runner_goes_on_alone(studio: Studio) -> None:
    started = studio.record(count=6, concurrency=1)
    slow = environment(PERSONA_SIMULATED_LATENCY_MS="50")
    tie = spawn_runner(studio.paths, started.batch, tied=True, environ=slow)

    assert tie is not None
    tie.detach()
    os.close(tie._descriptor)

    assert studio.until_status(started.batch, "completed", "paused").status == "completed"


def test_letting_go_of_a_runner_that_has_ended_is_no_error() -> None:
    heard, kept = os.pipe()
    os.close(heard)

    Tie(kept).detach()

    os.close(kept)


def test_what_says_that_it_detaches_is_heard() -> None:
    heard, kept = os.pipe()

    Tie(kept).detach()

    assert os.read(heard, 9) == DETACHED
    os.close(heard)
    os.close(kept)


def test_a_runner_that_cannot_begin_is_told_with_its_reason(studio: Studio) -> None:
    studio.record()
    wrong = environment(PERSONA_GENERATE_CONCURRENCY="many")

    with pytest.raises(RunnerFailed, match="PERSONA_GENERATE_CONCURRENCY") as failed:
        spawn_runner(studio.paths, "batch-a", environ=wrong)

    assert str(studio.paths.runs_dir / "batch-a" / LOG) in failed.value.hint


def test_a_batch_that_is_not_there_is_named(studio: Studio) -> None:
    studio.record()

    with pytest.raises(RunnerFailed, match="there is no batch 'batch-none'"):
        spawn_runner(studio.paths, "batch-none", tied=True)


def test_two_starts_give_one_runner(studio: Studio) -> None:
    started = studio.record(count=4, concurrency=1)
    slow = environment(PERSONA_SIMULATED_LATENCY_MS="100")

    spawn_runner(studio.paths, started.batch, environ=slow)
    spawn_runner(studio.paths, started.batch, environ=slow)

    assert studio.until_status(started.batch, "completed").counts.completed == 4
    calls = studio.events(started.batch, "call.started")
    assert len(calls) == 4


def test_no_folder_for_the_run_is_an_error_of_the_system(studio: Studio) -> None:
    studio.record()
    studio.paths.runs_dir.write_text("in the way")

    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        spawn_runner(studio.paths, "batch-a")


def test_a_runner_is_started_where_its_working_folder_is_gone(studio: Studio, house: Path) -> None:
    started = studio.record(count=1)
    gone = house / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    spawn_runner(studio.paths, started.batch)
    os.chdir(house)

    assert studio.until_status(started.batch, "completed").counts.completed == 1


@pytest.mark.cold
def test_a_runner_that_is_told_no_batch_ends_by_itself(studio: Studio) -> None:
    with Standby(studio.paths, tied=True, environ=os.environ) as runner:
        assert runner._process is not None
        pid = runner._process.pid

    ended, status = os.waitpid(pid, 0)

    assert (ended, status) == (pid, 0)


def test_a_runner_that_cannot_load_is_told_with_its_reason(studio: Studio, house: Path) -> None:
    studio.record()
    broken = house / "broken"
    broken.mkdir()
    (broken / "anyio.py").write_text("raise SystemError('broken library')")

    with pytest.raises(RunnerFailed, match="broken library"):
        spawn_runner(studio.paths, "batch-a", environ=environment(PYTHONPATH=str(broken)))
