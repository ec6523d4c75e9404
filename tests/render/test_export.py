"""Where a command's answer goes: a pipe, a terminal of any size, its pager, a file."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

SCRIPT = """
import sys
from persona.app import App, Flags, Output
from persona.render.tables import COUNT, Column, Table
rows = range(int(sys.argv[1]))
columns = (Column("Name", lambda row: f"persona {row}"), Column("Count", lambda row: row, COUNT))
app = App(Flags(no_color="--plain" in sys.argv, no_pager="--no-pager" in sys.argv))
app.emit(Output(), {}, lambda: (Table(columns, rows, "none yet"),))
"""


def on_terminal(*arguments: str, columns: int = 80, lines: int = 24, **environ: str) -> str:
    """What a terminal of that size is sent, with `PAGER=cat` marking what went through it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    usual = ("NO_COLOR", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if name not in usual}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm", "PAGER": "cat -E", **environ},
    ) as process:
        os.close(theirs)
        received = b""
        while select.select([ours], [], [], 30)[0]:
            try:
                received += os.read(ours, 65_536)
            except OSError:  # the terminal's other side was closed
                break
    os.close(ours)
    assert process.returncode == 0
    return received.decode().replace("\r\n", "\n")


def test_a_terminal_gets_a_box() -> None:
    assert "─" in on_terminal("2")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colour_gets_aligned_text(environ: dict[str, str]) -> None:
    assert on_terminal("1", **environ) == "Name       Count\npersona 0      0\n"


def test_no_color_is_an_option_too() -> None:
    assert on_terminal("1", "--plain") == "Name       Count\npersona 0      0\n"


def test_what_fits_the_screen_is_not_paged() -> None:
    assert "$\n" not in on_terminal("20", "--plain")


def test_what_is_longer_than_the_screen_is_paged() -> None:
    assert "persona 30     30$\n" in on_terminal("40", "--plain")
    assert "─" in on_terminal("40")


def test_less_is_told_to_show_colours_and_another_pager_is_sent_none(tmp_path: Path) -> None:
    for name in ("less", "more"):
        (tmp_path / name).write_text('#!/bin/sh\necho "LESS is $LESS"\ncat\n')
        (tmp_path / name).chmod(0o700)
    path = f"{tmp_path}:{os.environ['PATH']}"
    told = on_terminal("40", PAGER="less", PATH=path, LESS="")
    assert told.startswith("LESS is -R\n")
    assert "\x1b[" in told
    assert "\x1b[" not in on_terminal("40", PAGER="more", PATH=path, LESS="")
    assert "\x1b[" not in on_terminal("40", PAGER="less", PATH=path, LESS="-S")


def test_unless_nobody_wants_a_pager() -> None:
    told = on_terminal("40", "--plain", "--no-pager")
    assert "persona 39     39\n" in told
    assert "$\n" not in told


def test_a_terminal_that_does_not_know_its_size_is_not_paged() -> None:
    assert "$\n" not in on_terminal("40", "--plain", columns=0, lines=0)


def test_a_narrow_terminal_gets_a_line_a_value() -> None:
    assert on_terminal("1", "--plain", columns=12) == "Name   persona 0\nCount  0\n"


def test_the_environment_may_say_how_wide_the_terminal_is() -> None:
    assert on_terminal("1", "--plain", COLUMNS="12").startswith("Name   persona 0\n")


def test_an_empty_table_says_what_to_do_next(house: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, "0"], capture_output=True, text=True, check=True
    )

    assert (ended.stdout, ended.stderr) == ("Name  Count\n", "none yet\n")
