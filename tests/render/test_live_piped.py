"""The live view without a terminal: lines, JSON or nothing, and what ends it."""

import json
import signal
import subprocess
import sys

import pytest

from .conftest import OWNER
from .live_runner import BATCH, Runner


def piped(*arguments: str) -> "subprocess.Popen[str]":
    """A program without any terminal."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_without_a_terminal_each_that_ended_is_a_line(runner: Runner) -> None:
    program = piped(OWNER, BATCH, "detailed")
    assert program.stderr is not None
    runner.complete(1)
    assert program.stderr.readline().startswith("[1/3] completed  persona-000000000001")
    runner.begin(2, 3)
    runner.complete(2)
    runner.fail(3)
    runner.finish("partial")

    out, err = program.communicate(timeout=20)
    assert program.returncode == 1
    assert out.startswith("2 of 3 personas completed, 1 failed · ")
    assert "[3/3] failed     persona-000000000003  after 4 attempts: timeout: no answer\n" in err


def test_quiet_says_only_how_it_ended(runner: Runner) -> None:
    program = piped(OWNER, BATCH, "quiet")
    runner.complete(1)
    runner.begin(2, 3)
    runner.complete(2, 3)
    runner.finish("completed")

    out, err = program.communicate(timeout=20)
    assert (program.returncode, err) == (0, "")
    assert out.startswith("3 of 3 personas completed · ")


def test_json_is_one_object_a_change_and_nothing_else(runner: Runner) -> None:
    program = piped("-m", "persona", "batch", "watch", BATCH, "--progress", "json")
    assert program.stdout is not None
    first = json.loads(program.stdout.readline())
    assert (first["persona"]["index"], first["persona"]["status"]) == (1, "generating")
    runner.complete(1)
    second = json.loads(program.stdout.readline())
    assert (second["persona"]["name"], second["counts"]["completed"]) == ("Anna the 1.", 1)
    runner.begin(2, 3)
    runner.complete(2, 3)
    runner.finish("completed")

    out, err = program.communicate(timeout=20)
    assert (program.returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["status"] == "completed"


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGHUP, "terminal"), (signal.SIGTERM, "shutdown")]
)
def test_without_a_terminal_what_ends_the_client_pauses_the_batch(
    number: signal.Signals, reason: str, runner: Runner
) -> None:
    program = piped(OWNER, BATCH, "detailed")
    assert program.stderr is not None
    runner.complete(1)
    assert program.stderr.readline().startswith("[1/3] completed")
    program.send_signal(number)
    assert program.stderr.readline().startswith("pausing: nothing is in flight")
    assert runner.state.reason == reason
    runner.stand_still(reason)

    program.communicate(timeout=20)
    assert program.returncode == 130
