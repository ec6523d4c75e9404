"""Restoring: the backup or the old ledger, never something between, and nothing thrown away."""

import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from personad.contract.paths import Paths
from personad.copying import alone_on, copy
from personad.mark import mark_file
from personad.migrations import FORMAT
from personad.restore import complete
from personad.store import open_for_writing
from tests.ledgers import append, fill, is_sound, killed_at, rows, seq_of, spoil

from .conftest import Running
from .facts import cost

Sqlite = Callable[[Path], apsw.Connection]


@pytest.fixture
def backup(paths: Paths, house: Path) -> Path:
    """One of a ledger that has gone on since."""
    fill(paths.database)
    back_up(paths.database, house / "b.db")
    fill(paths.database)
    return house / "b.db"


def back_up(database: Path, target: Path) -> None:
    with closing(open_for_writing(str(database))) as db:
        copy(alone_on(db), target)


def aside(paths: Paths) -> list[Path]:
    return sorted(paths.data_dir.glob("ledger.db.before-restore-*Z"))


def test_every_row_is_as_in_the_backup(paths: Paths, backup: Path) -> None:
    old = rows(paths.database)
    said = Running(paths).command("restore", str(backup), "--force")
    assert said.returncode == 0, said.stderr
    assert rows(paths.database) == rows(backup) != old
    assert is_sound(paths.database)
    assert paths.database.stat().st_mode & 0o777 == 0o600
    (kept,) = aside(paths)
    assert str(kept) in said.stdout
    assert rows(kept) == old


def test_a_daemon_goes_on_from_what_was_restored(stopped: Running, house: Path) -> None:
    stopped.start().append(cost("first"))
    assert stopped.command("backup", str(house / "b.db")).returncode == 0
    stopped.append(cost("second"))
    stopped.kill()
    said = stopped.command("restore", str(house / "b.db"), "--force")
    assert said.returncode == 0, said.stderr
    assert stopped.start().append(cost("third")).first_seq == 2
    (old,) = aside(stopped.paths)
    assert seq_of(old) == 2


def test_the_old_one_is_kept_with_what_only_its_log_held(paths: Paths, backup: Path) -> None:
    assert killed_at(_KILLED_AFTER_A_COMMIT, str(paths.database)) == -9
    assert (paths.data_dir / "ledger.db-wal").stat().st_size
    seq = seq_of(paths.database)
    said = Running(paths).command("restore", str(backup), "--force")
    assert said.returncode == 0, said.stderr
    assert rows(paths.database) == rows(backup)
    assert [seq_of(each) for each in aside(paths)] == [seq]


_KILLED_AFTER_A_COMMIT = """
import os, signal, sys
from tests.ledgers import append
from tests.personad.facts import NOON, cost
from personad.store import open_for_writing
from uuid import uuid4

db = open_for_writing(sys.argv[1])
append(db, [cost("only-in-the-log", id=uuid4())])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", range(1, 11))
def test_killed_at_any_moment_it_is_one_or_the_other(
    paths: Paths, backup: Path, moment: int
) -> None:
    assert killed_at(_KILLED_AFTER_A_COMMIT, str(paths.database)) == -9
    new, old = rows(backup), rows(paths.database)
    ended = killed_at(_KILLED_IN_A_RESTORE, str(paths.data_dir), str(backup), str(moment))
    complete(paths.database)
    found = rows(paths.database)
    assert found in (new, old)
    if not ended:
        assert found == new
    if found == new:
        assert [rows(each) for each in aside(paths)] == [old]
    with closing(open_for_writing(str(paths.database))) as db:
        append(db, [cost("afterwards")])
    assert is_sound(paths.database)


_KILLED_IN_A_RESTORE = """
import os, signal, sys
from pathlib import Path
from personad import copying, restore
from personad.contract.options import DEFAULTS
from personad.contract.paths import resolve_paths

folder, backup, moment = sys.argv[1:]
left = int(moment)

