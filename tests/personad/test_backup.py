"""Backups: whole or not at all, while everything goes on."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import apsw
import pytest

from personad import launch
from personad.backup import Backups, back_up, back_up_alone, last_backup
from personad.contract.admin import BackedUp, Backup, Status
from personad.contract.base import Reply
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Append, Appended
from personad.contract.paths import Paths, private_directory
from personad.copying import alone_on, copy
from personad.jobs import Job
from personad.locks import lock
from personad.store import open_for_writing
from personad.trouble import Health
from personad.writer import Writer
from tests.ledgers import fill, is_sound, killed_at, rows, seq_of, spoil
from tests.test_files import files_no_larger_than

from .conftest import Running
from .facts import cost

SAME_BUT = ("last_backup",)


class Bench:
    """A writer at work, and backups of its ledger."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = open_for_writing(str(path))
        self.writer = Writer(self.db, zone=UTC, publish=lambda *_: lambda: None)
        self.backups = Backups(self.writer.between, path, Health())
        self.writer.start()

    def append(self, *events: Any) -> Reply | None:
        replies: list[Reply | None] = []
        done = threading.Event()

        def answer(reply: Reply | None) -> None:
            replies.append(reply)
            done.set()

        assert self.writer.submit(Job(Append(events=list(events)), 100, answer))
        assert done.wait(30)
        return replies[0]

    def take(self, target: Path) -> Reply:
        replies: list[Reply] = []
        done = threading.Event()

        def answer(reply: Reply) -> None:
            replies.append(reply)
            done.set()

        self.backups.take(Backup(path=str(target)), answer)
        assert done.wait(30)
        return replies[0]

    def close(self) -> None:
        self.writer.drain()
        self.backups.close()
        self.db.close()


@pytest.fixture
def bench(house: Path) -> Iterator[Bench]:
    fill(house / "L" / "ledger.db", 2_000)
    made = Bench(house / "L" / "ledger.db")
    yield made
    made.close()


def test_a_backup_holds_every_row(bench: Bench, house: Path) -> None:
    made = bench.take(house / "b.db")
    assert isinstance(made, BackedUp)
    assert rows(house / "b.db", but=SAME_BUT) == rows(bench.path, but=SAME_BUT)
    assert made.last_seq == seq_of(bench.path)
    assert made.size_bytes == (house / "b.db").stat().st_size
    assert is_sound(house / "b.db")


def test_a_backup_is_one_file_that_only_its_owner_reads(bench: Bench, house: Path) -> None:
    before = os.umask(0)
    try:
        bench.take(house / "work" / "b.db")
    finally:
        os.umask(before)
    assert list((house / "work").iterdir()) == [house / "work" / "b.db"]
    assert stat.S_IMODE((house / "work" / "b.db").stat().st_mode) == 0o600
    assert rows(house / "work" / "b.db")
    assert list((house / "work").iterdir()) == [house / "work" / "b.db"]


def test_what_is_appended_meanwhile_is_acknowledged_meanwhile(bench: Bench, house: Path) -> None:
    acknowledged: list[int] = []

    def between(work: Callable[[apsw.Connection], Any], /) -> Any:
        found = bench.writer.between(work)
        reply = bench.append(cost(f"meanwhile-{len(acknowledged)}"))
        assert isinstance(reply, Appended)
        acknowledged.append(reply.last_seq or 0)
        return found

    made = back_up(between, house / "b.db", bench.path)
    assert len(acknowledged) > 3
    assert is_sound(house / "b.db")
    whole = sorted(rows(bench.path)["event"])
    copied = sorted(rows(house / "b.db")["event"])
    assert copied == [row for row in whole if row[0] <= made.last_seq]
    # Every append that was acknowledged before the last slice is in it.
    assert len(set(acknowledged) - {row[0] for row in copied}) <= 4


def test_under_a_steady_load_it_ends(bench: Bench, house: Path) -> None:
    enough = threading.Event()
    sent: list[Reply | None] = []

    def produce() -> None:
        while not enough.is_set():
            sent.append(bench.append(*[cost(f"{len(sent)}-{number}") for number in range(20)]))

    producer = threading.Thread(target=produce)
    producer.start()
    made = [bench.take(house / f"{number}.db") for number in range(3)]
    enough.set()
    producer.join()
    assert all(isinstance(each, BackedUp) for each in made)
    assert all(isinstance(each, Appended) for each in sent)
    assert all(is_sound(house / f"{number}.db") for number in range(3))


