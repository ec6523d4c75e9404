"""The live view whole: a real daemon, a real terminal, and a runner that the test plays."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from persona.client import Ledger

from .conftest import OWNER, Start
from .live_runner import BATCH, Runner
from .live_terminal import Program


def test_a_batch_is_shown_while_it_goes_on_and_its_end_stays(
    runner: Runner, own: Callable[..., Program]
) -> None:
    program = own()
    program.until("generating")
    runner.complete(1)
    program.until("Anna the 1.")
    runner.begin(2, 3)
    runner.complete(2, 3)
    runner.finish("completed")

    assert program.end() == 0
    shown = program.screen.text
    assert "100%   3 of 3" in shown
    assert "3 of 3 personas completed · " in shown
    assert shown.endswith(" · mean quality 0.82 · outputs")
    assert "p pause" not in shown
    assert program.screen.cursor_is_shown


def test_some_that_failed_are_said_with_their_reason(
    runner: Runner, own: Callable[..., Program]
) -> None:
    program = own()
    program.until("generating")
    runner.fail(1)
    runner.begin(2, 3)
    runner.complete(2, 3)
    runner.finish("partial")

    assert program.end() == 1
    assert "timeout: no answer (after 4 attempts)" in program.screen.text


@pytest.mark.parametrize("key", ["q", "\x03"])
def test_leaving_pauses_and_says_how_to_go_on(
    key: str, runner: Runner, own: Callable[..., Program]
) -> None:
    program = own()
    program.until("generating")
    program.press(key)
    program.until("pausing, 1 in flight")
    program.until("Ctrl-C again within 2 seconds leaves at once")
    runner.complete(1)
    runner.stand_still("user")

    assert program.end() == 130
    assert "paused: 1 of 3 personas completed" in program.screen.text
    assert f"resume it with: persona generate --resume {BATCH}" in program.screen.text


def test_a_second_ctrl_c_leaves_at_once(runner: Runner, own: Callable[..., Program]) -> None:
    program = own()
    program.until("generating")
    program.press("\x03")
    program.until("pausing, 1 in flight")
    program.press("\x03")

    assert program.end() == 130
    assert f"resume it with: persona generate --resume {BATCH}" in program.screen.text
    assert runner.state.status == "pausing"


def test_the_batch_is_paused_and_resumed_by_one_key(
    runner: Runner, own: Callable[..., Program]
) -> None:
    program = own()
    program.until("generating")
    program.press("p")
    program.until("pausing, 1 in flight")
    runner.complete(1)
    runner.stand_still("user")
    program.until("paused (user)")
    program.press("p")
    program.until("  running")
    program.press("p")
    program.until("paused (user)")
    program.press("q")

    assert program.end() == 130


def test_a_pause_that_is_regretted_ends_as_soon_as_it_can(
    runner: Runner, own: Callable[..., Program]
) -> None:
    program = own()
    program.until("generating")
    program.press("q")
    program.until("pausing, 1 in flight")
    program.press("p")
    program.until("it goes on as soon as what is in flight is finished")
    runner.complete(1)
    runner.stand_still("user")

    program.until("  running")
    assert runner.state.status == "running"


def test_a_resume_that_fails_says_why_and_leaves_the_view_as_it_is(
    runner: Runner, own: Callable[..., Program]
) -> None:
    program = own(environ={"NO_RUNNER": "1"})
    program.until("generating")
    runner.complete(1)
    runner.stand_still("user")
    program.until("paused (user)")
    program.press("p")

    program.until("it could not be resumed: no room for a process; nothing was started")
    program.press("d")
    assert program.end() == 0
    assert "nothing more is spent" in program.screen.text


def test_detaching_leaves_the_batch_to_itself(runner: Runner, own: Callable[..., Program]) -> None:
    program = own()
    program.until("generating")
    program.press("d")

    assert program.end() == 0
    shown = program.screen.text
    assert Path("detached").exists()
    assert f"{BATCH} goes on without this view; " in shown
    assert f"come back with: persona batch watch {BATCH}" in shown
    assert runner.state.status == "running"


def test_cancelling_wants_a_second_key(runner: Runner, own: Callable[..., Program]) -> None:
    program = own()
    program.until("generating")
    program.press("c")
    program.until("Cancel this batch for good?")
    program.press("n")
    program.until("p pause")
    assert runner.state.status == "running"
    program.press("c")
    program.until("Cancel this batch for good?")
    program.press("y")

    assert program.end() == 1
    assert "cancelled: 0 of 3 personas completed" in program.screen.text
    assert runner.state.status == "cancelled"


def test_a_stop_that_nobody_wanted_ends_the_view(
    runner: Runner, own: Callable[..., Program]
) -> None:
    program = own()
    program.until("generating")
    runner.complete(1)
    runner.stand_still("budget")

    assert program.end() == 75
    assert "paused (budget): 1 of 3 personas completed" in program.screen.text


def test_sigterm_pauses(runner: Runner, own: Callable[..., Program]) -> None:
    program = own()
    program.until("generating")
    program.signal(signal.SIGTERM)
    program.until("pausing, 1 in flight")
    assert runner.state.reason == "shutdown"
    runner.complete(1)
    runner.stand_still("shutdown")

    assert program.end() == 130


def test_sigterm_again_leaves_at_once(runner: Runner, own: Callable[..., Program]) -> None:
    program = own()
    program.until("generating")
    program.signal(signal.SIGTERM)
    program.until("pausing, 1 in flight")
    program.signal(signal.SIGTERM)

    assert program.end() == 130
    assert f"resume it with: persona generate --resume {BATCH}" in program.screen.text


def test_a_closed_terminal_detaches(runner: Runner, own: Callable[..., Program]) -> None:
    program = own()
    program.until("generating")

    assert program.hang_up() == 0
    assert Path("detached").exists()
    assert runner.state.status == "running"


def test_ctrl_z_gives_the_terminal_back_and_takes_it_again(runner: Runner, start: Start) -> None:
    shell = start("--norc", "--noprofile", "--noediting", "-i", program="/bin/bash", columns=200)
    shell.press(f"{sys.executable} {OWNER} {BATCH} detailed\n")
    shell.until("1  persona-000000000001  generating")
    assert shell.modes != shell.before[3]
    shell.press("\x1a")
    shell.until("Stopped")
    shell.until(lambda screen: screen.cursor_is_shown)
    assert shell.modes == shell.before[3]

    shell.press("bg\n")
    shell.until("live_owner.py batch-2026-11-23-a1b2c3 detailed &")
    runner.complete(1)
    shell.press("fg\n")
    shell.until("Anna the 1.")
    assert shell.modes != shell.before[3]
    shell.press("d")
    shell.until("come back with")
    shell.press("exit\n")
    assert shell.end() == 0


def test_a_viewer_only_leaves(runner: Runner, view: Callable[..., Program]) -> None:
    for key, status in (("q", 0), ("\x03", 130)):
        program = view()
        program.until("generating")
        assert "d detach" not in program.screen.text
        program.press(key)

        assert program.end() == status
        assert "resume it" not in program.screen.text
    assert runner.state.status == "running"


def test_a_viewer_sees_what_others_do(runner: Runner, view: Callable[..., Program]) -> None:
    program = view()
    program.until("generating")
    program.press("p")
    program.until("pausing, 1 in flight")
    runner.complete(1)
    runner.stand_still("user")
    program.until("paused (user)")
    program.press("p")
    program.until("it could not be resumed: /data doesn't exist")
    program.press("q")

    assert program.end() == 0


def test_a_viewer_that_is_ended_leaves_the_batch_alone(
    runner: Runner, view: Callable[..., Program]
) -> None:
    program = view()
    program.until("generating")
    program.signal(signal.SIGTERM)

    assert program.end() == 130
    assert runner.state.status == "running"


def test_a_view_outlives_its_daemon(runner: Runner, own: Callable[..., Program]) -> None:
    program = own(environ={"PERSONA_AUTOSTART": "0"}, columns=200)
    program.until("generating")
    subprocess.run([sys.executable, "-m", "personad", "stop"], check=True, capture_output=True)
    program.press("p")
    program.until("no personad answers")
    program.press("x")
    program.until("the ledger does not answer; this is what was last known")
    subprocess.run([sys.executable, "-m", "personad", "start"], check=True, capture_output=True)
    runner.complete(1)
    program.until("Anna the 1.")
    program.press("d")

    assert program.end() == 0


def test_rows_are_scrolled_with_the_arrows(ledger: Ledger, view: Callable[..., Program]) -> None:
    Runner(ledger, 40).begin(1)
    program = view(rows=20)
    program.until("more below")
    program.press("\x1b[F")
    program.until(lambda screen: "40  persona-000000000028" in screen.text)
    program.until("more above")
    program.press("\x1b[H")
    program.until(lambda screen: " 1  persona-000000000001" in screen.text)
    program.press("\x1b[B")
    program.until("1 more above")
    program.press("\x1b[6~")
    program.until("f follow")
    program.press("\x1b[A\x1b[5~f")
    program.until(lambda screen: "f follow" not in screen.text and "generating" in screen.text)
    program.press("q")

    assert program.end() == 0


def test_the_view_fits_a_window_that_changes(runner: Runner, view: Callable[..., Program]) -> None:
    program = view(columns=100, rows=24)
    program.until("#  ID                    Status")
    program.screen.columns = 44
    program.resize(44, 24)

    program.until("ID              Time Qual     Cost")
    program.press("q")
    assert program.end() == 0


def test_compact_is_one_line(runner: Runner, own: Callable[..., Program]) -> None:
    program = own("compact")
    program.until("0/3 · running · 1 in flight")
    runner.complete(1)
    program.until("1/3 · running")
    assert len(program.screen.text.splitlines()) == 1
    runner.begin(2, 3)
    runner.complete(2, 3)
    runner.finish("completed")

    assert program.end() == 0
    assert len(program.screen.text.splitlines()) == 2


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_can_not_draw_gets_lines(
    environ: dict[str, str], runner: Runner, own: Callable[..., Program]
) -> None:
    program = own(environ=environ)
    runner.complete(1)

    program.until("[1/3] completed  persona-000000000001  Anna the 1.  1.5s  quality 0.82")
    program.press("\x03")
    program.until("pausing: nothing is in flight")


def test_a_batch_that_is_not_there(ledger: Ledger, start: Start) -> None:
    program = start("-m", "persona", "batch", "watch", "batch-none")

    assert program.end() == 64
    assert "there is no batch" in program.screen.text