def count(then):
    def counted(*given, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return then(*given, **named)
    return counted

restore.sync = count(copying.sync)
os.replace = count(os.replace)
Path.unlink = count(Path.unlink)
paths = resolve_paths(DEFAULTS, ledger=folder, environ=os.environ)
restore.restore(paths, Path(backup), force=True)
"""


def test_what_a_killed_restore_left_to_do_the_daemon_does(stopped: Running, house: Path) -> None:
    fill(stopped.paths.database)
    back_up(stopped.paths.database, house / "b.db")
    fill(stopped.paths.database)
    seq = seq_of(house / "b.db")
    (house / "b.db").rename(stopped.paths.data_dir / "ledger.db.restored")
    assert stopped.start().append(cost("next")).first_seq == seq + 1
    assert len(aside(stopped.paths)) == 1


class TestRefusal:
    """With a word on why; nothing is changed then."""

    def said(self, paths: Paths, *words: str) -> tuple[int, str]:
        before = rows(paths.database) if paths.database.exists() else None
        ended = Running(paths).command("restore", *words)
        assert "Traceback" not in ended.stderr
        if ended.returncode:
            assert before == (rows(paths.database) if paths.database.exists() else None)
            assert aside(paths) == []
            assert not list(paths.data_dir.glob("*.candidate*"))
        return ended.returncode, ended.stderr

    def test_while_a_daemon_runs(self, daemon: Running, house: Path) -> None:
        daemon.append(cost())
        daemon.command("backup", str(house / "b.db"))
        status, stderr = self.said(daemon.paths, str(house / "b.db"), "--force")
        assert status == 1
        assert "a daemon has the ledger" in stderr
        assert "`personad stop`" in stderr

    def test_over_a_newer_ledger(self, paths: Paths, backup: Path) -> None:
        status, stderr = self.said(paths, str(backup))
        assert status == 1
        assert f"is at seq {seq_of(paths.database):,}" in stderr
        assert f"ends at {seq_of(backup):,}" in stderr
        assert "--force" in stderr

    def test_over_another_ledger(self, paths: Paths, house: Path) -> None:
        fill(paths.database)
        fill(house / "other.db", 500)
        status, stderr = self.said(paths, str(house / "other.db"))
        assert status == 1
        assert "another ledger" in stderr

    def test_over_one_that_went_another_way(self, paths: Paths, backup: Path, house: Path) -> None:
        back_up(paths.database, house / "later.db")
        assert Running(paths).command("restore", str(backup), "--force").returncode == 0
        for each in aside(paths):
            each.unlink()
        fill(paths.database, 10)
        status, stderr = self.said(paths, str(house / "later.db"))
        assert status == 1
        assert "another way" in stderr

    @pytest.mark.parametrize(
        ("content", "why"),
        [(None, "is not there"), (b"", "is not a ledger"), (b"name,age\n" * 999, "not a ledger")],
    )
    def test_of_what_is_no_ledger(
        self, paths: Paths, house: Path, content: bytes | None, why: str
    ) -> None:
        fill(paths.database)
        if content is not None:
            (house / "b.db").write_bytes(content)
        status, stderr = self.said(paths, str(house / "b.db"), "--force")
        assert status == 65
        assert str(house / "b.db") in stderr
        assert why in stderr

    def test_of_a_folder(self, paths: Paths, house: Path) -> None:
        assert self.said(paths, str(house))[0] == 65

    def test_of_another_program_s_database(self, paths: Paths, house: Path, sqlite: Sqlite) -> None:
        sqlite(house / "b.db").execute("CREATE TABLE t (x); PRAGMA user_version = 1")
        status, stderr = self.said(paths, str(house / "b.db"))
        assert status == 65
        assert "is not a ledger" in stderr

    def test_of_a_damaged_backup(self, paths: Paths, house: Path) -> None:
        fill(paths.database, 2_000)
        back_up(paths.database, house / "b.db")
        spoil(house / "b.db", (house / "b.db").stat().st_size // 2, 40_960)
        status, stderr = self.said(paths, str(house / "b.db"), "--force")
        assert status == 65
        assert "is damaged" in stderr

    def test_of_a_newer_format(self, paths: Paths, house: Path, sqlite: Sqlite) -> None:
        fill(paths.database)
        back_up(paths.database, house / "b.db")
        db = sqlite(house / "b.db")
        db.pragma("user_version", FORMAT + 1)
        db.execute("UPDATE meta SET value = '9.9.9' WHERE name = 'created_by'")
        status, stderr = self.said(paths, str(house / "b.db"), "--force")
        assert status == 65
        assert f"format {FORMAT + 1}, made by personad 9.9.9" in stderr

    def test_without_room(self, paths: Paths, backup: Path) -> None:
        before = rows(paths.database)
        ended = _with_small_files(paths, backup)
        assert ended == 75
        assert rows(paths.database) == before
        assert not list(paths.data_dir.glob("*.candidate*"))


def _with_small_files(paths: Paths, backup: Path) -> int:
    program = [sys.executable, "-m", "personad", "--ledger", str(paths.data_dir)]
    return subprocess.call(
        [*program, "restore", str(backup), "--force"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )


class TestWithoutForce:
    def test_where_there_is_no_ledger_yet(self, paths: Paths, house: Path) -> None:
        fill(house / "b.db")
        assert Running(paths).command("restore", str(house / "b.db")).returncode == 0
        assert rows(paths.database) == rows(house / "b.db")
        assert aside(paths) == []

    def test_over_the_same_or_an_older_state(self, paths: Paths, house: Path) -> None:
        fill(paths.database)
        back_up(paths.database, house / "b.db")
        assert Running(paths).command("restore", str(house / "b.db")).returncode == 0
        assert len(aside(paths)) == 1

    def test_over_a_ledger_that_can_t_be_read(self, paths: Paths, backup: Path) -> None:
        spoil(paths.database, 0)
        assert Running(paths).command("restore", str(backup)).returncode == 0
        assert rows(paths.database) == rows(backup)
        assert len(aside(paths)) == 1

    def test_the_mark_of_the_old_one_is_not_held_against_it(
        self, stopped: Running, house: Path
    ) -> None:
        stopped.start().append(cost("first"))
        stopped.command("backup", str(house / "b.db"))
        stopped.append(cost("second"))
        stopped.stop()
        assert mark_file(stopped.paths.database).exists()
        assert stopped.command("restore", str(house / "b.db"), "--force").returncode == 0
        assert stopped.start().append(cost("third")).first_seq == 2
