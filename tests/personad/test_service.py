"""The daemon as a service: what it tells its manager, how it bears a full disk and how it dies."""

import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from persona.spool import Spool

from personad import doctor, launch
from personad.contract import batch as b
from personad.contract.admin import Hello, Status
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Read
from personad.contract.spool import SUFFIX

from .conftest import Running
from .facts import cost, planned, started

BROKEN_THREAD = """
import os, sys, threading
from pathlib import Path
from personad import daemon
from personad.contract.options import DEFAULTS
from personad.contract.paths import resolve_paths

paths = resolve_paths(DEFAULTS, ledger=sys.argv[1], environ=os.environ)
broken = threading.Thread(target=lambda: 1 // 0, name="broken")
daemon.run(paths, DEFAULTS, autostarted=False, ready=broken.start)
"""


@pytest.fixture
def foreground(stopped: Running) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts the daemon in the foreground, with more variables, and waits until it is ready."""
    begun: list[subprocess.Popen[str]] = []

    def start(**environ: str) -> "subprocess.Popen[str]":
        told, tell = os.pipe()
        program = [sys.executable, "-m", "personad", "--ledger", str(stopped.paths.data_dir)]
        begun.append(
            subprocess.Popen(
                [*program, "start", "--foreground", "--ready-fd", str(tell)],
                env=dict(os.environ) | environ,
                pass_fds=(tell,),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        os.close(tell)
        with open(told, "rb") as pipe:
            assert pipe.read() == launch.READY
        return begun[-1]

    yield start
    for each in begun:
        if each.poll() is None:
            each.terminate()
        each.communicate(timeout=30)


@pytest.fixture
def manager(house: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(20)
        listening.bind(str(house / "notify"))
        yield listening


def forget(manager: socket.socket) -> None:
    while select.select([manager], [], [], 0)[0]:
        manager.recv(4_096)


def fill_disk(daemon: Running, *, full: bool) -> None:
    """Lets the log of the database grow no more, or again without a bound."""
    wal = daemon.paths.database.with_name("ledger.db-wal")
    limit = wal.stat().st_size if full else resource.RLIM_INFINITY
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


class TestUnderAManager:
    def test_it_tells_that_it_is_ready_that_it_lives_and_that_it_stops(
        self, stopped: Running, foreground: Callable[..., object], manager: socket.socket
    ) -> None:
        foreground(NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="20000")
        assert manager.recv(4_096) == b"READY=1"
        assert manager.recv(4_096) == b"WATCHDOG=1"
        assert manager.recv(4_096) == b"WATCHDOG=1"
        os.kill(stopped.pid, signal.SIGTERM)
        while (last := manager.recv(4_096)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"

    def test_it_goes_on_living_while_nothing_can_be_written(
        self, stopped: Running, foreground: Callable[..., object], manager: socket.socket
    ) -> None:
        foreground(NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="20000")
        stopped.append(started())
        fill_disk(stopped, full=True)
        with pytest.raises(LedgerError, match="can't be written"):
            stopped.append(cost())
        forget(manager)
        assert {manager.recv(4_096) for _ in range(3)} == {b"WATCHDOG=1"}
        assert stopped.ask(Status()).mode == "read-only"

    def test_a_manager_that_is_gone_keeps_it_from_nothing(
        self, stopped: Running, foreground: Callable[..., "subprocess.Popen[str]"], house: Path
    ) -> None:
        process = foreground(NOTIFY_SOCKET=str(house / "nobody"), WATCHDOG_USEC="20000")
        assert stopped.append(started()).last_seq == 1
        while "WATCHDOG=1" not in stopped.paths.log_file.read_text():
            pass
        stopped.stop()
        assert process.wait(20) == 0
        log = stopped.paths.log_file.read_text()
        assert log.count("could not be told READY=1") == 1
        assert log.count("could not be told STOPPING=1") == 1

    def test_a_watchdog_time_that_is_no_number_is_said_and_not_died_of(
        self, stopped: Running, foreground: Callable[..., object], manager: socket.socket
    ) -> None:
        foreground(NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="soon")
        assert manager.recv(4_096) == b"READY=1"
        assert stopped.append(started()).last_seq == 1
        assert "WATCHDOG_USEC must be a whole number" in stopped.paths.log_file.read_text()


def test_a_thread_that_dies_takes_the_daemon_with_it(stopped: Running) -> None:
    stopped.paths.data_dir.mkdir(mode=0o700)
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN_THREAD, str(stopped.paths.data_dir)], timeout=60
    )
    assert ended.returncode == 70
    log = stopped.paths.log_file.read_text()
    assert "the broken thread died, and the daemon with it" in log
    assert "ZeroDivisionError" in log
    assert stopped.start().append(started()).last_seq == 1


def test_a_daemon_outlives_the_one_who_waited_for_it(stopped: Running) -> None:
    told, tell = os.pipe()
    os.close(told)
    program = [sys.executable, "-m", "personad", "--ledger", str(stopped.paths.data_dir)]
    process = subprocess.Popen(
        [*program, "start", "--foreground", "--ready-fd", str(tell)], pass_fds=(tell,)
    )
    os.close(tell)
    while not stopped.paths.api_socket.exists():
        assert process.poll() is None
    assert stopped.append(started()).last_seq == 1
    stopped.stop()
    assert process.wait(20) == 0


class TestFullDisk:
    def test_what_is_refused_is_said_and_what_was_acknowledged_stays(self, daemon: Running) -> None:
        daemon.append(*planned())
        fill_disk(daemon, full=True)
        refused = [cost(f"c{number}") for number in range(3)]
        for event in refused:
            with pytest.raises(LedgerError, match="can't be written") as said:
                daemon.append(event)
            assert (said.value.code, "make room" in str(said.value.hint)) == ("unavailable", True)
        status = daemon.ask(Status())
        assert (status.mode, status.last_seq) == ("read-only", 3)
        assert status.mode_reason
        assert daemon.ask(b.BatchShow(batch="last")).seq == 3
        found = {each.what: each for each in doctor.examine(daemon.paths)}
        assert found["daemon"].verdict == "failed"

        fill_disk(daemon, full=False)
        while daemon.ask(Status()).mode != "normal":
            pass
        assert daemon.append(*refused).duplicates == 0
        daemon.kill()
        daemon.start()
        assert daemon.ask(Hello()).last_seq == 6
        assert daemon.append(*refused).duplicates == 3

    def test_spools_stay_until_there_is_room(self, daemon: Running) -> None:
        daemon.append(started())
        fill_disk(daemon, full=True)
        with Spool(daemon.paths.spool_dir) as spool:
            spool.write([cost("late")])
        with pytest.raises(LedgerError, match="can't be written"):
            daemon.append(cost("now"))
        while "the spools stay for now" not in daemon.paths.log_file.read_text():
            pass
        assert daemon.ask(Status()).spool_backlog == 1
        fill_disk(daemon, full=False)
        while daemon.ask(Status()).last_seq < 2:
            pass
        event = daemon.ask(Read(after_seq=1)).events[0].event
        assert event.call == "late"  # type: ignore[union-attr]


def test_a_spool_whose_name_is_no_text_ends_nothing(daemon: Running) -> None:
    name = os.fsencode(daemon.paths.spool_dir) + b"/\xff" + SUFFIX.encode()
    with open(name, "wb") as file:
        file.write(b"garbage" * 10)
    while daemon.ask(Status()).quarantined == 0:
        pass
    assert daemon.append(started()).last_seq == 1


def test_another_writer_in_the_way_delays_and_loses_nothing(
    daemon: Running, sqlite: Callable[[Path], apsw.Connection]
) -> None:
    other = sqlite(daemon.paths.database)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="did not answer within"):
        launch.ask(daemon.paths, Append(events=[started()]), timeout_s=0.1)
    other.execute("ROLLBACK")
    while daemon.ask(Hello()).last_seq == 0:
        pass


def test_a_damage_that_the_status_itself_finds_is_what_it_says(
    stopped: Running, sqlite: Callable[[Path], apsw.Connection]
) -> None:
    stopped.start()
    stopped.append(*(cost(f"call-{n}") for n in range(400)))
    stopped.stop()
    database = stopped.paths.database
    db = sqlite(database)
    first = "SELECT min(pageno) FROM dbstat WHERE name = 'event' AND pagetype = 'leaf'"
    page, size = db.execute(first).get, db.pragma("page_size")
    db.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xde\xad" * (size // 2))
    stopped.start()
    said = stopped.command("status")
    assert (said.returncode, said.stderr) == (0, "")
    assert "read-only: the ledger is damaged" in said.stdout
