"""The `personad` program: what it says and how it ends, with a daemon and without."""

import fcntl
import json
import logging
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from personad import carrying, cli, doctor
from personad.contract.admin import Status
from personad.contract.base import VERSION
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from personad.contract.schema import json_schema
from personad.doctor import examine
from personad.journal import KEPT_FILES, open_journal, readable
from personad.locks import Held, lock
from personad.report import status_json, status_text

from .conftest import Running
from .facts import planned


def test_status_is_shown_as_figures_and_as_json(daemon: Running) -> None:
    daemon.append(*planned())
    shown = daemon.command("status")
    assert shown.returncode == 0
    assert "last seq      3" in shown.stdout
    found = json.loads(daemon.command("status", "--json").stdout)
    assert (found["version"], found["last_seq"], found["mode"]) == (VERSION, 3, "normal")
    assert "uptime_s" in found


def test_without_a_daemon_status_ends_with_69(paths: Paths) -> None:
    said = Running(paths).command("status")
    assert (said.returncode, said.stdout) == (69, "")
    assert "no daemon is running" in said.stderr


def test_the_schema_is_printed(paths: Paths) -> None:
    assert json.loads(Running(paths).command("schema").stdout) == json_schema()


@pytest.mark.parametrize(("words", "status"), [(["fly"], 64), (["start", "--no"], 64), (["-h"], 0)])
def test_a_slip_of_the_hand_ends_with_64(paths: Paths, words: list[str], status: int) -> None:
    assert Running(paths).command(*words).returncode == status


def test_a_folder_open_to_others_ends_with_78(paths: Paths) -> None:
    paths.data_dir.mkdir(mode=0o755)
    paths.data_dir.chmod(0o755)
    said = Running(paths).command("start")
    assert said.returncode == 78
    assert "chmod 700" in said.stderr


def test_logs_show_the_last_lines_for_people(daemon: Running) -> None:
    said = daemon.command("logs", "-n", "1").stdout
    assert said.count("\n") == 1
    assert "info     ready: version" in said


def test_without_a_log_it_is_said(paths: Paths) -> None:
    assert "there is no log" in Running(paths).command("logs").stderr


class TestJournal:
    def test_lines_are_json_that_people_can_read(self, house: Path) -> None:
        path = house / "log"
        root = logging.getLogger()
        before, level = root.handlers, root.level
        try:
            open_journal(path, "info")
            logging.getLogger("x").info("grüße %s", 1)
            try:
                raise ValueError("boom")
            except ValueError:
                logging.getLogger("x").exception("failed")
            for number in range(60_000):
                logging.getLogger("x").info("%0100d", number)
        finally:
            for each in root.handlers:
                each.close()
            root.handlers = before
            root.setLevel(level)
        rotated = sorted(house.glob("log*"))
        assert 1 < len(rotated) <= KEPT_FILES + 1
        assert {each.stat().st_mode & 0o777 for each in rotated} == {0o600}
        lines = rotated[-1].read_text().splitlines()
        assert json.loads(lines[0])["message"] == "grüße 1"
        assert "ValueError: boom" in readable(lines[1])

    def test_what_is_no_json_is_shown_as_it_is(self) -> None:
        assert readable("Traceback\n") == "Traceback"
        assert readable("5\n") == "5"


class TestLocks:
    def test_one_holds_it_and_the_other_is_told(self, house: Path) -> None:
        with lock(house / "l"), pytest.raises(Held), lock(house / "l"):
            pass
        with lock(house / "l"):
            assert (house / "l").stat().st_mode & 0o777 == 0o600

    def test_whoever_waits_gets_it_when_it_is_free(self, house: Path) -> None:
        got = threading.Event()

        def wait() -> None:
            with lock(house / "l", wait_s=10):
                got.set()

        with lock(house / "l", says=b"hello"):
            waiting = threading.Thread(target=wait)
            waiting.start()
            assert (house / "l").read_bytes() == b"hello"
            assert not got.is_set()
        waiting.join(10)
        assert got.is_set()


