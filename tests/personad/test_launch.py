"""Starting and stopping from outside, where something is in the way."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from personad import launch
from personad.contract.admin import Hello, Stop
from personad.contract.base import Reply
from personad.contract.codec import encode
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Append
from personad.contract.paths import Paths
from personad.contract.requester import Requester
from personad.locks import lock
from personad.replier import Closed, Replier

from .conftest import Running
from .facts import planned, started

pytestmark = pytest.mark.cold


@pytest.fixture
def draining(
    daemon: Running, sqlite: Callable[[Path], apsw.Connection]
) -> Iterator[apsw.Connection]:
    """A daemon that was told to stop and can't commit what it has yet; ROLLBACK lets it."""
    other = sqlite(daemon.paths.database)
    other.execute("BEGIN IMMEDIATE")
    with Requester(daemon.paths.api_socket, 10) as requester:
        requester.send(encode(Append(events=planned())), 10)  # type: ignore[arg-type]
        # One connection has an order: with this answer the daemon has the append in hand.
        requester.request(encode(Hello()), 10)
        daemon.ask(Stop())
        yield other


def waits_for_the_end(paths: Paths, pid: int) -> bool:
    """Whether this process holds the turn to start and has the living daemon's lock open."""
    found = set()
    with suppress(OSError):
        found = {os.path.realpath(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    return {str(paths.start_lock), str(paths.life_lock)} <= found


class StandIn:
    """Listens in a daemon's place and has one answer to everything."""

    def __init__(self, paths: Paths, reply: Reply) -> None:
        paths.runtime_dir.mkdir(parents=True, mode=0o700)
        self._replier = Replier(str(paths.api_socket))
        self._reply = encode(reply)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                incoming = self._replier.receive()
            except Closed:
                return
            self._replier.reply(incoming, self._reply)

    def close(self) -> None:
        self._replier.interrupt()
        self._thread.join()
        self._replier.close()


class TestDraining:
    def test_it_says_so(self, daemon: Running, draining: apsw.Connection) -> None:
        assert daemon.ask(Hello()).mode == "draining"

    def test_a_start_waits_for_its_end_and_starts_a_new_one(
        self, daemon: Running, draining: apsw.Connection
    ) -> None:
        pid = daemon.pid
        program = [sys.executable, "-m", "personad", "--ledger", str(daemon.paths.data_dir)]
        with subprocess.Popen([*program, "start"], stdout=subprocess.PIPE, text=True) as starting:
            while starting.poll() is None and not waits_for_the_end(daemon.paths, starting.pid):
                pass
            draining.execute("ROLLBACK")
            said, _ = starting.communicate(timeout=60)
        assert said.startswith("started")
        welcome = daemon.ask(Hello())
        assert welcome.pid != pid
        assert (welcome.mode, welcome.last_seq) == ("normal", 3)

    def test_a_start_waits_no_longer_than_it_says(
        self, daemon: Running, draining: apsw.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(launch, "DRAIN_S", 0.05)
        with pytest.raises(LedgerError, match=r"still draining after 0\.05 s") as said:
            launch.start(daemon.paths, autostarted=False, environ=os.environ)
        assert "then start again" in str(said.value.hint)

    def test_a_stop_waits_no_longer_than_it_was_told(
        self, daemon: Running, draining: apsw.Connection
    ) -> None:
        said = daemon.command("stop", "--timeout", "0.2")
        assert said.returncode == 75
        assert "still draining after 0.2 s" in said.stderr
        draining.execute("ROLLBACK")
        assert daemon.command("stop").returncode == 0


class TestInTheWay:
    def test_a_start_that_hangs_is_not_waited_for_for_ever(
        self, paths: Paths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(launch, "TURN_S", 0.05)
        paths.data_dir.mkdir(mode=0o700)
        with lock(paths.start_lock), pytest.raises(LedgerError) as said:
            launch.start(paths, autostarted=False, environ=os.environ)
        assert said.value.code == "unavailable"
        assert "another process is starting the daemon" in said.value.message
        assert f"fuser -k {paths.start_lock}" in str(said.value.hint)

    def test_a_daemon_that_does_not_get_ready_is_named_with_its_log(self, paths: Paths) -> None:
        program = "import sys; from personad import cli, launch; launch.READY_S = 0.05; "
        program += "sys.exit(cli.main())"
        paths.data_dir.mkdir(mode=0o700)
        with lock(paths.life_lock):
            said = subprocess.run(
                [sys.executable, "-c", program, "--ledger", str(paths.data_dir), "start"],
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert said.returncode == 75
            assert "not ready within 0.05 s" in said.stderr
            assert str(paths.log_file) in said.stderr
            while "holds the ledger" not in paths.log_file.read_text():
                pass

    def test_a_program_that_is_not_there_is_an_error_and_leaves_nothing_open(
        self, paths: Paths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(FileNotFoundError, match="/nowhere/python"):
            launch.start(paths, autostarted=False, environ=os.environ)
        assert len(os.listdir("/proc/self/fd")) == before

    def test_one_that_refuses_is_repeated_word_for_word(self, paths: Paths) -> None:
        other = StandIn(paths, Failure(code="invalid", message="I speak protocol 7", hint="h"))
        try:
            with pytest.raises(LedgerError, match="I speak protocol 7"):
                launch.start(paths, autostarted=False, environ=os.environ)
            said = Running(paths).command("status")
            assert (said.returncode, said.stderr) == (64, "personad: I speak protocol 7\n  h\n")
            assert Running(paths).command("stop").returncode == 64
        finally:
            other.close()

    def test_one_who_leaves_while_it_is_stopped_has_stopped(self, stopped: Running) -> None:
        assert stopped.command("stop").stdout == "no daemon was running\n"
        stopped.start().append(started())
        assert launch.stop(stopped.paths, 20) is not None
        assert launch.stop(stopped.paths, 20) is None


def test_a_starter_is_told_once(house: Path) -> None:
    told, tell = os.pipe()
    say = launch.teller(tell)
    say(b"first")
    say(b"second")
    with open(told, "rb") as pipe:
        assert pipe.read() == b"first"


def test_nobody_to_tell(house: Path) -> None:
    launch.teller(None)(b"ready")