def test_one_is_made_at_a_time(bench: Bench, house: Path) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def held_up(work: Callable[[apsw.Connection], Any], /) -> Any:
        begun.set()
        assert go_on.wait(30)
        return bench.writer.between(work)

    backups = Backups(held_up, bench.path, Health())
    replies: list[Reply] = []
    backups.take(Backup(path=str(house / "a.db")), replies.append)
    assert begun.wait(30)
    with pytest.raises(LedgerError) as refused:
        backups.take(Backup(path=str(house / "b.db")), replies.append)
    go_on.set()
    while not replies:
        backups._thread.join()  # type: ignore[union-attr]
    backups.take(Backup(path=str(house / "b.db")), replies.append)
    backups.close()
    assert refused.value.code == "conflict"
    assert isinstance(replies[0], BackedUp)


def test_one_that_is_left_off_leaves_nothing(bench: Bench, house: Path) -> None:
    begun = threading.Event()

    def watched(work: Callable[[apsw.Connection], Any], /) -> Any:
        begun.set()
        assert backups._closing.wait(30)
        return bench.writer.between(work)

    backups = Backups(watched, bench.path, Health())
    replies: list[Reply] = []
    backups.take(Backup(path=str(house / "work" / "a.db")), replies.append)
    assert begun.wait(30)
    backups.close()
    with pytest.raises(LedgerError):
        backups.take(Backup(path=str(house / "b.db")), replies.append)
    assert isinstance(replies[0], Failure)
    assert replies[0].code == "unavailable"
    assert list((house / "work").iterdir()) == []
    assert isinstance(bench.append(cost("afterwards")), Appended)


def test_one_whose_writer_ends_is_left_off_and_answered(bench: Bench, house: Path) -> None:
    def ended(work: Callable[[apsw.Connection], Any], /) -> Any:
        bench.writer.drain()
        return bench.writer.between(work)

    backups = Backups(ended, bench.path, Health())
    replies: list[Reply] = []
    backups.take(Backup(path=str(house / "work" / "a.db")), replies.append)
    backups.close()
    assert isinstance(replies[0], Failure)
    assert list((house / "work").iterdir()) == []


@pytest.mark.parametrize("moment", range(1, 9))
def test_killed_at_any_moment_the_old_one_is_as_it_was(house: Path, moment: int) -> None:
    ledger, target = house / "ledger.db", house / "work" / "b.db"
    fill(ledger)
    with closing(open_for_writing(str(ledger))) as db:
        copy(alone_on(db), target)
    before = rows(target)
    fill(ledger)
    ended = killed_at(_KILLED_IN_A_BACKUP, str(ledger), str(target), str(moment))
    if ended:
        assert rows(target) == before
    with closing(open_for_writing(str(ledger))) as db:
        copy(alone_on(db), target)
    assert rows(target) == rows(ledger)
    assert list(target.parent.iterdir()) == [target]


_KILLED_IN_A_BACKUP = """
import os, signal, sys
from pathlib import Path
from personad import copying
from personad.store import open_for_writing

ledger, target, moment = sys.argv[1:]
left = int(moment)

def count(then):
    def counted(*given):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return then(*given)
    return counted

copying.sync = count(copying.sync)
copying.os.replace = count(os.replace)
db = open_for_writing(ledger)
copying.copy(count(copying.alone_on(db)), Path(target))
"""


def test_on_a_full_disk_the_old_one_stays_and_nothing_lies_beside_it(
    bench: Bench, house: Path
) -> None:
    target = house / "work" / "b.db"
    bench.take(target)
    before = rows(target)
    bench.append(cost("after it"))
    with files_no_larger_than(100_000):
        failed = bench.take(target)
    assert isinstance(failed, Failure)
    assert failed.code == "unavailable"
    assert str(target) in failed.message
    assert "disk I/O error" in failed.message
    assert rows(target) == before
    assert list(target.parent.iterdir()) == [target]
    assert isinstance(bench.take(target), BackedUp)