def test_the_status_of_a_ledger_that_can_t_be_written_says_why(daemon: Running) -> None:
    status = replace(daemon.ask(Status()), mode="read-only", mode_reason="disk full")
    assert "read-only: disk full" in status_text(status)
    assert json.loads(status_json(status))["mode_reason"] == "disk full"


def test_a_log_that_only_grows_is_told_of(daemon: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    status = replace(daemon.ask(Status()), log_held=carrying.HELD)
    assert f"MiB); {carrying.HELD}" in status_text(status)
    assert json.loads(status_json(status))["log_held"] == carrying.HELD
    ask = doctor.ask
    monkeypatch.setattr(
        doctor, "ask", lambda paths, it: status if type(it) is Status else ask(paths, it)
    )
    found = {each.what: each for each in examine(daemon.paths)}
    assert (found["daemon"].verdict, found["daemon"].message) == ("warning", carrying.HELD)


class TestMistakes:
    """Each is one message without a traceback, and an exit status of the closed list."""

    def said(self, paths: Paths, *words: str) -> tuple[int, str]:
        ended = Running(paths).command(*words)
        assert "Traceback" not in ended.stderr
        assert ended.stdout == ""
        return ended.returncode, ended.stderr

    def test_a_command_that_is_not_there(self, paths: Paths) -> None:
        status, stderr = self.said(paths, "stat")
        assert status == 64
        assert stderr.splitlines() == [
            "personad: there is no command `stat`; did you mean `start` or `status` or `restart`?",
            "  `personad --help` says what it takes",
        ]

    def test_what_drives_a_terminal_is_shown_as_a_gap(self, paths: Paths) -> None:
        status, stderr = self.said(paths, "\x1b[31mred\x07")
        assert status == 64
        assert "no command `\ufffd[31mred\ufffd`" in stderr

    def test_an_option_that_is_not_there(self, paths: Paths) -> None:
        status, stderr = self.said(paths, "start", "--no")
        assert status == 64
        assert stderr.splitlines() == [
            "personad: no such option '--no'",
            "  `personad start --help` says what it takes",
        ]

    @pytest.mark.parametrize(
        ("verb", "status"), [("start", 78), ("restart", 78), ("status", 69), ("logs", 0)]
    )
    def test_a_file_in_the_ledger_s_place(self, paths: Paths, verb: str, status: int) -> None:
        paths.data_dir.write_text("mine")
        ended = Running(paths).command(verb)
        assert ended.returncode == status
        assert "Traceback" not in ended.stderr
        assert paths.data_dir.read_text() == "mine"

    def test_a_folder_whose_name_is_no_text(self, house: Path) -> None:
        paths = resolve_paths(DEFAULTS, ledger=f"{house}/\udcff", environ=os.environ)
        status, stderr = self.said(paths, "start")
        assert status == 78
        assert "is not UTF-8" in stderr

    def test_a_configuration_that_can_t_be_read(self, paths: Paths) -> None:
        file = Path(os.environ["HOME"]) / ".config" / "personad" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text("[daemon\n")
        status, stderr = self.said(paths, "status")
        assert status == 78
        assert f"{file}" in stderr
        file.unlink()
        file.mkdir()
        assert self.said(paths, "status")[0] == 78

    def test_a_runtime_folder_that_others_can_enter(
        self, house: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (house / "open").mkdir()
        (house / "open").chmod(0o755)
        monkeypatch.setenv("PERSONAD_RUNTIME_DIR", str(house / "open"))
        monkeypatch.setenv("PERSONAD_DATA_DIR", str(paths.data_dir))
        status, stderr = self.said(paths, "start")
        assert status == 78
        assert f"chmod 700 '{house / 'open'}'" in stderr

    @pytest.mark.parametrize("words", [["start"], ["start", "--foreground"]])
    def test_a_path_too_long_for_a_socket(
        self, house: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch, words: list[str]
    ) -> None:
        monkeypatch.setenv("PERSONAD_RUNTIME_DIR", str(house / ("long" * 30)))
        status, stderr = self.said(paths, *words)
        assert status == 78
        assert "PERSONAD_RUNTIME_DIR to a short folder" in stderr

    def test_a_second_daemon_in_the_foreground(self, daemon: Running) -> None:
        status, stderr = self.said(daemon.paths, "start", "--foreground")
        assert status == 75
        assert "a process holds the ledger" in stderr

    def test_what_a_disk_refuses(self, paths: Paths) -> None:
        paths.life_lock.mkdir(parents=True)
        status, stderr = self.said(paths, "stop")
        assert status == 75
        assert (
            stderr
            == f"personad: is a directory ({paths.life_lock})\n  look at its disk and its rights\n"
        )

    def test_a_start_that_nobody_can_hear_of(self, paths: Paths) -> None:
        status, stderr = self.said(paths, "start", "--foreground", "--ready-fd", "77")
        assert status == 75
        assert "Bad file descriptor" in stderr


@pytest.mark.parametrize("verb", ["verify", "rebuild"])
def test_what_folds_for_long_gives_way_to_the_daemon(
    daemon: Running, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    daemon.append(*planned())
    given: list[int] = []
    monkeypatch.setattr(os, "nice", given.append)
    words = ["--ledger", str(daemon.paths.data_dir), verb]
    assert CliRunner().invoke(cli.command, words).exit_code == 0
    assert given == [cli.GIVES_WAY]


def test_without_a_command_the_help_is_shown() -> None:
    program = [sys.executable, "-m", "personad"]
    shown = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0
    assert shown.stdout.startswith("Usage: personad")


def test_whoever_reads_no_further_is_left_quietly(paths: Paths) -> None:
    program = f"{sys.executable} -m personad --ledger {paths.data_dir} schema"
    ended = subprocess.run(
        ["bash", "-c", f"{program} | head -c 10; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


class TestFollowing:
    def test_what_is_added_is_shown_also_after_a_rotation(self, paths: Paths) -> None:
        paths.data_dir.mkdir(mode=0o700)
        paths.log_file.write_text("one\ntwo\n")
        program = [sys.executable, "-u", "-m", "personad", "--ledger", str(paths.data_dir)]
        with subprocess.Popen(
            [*program, "logs", "-f", "-n", "1"], stdout=subprocess.PIPE, text=True
        ) as following:
            assert following.stdout is not None
            assert following.stdout.readline() == "two\n"
            with paths.log_file.open("a") as log:
                log.write('{"at": "now", "level": "info", "message": "three"}\n')
            assert following.stdout.readline() == "now  info     three\n"
            paths.log_file.rename(paths.log_file.with_suffix(".log.1"))
            paths.log_file.write_text("four\n")
            assert following.stdout.readline() == "four\n"
            following.send_signal(signal.SIGINT)
            assert following.wait(20) == 130


def test_on_a_narrow_terminal_what_is_too_wide_stands_below_its_label(daemon: Running) -> None:
    shown = on_terminal(daemon, "status", columns=40)
    assert f"database\r\n  {daemon.paths.database} (" in shown
    assert "mode          normal\r\n" in shown
    wide = on_terminal(daemon, "status", columns=200)
    assert f"database      {daemon.paths.database} (" in wide


def on_terminal(daemon: Running, *words: str, columns: int) -> str:
    """What the program writes where it has a terminal of its own."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    program = [sys.executable, "-m", "personad", "--ledger", str(daemon.paths.data_dir)]
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen([*program, *words], env=environ, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        with open(ours, "rb", buffering=0) as terminal, suppress(OSError):
            while part := terminal.read(4_096):
                shown += part
        assert process.wait(20) == 0
    return shown.decode()
