"""What a disk does to the ledger is said, outlived where it passes, never taken for a figure."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from personad import ballast
from personad.contract import batch as b
from personad.contract.admin import Rebuild, Status
from personad.contract.errors import LedgerError
from personad.contract.events import Append, Import, Read
from personad.contract.paths import Paths
from personad.copying import alone_on, copy
from personad.jobs import Trial
from personad.locks import Held, lock
from personad.mark import Mark, Marker, mark_file, read_mark
from personad.store import ledger_id, open_for_writing
from personad.trouble import Health, open_letting_go, to_fold_afresh
from tests.ledgers import append, fill, seq_of, spoil
from tests.test_files import files_no_larger_than

from .conftest import Running
from .facts import cost

FULL = apsw.FullError("database or disk is full")
GIB = 1 << 30


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how much room the disk says that it has."""

    def set_to(size_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(GIB, 0, size_bytes))

    return set_to


class TestBallast:
    def test_it_takes_the_room_it_has_to_give(self, house: Path) -> None:
        assert ballast.hold(house / "ballast")
        found = (house / "ballast").stat()
        assert found.st_size == ballast.BALLAST_BYTES
        assert found.st_blocks * 512 >= ballast.BALLAST_BYTES
        assert found.st_mode & 0o777 == 0o600

    def test_it_is_let_go_of_once(self, house: Path) -> None:
        ballast.hold(house / "ballast")
        assert ballast.let_go(house / "ballast")
        assert not ballast.let_go(house / "ballast")

    def test_one_that_was_cut_short_is_made_whole(self, house: Path) -> None:
        (house / "ballast").write_bytes(b"x" * 100)
        assert ballast.hold(house / "ballast")
        assert (house / "ballast").stat().st_size == ballast.BALLAST_BYTES

    def test_it_is_held_only_where_the_room_is_more_than_just_its_own(
        self, house: Path, free: Callable[[int], None]
    ) -> None:
        free(ballast.ENOUGH * ballast.BALLAST_BYTES - 1)
        assert not ballast.hold(house / "ballast")
        assert not (house / "ballast").exists()
        free(ballast.ENOUGH * ballast.BALLAST_BYTES)
        assert ballast.hold(house / "ballast")

    def test_where_it_can_t_be_had_nothing_is_left(self, house: Path) -> None:
        (house / "shut").mkdir()
        (house / "shut" / "ballast").mkdir()
        assert not ballast.hold(house / "shut" / "ballast")


class TestMark:
    def test_what_was_set_last_is_read(self, house: Path) -> None:
        marker = Marker(house / "l.db", "a" * 36)
        marker.set(7)
        marker.set(12)
        marker.close()
        assert read_mark(house / "l.db") == Mark("a" * 36, 12)

    @pytest.mark.parametrize("damage", [b"", b"half", b"x" * 48])
    def test_half_a_mark_is_none(self, house: Path, damage: bytes) -> None:
        assert read_mark(house / "l.db") is None
        mark_file(house / "l.db").write_bytes(damage)
        assert read_mark(house / "l.db") is None


