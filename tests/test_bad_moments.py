"""What ends in the middle of `generate`: the command says so, and nothing is lost or made twice."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from personad.contract.batch import BatchList, BatchState

from .render.live_terminal import Program
from .studio import WITHIN_S, Studio

COUNT = 5
SLOWLY = {"PERSONA_SIMULATED_LATENCY_MS": "300"}


def arguments(studio: Studio) -> list[str]:
    options = ["-n", str(COUNT), "--provider", "simulated", "--concurrency", "1"]
    source = str(studio.survey())
    return ["-m", "persona", "generate", "--from", source, "--output", "out", *options]


@contextmanager
def begun(studio: Studio) -> "Iterator[subprocess.Popen[str]]":
    """The real command without a terminal, once it has told of the first persona."""
    with subprocess.Popen(
        [sys.executable, *arguments(studio)],
        env=os.environ | SLOWLY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            assert command.stderr is not None
            assert command.stderr.readline().startswith(f"[1/{COUNT}] completed")
            yield command
        finally:
            command.kill()


def assert_files_whole() -> None:
    documents = sorted(Path("out/personas").glob("*.json"))
    assert documents
    for path in documents:
        assert json.loads(path.read_bytes())["name"]
        assert path.with_suffix(".md").exists()


def assert_each_made_once(studio: Studio) -> BatchState:
    (only,) = studio.ledger.ask(BatchList()).batches
    state = studio.state(only.batch)
    assert (state.status, state.counts.completed) == ("completed", COUNT)
    completed = Counter(event.persona for event in studio.events(state.batch, "persona.completed"))
    assert set(completed.values()) == {1}
    assert studio.anomalies(state.batch) == []
    documents = [json.loads(path.read_bytes()) for path in Path("out/personas").glob("*.json")]
    assert {each["id"] for each in documents} == set(completed)
    assert json.loads(Path("out/batch.json").read_bytes())["status"] == "completed"
    return state


def test_a_killed_daemon_is_not_even_noticed(studio: Studio) -> None:
    with begun(studio) as command:
        studio.kill_daemon()

        said, _ = command.communicate(timeout=WITHIN_S)

    assert command.returncode == 0
    assert said.startswith(f"{COUNT} of {COUNT} personas completed")
    assert_each_made_once(studio)


def test_a_killed_runner_is_told_with_the_command_that_goes_on(studio: Studio) -> None:
    with begun(studio) as command:
        (runner,) = studio.runners()
        os.kill(runner, signal.SIGKILL)

        said, more = command.communicate(timeout=WITHIN_S)

    assert command.returncode == 75
    assert said.startswith("interrupted")
    (only,) = studio.ledger.ask(BatchList()).batches
    resume = f"persona generate --resume {only.batch}"
    assert resume in said + more
    assert_files_whole()
    resumed = studio.persona(*resume.split()[1:])
    assert resumed.returncode == 0, resumed.stderr
    assert_each_made_once(studio)


def test_a_closed_terminal_stops_nothing(studio: Studio) -> None:
    program = Program(arguments(studio), columns=40, environ=SLOWLY)
    try:
        program.until("completed")
        status = program.hang_up()
    finally:
        program.close()

    assert status == 0
    (only,) = studio.ledger.ask(BatchList()).batches
    studio.until_status(only.batch, "completed")
    assert_each_made_once(studio)