def test_a_damaged_ledger_makes_no_backup_and_is_named(house: Path) -> None:
    path = house / "L" / "ledger.db"
    fill(path, 2_000)
    spoil(path, path.stat().st_size * 3 // 4, 10 * 4_096)
    db = open_for_writing(str(path))
    health = Health()
    replies: SimpleQueue[Reply] = SimpleQueue()
    backups = Backups(alone_on(db), path, health)
    backups.take(Backup(path=str(house / "work" / "b.db")), replies.put)
    failed = replies.get(timeout=30)
    backups.close()
    db.close()
    assert isinstance(failed, Failure)
    assert "damaged" in failed.message
    assert "damaged" in (health.reason or "")
    assert list((house / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("relative.db", "not an absolute path"),
        ("/tmp/nul\0byte", "null byte"),
        ("{house}/" + "n" * 300, "too long"),
        ("{house}/work", "is a folder"),
        ("{house}/nowhere/b.db", "there is no folder"),
        ("{house}/L/ledger.db", "is the ledger itself"),
        ("{house}/L/ledger.db-wal", "is the ledger itself"),
        ("{house}/notes.txt", "is not overwritten"),
        ("{house}/used.db", "in use"),
    ],
)
def test_what_must_not_be_written_over_is_refused(
    bench: Bench, house: Path, name: str, why: str
) -> None:
    (house / "notes.txt").write_text("mine")
    (house / "used.db-wal").write_text("somebody's")
    refused = bench.take(Path(name.format(house=house)))
    assert isinstance(refused, Failure)
    assert (refused.code, refused.field) == ("invalid", "$.path")
    assert why in refused.message
    assert (house / "notes.txt").read_text() == "mine"


def test_when_the_last_one_was_made_is_remembered(bench: Bench, house: Path) -> None:
    assert last_backup(bench.db) is None
    before = datetime.now(UTC)
    bench.take(house / "b.db")
    found = bench.writer.between(last_backup)
    assert found is not None
    assert before <= found <= datetime.now(UTC)


class TestCommand:
    """`personad backup`, with a daemon and without one."""

    def test_of_a_running_daemon(self, daemon: Running, house: Path) -> None:
        daemon.append(cost())
        said = daemon.command("backup", str(house / "b.db"))
        assert said.returncode == 0, said.stderr
        assert "up to seq 1," in said.stdout
        assert rows(house / "b.db")["event"] == rows(daemon.paths.database)["event"]
        assert daemon.ask(Status()).last_backup is not None
        status = daemon.command("status", "--json")
        assert json.loads(status.stdout)["last_backup"].endswith("Z")

    def test_without_a_daemon(self, paths: Paths, house: Path) -> None:
        fill(paths.database)
        said = Running(paths).command("backup", str(house / "b.db"))
        assert said.returncode == 0, said.stderr
        assert rows(house / "b.db", but=SAME_BUT) == rows(paths.database, but=SAME_BUT)

    def test_a_relative_path_is_the_caller_s(self, daemon: Running, house: Path) -> None:
        assert daemon.command("backup", "b.db").returncode == 0
        assert (house / "work" / "b.db").exists()

    def test_of_a_damaged_one(self, paths: Paths, house: Path) -> None:
        fill(paths.database)
        spoil(paths.database, 100, 3_000)
        said = Running(paths).command("backup", str(house / "b.db"))
        assert said.returncode == 75
        assert "is damaged" in said.stderr
        assert "Traceback" not in said.stderr

    def test_while_another_holds_the_ledger(self, paths: Paths, house: Path) -> None:
        fill(paths.database)
        with lock(paths.life_lock), pytest.raises(LedgerError) as refused:
            back_up_alone(paths, house / "b.db")
        assert refused.value.code == "unavailable"

    def test_without_a_ledger(self, paths: Paths, house: Path) -> None:
        said = Running(paths).command("backup", str(house / "b.db"))
        assert said.returncode == 64
        assert "there is no ledger" in said.stderr
        assert not (house / "b.db").exists()

    @pytest.mark.parametrize("is_running", [True, False])
    def test_a_target_that_can_t_be(self, stopped: Running, house: Path, is_running: bool) -> None:
        fill(stopped.paths.database)
        if is_running:
            stopped.start()
        said = stopped.command("backup", str(house / "nowhere" / "b.db"))
        assert said.returncode == 64
        assert "there is no folder" in said.stderr

    def test_a_daemon_that_dies_meanwhile_keeps_nobody_waiting(
        self, paths: Paths, house: Path
    ) -> None:
        for folder in (paths.data_dir, paths.runtime_dir):
            private_directory(folder)
        command = [sys.executable, "-c", _DIES_WHEN_ASKED]
        command += [str(paths.life_lock), str(paths.api_socket)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
            assert daemon.stdout is not None
            assert daemon.stdout.readline() == b"listening\n"
            request = Backup(path=str(house / "b.db"))
            with pytest.raises(LedgerError) as raised:
                launch.ask(paths, request, 0.5, go_on=lambda: launch.lives(paths))
        assert raised.value.code == "unavailable"


_DIES_WHEN_ASKED = """
import os, sys
from pathlib import Path
from personad.replier import Replier
from personad.locks import lock

with lock(Path(sys.argv[1])):
    replier = Replier(sys.argv[2])
    print("listening", flush=True)
    replier.receive()
    os._exit(9)
"""