class Ledger:
    """One with its health, in this process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        fill(self.path)
        self.db = open_for_writing(str(self.path))
        self.ballast = folder / "ballast"
        self.health = Health(self.path, self.ballast)
        self.health.begin(self.db, ledger_id(self.db))

    def close(self) -> None:
        self.health.close()
        self.db.close()


@pytest.fixture
def ledger(house: Path) -> Iterator[Ledger]:
    made = Ledger(house / "L")
    yield made
    made.close()


class TestFullDisk:
    def test_the_ballast_is_let_go_of_and_held_again_when_there_is_room(
        self, ledger: Ledger, free: Callable[[int], None]
    ) -> None:
        assert ledger.ballast.exists()
        failure = ledger.health.unwritten(FULL)
        assert failure is not None
        assert failure.code == "unavailable"
        assert "full" in (ledger.health.reason or "")
        assert not ledger.ballast.exists()
        free(ballast.BALLAST_BYTES)
        ledger.health.committed(60, tried=True)
        assert ledger.health.reason is not None
        assert not ledger.ballast.exists()
        free(GIB)
        ledger.health.committed(60, tried=True)
        assert ledger.health.reason is None
        assert ledger.ballast.exists()

    @pytest.mark.parametrize(
        ("request_", "is_refused"),
        [
            (Append(events=[]), True),
            (Import(items=[]), True),
            (b.Pause(batch="batch-a"), False),
            (b.Resign(batch="batch-a", runner="r", fence=1), False),
            (Trial(), True),
        ],
    )
    def test_the_room_that_was_let_go_of_is_for_what_is_small(
        self, ledger: Ledger, free: Callable[[int], None], request_: Any, is_refused: bool
    ) -> None:
        free(ballast.BALLAST_BYTES)
        assert ledger.health.refuses(request_) is None
        ledger.health.unwritten(FULL)
        assert (ledger.health.refuses(request_) is not None) == is_refused

    def test_a_small_write_that_succeeds_does_not_end_it(self, ledger: Ledger) -> None:
        ledger.health.unwritten(FULL)
        ledger.health.committed(60, tried=False)
        assert ledger.health.reason is not None

    def test_one_that_is_nearly_full_at_the_start_is_said_at_once(
        self, house: Path, free: Callable[[int], None]
    ) -> None:
        free(ballast.BALLAST_BYTES)
        started = Ledger(house / "L")
        assert "nearly full" in (started.health.reason or "")
        free(GIB)
        started.health.committed(60, tried=True)
        assert started.health.reason is None
        started.close()

    def test_what_even_opening_needs_the_ballast_gives(self, ledger: Ledger) -> None:
        ledger.close()
        with files_no_larger_than(1_000), pytest.raises(LedgerError) as refused:
            open_letting_go(ledger.path, ledger.ballast)
        assert refused.value.code == "unavailable"
        assert not ledger.ballast.exists()
        ledger.db = open_letting_go(ledger.path, ledger.ballast)
        ledger.health.begin(ledger.db, ledger_id(ledger.db))
        assert ledger.ballast.exists()

    def test_a_quota_is_a_full_disk(self, ledger: Ledger) -> None:
        import errno

        ledger.health.unwritten(apsw.IOError("disk I/O error"), errno.EDQUOT)
        assert not ledger.ballast.exists()
        assert ledger.health.refuses(Append(events=[])) is not None

    def test_a_disk_whose_room_can_t_be_told_has_none(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def gone(_: object) -> Usage:
            raise OSError("no such device")

        ledger.health.unwritten(FULL)
        monkeypatch.setattr(shutil, "disk_usage", gone)
        ledger.health.committed(60, tried=True)
        assert ledger.health.reason is not None


def test_a_disk_that_can_t_be_written_is_tried_again_by_whatever_comes(ledger: Ledger) -> None:
    failure = ledger.health.unwritten(apsw.ReadOnlyError("attempt to write a readonly database"))
    assert failure is not None
    assert failure.code == "unavailable"
    assert ledger.ballast.exists()
    assert ledger.health.refuses(Append(events=[])) is None
    ledger.health.committed(60, tried=False)
    assert ledger.health.reason is None


def test_damage_is_not_taken_for_something_that_passes(ledger: Ledger) -> None:
    ledger.health.unwritten(FULL)
    failure = ledger.health.unreadable(apsw.CorruptError("database disk image is malformed"))
    assert failure is not None
    assert failure.code == "unavailable"
    assert "damaged" in failure.message
    assert "personad restore" in (failure.hint or "")
    ledger.health.unwritten(FULL)
    ledger.health.committed(60, tried=True)
    assert "damaged" in (ledger.health.reason or "")
    assert ledger.health.refuses(b.Pause(batch="batch-a")) is not None


def test_a_disk_that_can_t_be_read_is_named_and_may_be_well_again(ledger: Ledger) -> None:
    failure = ledger.health.unreadable(apsw.IOError("disk I/O error"))
    assert failure is not None
    assert failure.code == "unavailable"
    assert "can't be read" in failure.message
    assert ledger.health.reason is None


@pytest.mark.parametrize("error", [KeyError("x"), apsw.ConstraintError("x"), apsw.SQLError("x")])
def test_a_mistake_of_ours_is_no_trouble_of_the_disk(ledger: Ledger, error: Exception) -> None:
    assert ledger.health.unwritten(error) is None
    assert ledger.health.unreadable(error) is None
    assert ledger.health.reason is None


@pytest.mark.parametrize("error", [apsw.CantOpenError("unable to open"), FULL])
def test_a_disk_with_no_room_to_fold_afresh_is_named(stopped: Running, error: apsw.Error) -> None:
    fill(stopped.paths.database)
    with pytest.raises(LedgerError, match="can't be folded afresh") as raised:
        with to_fold_afresh(stopped.paths.database):
            raise error
    assert raised.value.code == "unavailable"


def test_who_holds_a_lock_is_seen_on_a_disk_that_became_read_only(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def on_read_only(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opened(path, flags, mode)

    with lock(house / "lock"):
        monkeypatch.setattr(os, "open", on_read_only)
        with pytest.raises(Held), lock(house / "lock"):
            pass
    with lock(house / "lock"):
        pass
    with pytest.raises(OSError, match="Read-only"), lock(house / "lock", says=b"mine"):
        pass


class TestDamage:
    """Of a real daemon's ledger: named by every way in, and mended by a backup."""

    def test_a_question_that_meets_a_damaged_page_says_so(
        self, stopped: Running, house: Path
    ) -> None:
        database = stopped.paths.database
        fill(database, 3_000)
        with closing(open_for_writing(str(database))) as db:
            copy(alone_on(db), house / "b.db")
            pages = db.execute(
                "SELECT pageno FROM dbstat WHERE name = 'event' AND pagetype = 'leaf' ORDER BY path"
            ).fetchall()
        # None of what a daemon reads as it starts.
        for (page,) in pages[len(pages) // 2 :][:20]:
            spoil(database, (page - 1) * 4_096)
        stopped.start()
        with pytest.raises(LedgerError) as raised:
            [stopped.ask(Read(after_seq=after)) for after in range(0, 3_000, 1_000)]
        assert raised.value.code == "unavailable"
        assert "damaged" in raised.value.message
        with pytest.raises(LedgerError) as refused:
            stopped.append(cost("onto it"))
        assert refused.value.code == "unavailable"
        path = stopped.paths.data_dir / ".refold-1.db"
        with pytest.raises(LedgerError, match="damaged"):
            stopped.ask(Rebuild(path=str(path)))
        status = stopped.ask(Status())
        assert (status.mode, "damaged" in (status.mode_reason or "")) == ("read-only", True)
        looked = stopped.command("doctor")
        assert looked.returncode == 1
        assert "damaged" in looked.stdout
        assert "personad restore FILE" in looked.stdout
        stopped.stop()
        assert stopped.command("restore", str(house / "b.db")).returncode == 0
        stopped.start().append(cost("afterwards"))
        assert "soundness    every page" in stopped.command("doctor").stdout

    def test_a_write_ahead_log_that_was_cut_short_is_noticed(self, daemon: Running) -> None:
        for number in range(20):
            daemon.append(cost(f"call-{number}"))
        daemon.kill()
        log = daemon.paths.data_dir / "ledger.db-wal"
        os.truncate(log, log.stat().st_size // 2)
        daemon.start()
        status = daemon.ask(Status())
        assert status.last_seq < 20
        assert status.mode == "read-only"
        assert "was at 20 before" in (status.mode_reason or "")
        with pytest.raises(LedgerError, match="cut short"):
            daemon.append(cost("onto it"))
        assert daemon.ask(Read()).last_seq == status.last_seq
        assert "cut short" in daemon.command("doctor").stdout
        verified = daemon.command("verify")
        assert verified.returncode == 1
        assert f"the log ends at event {status.last_seq}, and 20 were acknow" in verified.stdout

    def test_a_young_ledger_that_lost_its_write_ahead_log_is_no_new_one(
        self, daemon: Running
    ) -> None:
        daemon.append(cost("call-1"))
        daemon.kill()
        (daemon.paths.data_dir / "ledger.db-wal").unlink()
        status = daemon.start().ask(Status())
        assert (status.mode, status.last_seq) == ("read-only", 0)
        assert "was at 1 before" in (status.mode_reason or "")

    def test_one_can_go_on_with_what_is_left(self, daemon: Running) -> None:
        for number in range(20):
            daemon.append(cost(f"call-{number}"))
        daemon.kill()
        log = daemon.paths.data_dir / "ledger.db-wal"
        os.truncate(log, log.stat().st_size // 2)
        left = daemon.start().ask(Status()).last_seq
        daemon.stop()
        assert daemon.command("restore", str(daemon.paths.database)).returncode == 0
        assert daemon.start().append(cost("afterwards")).first_seq == left + 1

    def test_after_a_kill_alone_nothing_is_held_against_it(self, daemon: Running) -> None:
        for number in range(20):
            daemon.append(cost(f"call-{number}"))
        daemon.kill()
        assert daemon.start().ask(Status()).mode == "normal"

    @pytest.mark.parametrize("damage", ["empty", "beginning", "schema"])
    def test_one_that_can_t_be_opened_is_said_to_be_damaged(
        self, daemon: Running, damage: str
    ) -> None:
        daemon.append(cost())
        daemon.stop()
        database = daemon.paths.database
        if damage == "empty":
            os.truncate(database, 0)
        else:
            spoil(database, 0 if damage == "beginning" else 100, 3_000)
        before = database.read_bytes()
        said = daemon.command("start")
        assert said.returncode == 75
        assert "is damaged" in said.stderr
        assert "personad restore FILE" in said.stderr
        assert "Traceback" not in said.stderr
        assert database.read_bytes() == before
        assert "damaged" in daemon.command("doctor").stdout

    def test_what_can_be_read_of_it_is_answered(self, stopped: Running) -> None:
        fill(stopped.paths.database, 3_000)
        size = stopped.paths.database.stat().st_size
        spoil(stopped.paths.database, size * 3 // 4, 20 * 4_096)
        stopped.start()
        assert len(stopped.ask(Read(limit=10)).events) == 10


def test_a_ledger_that_grew_while_nobody_marked_it_is_sound(paths: Paths) -> None:
    fill(paths.database)
    Marker(paths.database, "another ledger's id, 36 bytes long..").set(10**6)
    daemon = Running(paths).start()
    assert daemon.ask(Status()).mode == "normal"
    seq = daemon.append(cost()).last_seq
    daemon.stop()
    found = read_mark(paths.database)
    assert found is not None
    assert found.last_seq == seq == seq_of(paths.database)
    with closing(open_for_writing(str(paths.database))) as db:
        append(db, [cost("by a hand of its own")])
    assert daemon.start().ask(Status()).mode == "normal"
    daemon.stop()
