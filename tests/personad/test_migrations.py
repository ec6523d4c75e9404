"""Database files of older releases are led to this one's format, those of newer ones refused."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import apsw
import pytest

from personad import migrations
from personad.contract.asking import Filter, Range
from personad.contract.base import VERSION
from personad.contract.calls import CostCalls
from personad.contract.cost import CostBreakdown
from personad.contract.errors import LedgerError
from personad.contract.quality import QualityTrends
from personad.log import KEPT_INDEX, read
from personad.migrations import FORMAT, MIGRATIONS, format_of
from personad.projections import BUCKETS, call_places
from personad.projections.book import Book
from personad.projections.buckets import Buckets, Packed
from personad.questions import ANSWERS
from personad.store import open_for_writing
from personad.tidy import all_at_once
from tests.ledgers import as_in_format_14, damage_of, fill, is_sound, killed_at, rows
from tests.test_files import files_no_larger_than

from .conftest import Core, Running
from .past import a_past, lived

NEXT = FORMAT + 1
Sqlite = Callable[[Path], apsw.Connection]


def with_notes(db: apsw.Connection) -> None:
    """An imaginary migration: a column more, and a table made of what is there."""
    db.execute("ALTER TABLE event ADD COLUMN note TEXT")
    db.execute("CREATE TABLE seen (seq INTEGER PRIMARY KEY) STRICT")
    db.execute("INSERT INTO seen SELECT seq FROM event")


def broken(db: apsw.Connection) -> None:
    db.execute("DELETE FROM event")
    db.execute("SELECT nothing FROM nowhere")


@pytest.fixture
def old(house: Path) -> Path:
    """A ledger of the present format, which is the old one where a test adds a migration."""
    fill(house / "L" / "ledger.db")
    return house / "L" / "ledger.db"


@pytest.fixture
def newer_release(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, after `old` was made."""
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, with_notes))


def kept(old: Path) -> Path:
    return old.with_name(f"{old.name}.format-{FORMAT}")


def test_the_list_leads_to_the_format_that_is_made(house: Path) -> None:
    assert 1 + len(MIGRATIONS) == FORMAT
    with closing(open_for_writing(str(house / "new.db"))) as db:
        assert format_of(db) == FORMAT


def as_in_format_10(db: apsw.Connection) -> dict[str, list[Any]]:
    """Takes back what came later; the days by experiment that there were, by table."""
    as_in_format_14(db)
    db.execute("DROP TABLE call_fresh; ALTER TABLE batch DROP COLUMN digest")
    packed: dict[str, list[Any]] = {}
    for days in (each for each in BUCKETS if isinstance(each, Packed)):
        table = f"{days.name}_day"
        packed[table] = db.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
        db.execute(f"DROP TABLE {table}")
        db.execute(Buckets(days.name, (days.key,), days.sums, ("day",)).schema)
        columns = ", ".join(f"sum({each})" for each in days.sums)
        db.execute(
            f"INSERT INTO {table} SELECT bucket, experiment, {columns} "  # noqa: S608
            f"FROM {days.source}_day GROUP BY 1, 2"
        )
    return packed


def test_days_that_lack_what_a_newer_release_adds_up_are_not_read_until_it_has(core: Core) -> None:
    lived(core, "UTC", a_past())
    all_at_once(core.book)
    whole = QualityTrends(range=Range(days=90))
    before = ANSWERS[QualityTrends](core.db, whole, core.now)
    core.db.execute("DROP TABLE sketch_all_hour; DROP TABLE sketch_all_day")
    for table in call_places.TABLES:
        core.db.execute(f"DROP TABLE {table}")
    core.db.execute("DELETE FROM meta WHERE name LIKE 'calls_placed%'")
    as_in_format_10(core.db)
    core.db.pragma("user_version", 6)
    core.db.close()
    with closing(open_for_writing(str(core.path))) as db:
        assert ANSWERS[QualityTrends](db, whole, core.now) == before
        all_at_once(Book(db, ZoneInfo("UTC")))
        assert db.execute("SELECT count(*) FROM sketch_all_day").get > 0
        assert ANSWERS[QualityTrends](db, whole, core.now) == before
    assert damage_of(core.path) is None


def test_calls_that_an_older_release_noted_are_noted_by_experiment_too(core: Core) -> None:
    lived(core, "UTC", a_past())
    while call_places.place(core.db, 8) + call_places.place_models(core.db, 8):
        pass
    asked = CostCalls(range=Range(days=90), filter=Filter(experiments=["tone"]), limit=100)
    before = ANSWERS[CostCalls](core.db, asked, core.now)
    noted = core.db.execute("SELECT * FROM call_of_experiment").fetchall()
    assert noted
    core.db.execute("DROP TABLE call_of_experiment")
    as_in_format_10(core.db)
    core.db.pragma("user_version", 9)
    core.db.close()
    with closing(open_for_writing(str(core.path))) as db:
        assert ANSWERS[CostCalls](db, asked, core.now) == before
        while call_places.place_models(db, 8):
            pass
        assert db.execute("SELECT * FROM call_of_experiment").fetchall() == noted
        assert ANSWERS[CostCalls](db, asked, core.now) == before


def test_days_by_experiment_of_an_older_release_say_the_same_in_columns(core: Core) -> None:
    lived(core, "UTC", a_past())
    all_at_once(core.book)
    asked = CostBreakdown(by="experiment", range=Range(days=90))
    before = ANSWERS[CostBreakdown](core.db, asked, core.now)
    assert len(before.rows) > 1
    packed = as_in_format_10(core.db)
    assert all(packed.values())
    core.db.pragma("user_version", 10)
    core.db.close()
    with closing(open_for_writing(str(core.path))) as db:
        for table, rows_ in packed.items():
            assert db.execute(f"SELECT * FROM {table}").fetchall() == rows_  # noqa: S608
        assert ANSWERS[CostBreakdown](db, asked, core.now) == before
    assert damage_of(core.path) is None


def test_what_batches_of_an_older_release_are_made_from_is_told_beside_them(core: Core) -> None:
    lived(core, "UTC", a_past())
    digests = "SELECT batch, digest FROM batch ORDER BY 1"
    before = core.db.execute(digests).fetchall()
    assert before
    assert all(digest for _, digest in before)
    as_in_format_14(core.db)
    core.db.execute("ALTER TABLE batch DROP COLUMN digest")
    core.db.pragma("user_version", 12)
    core.db.close()
    with closing(open_for_writing(str(core.path))) as db:
        assert db.execute(digests).fetchall() == before
    assert damage_of(core.path) is None


def test_the_index_of_what_is_kept_for_ever_is_made_anew_of_the_same_events(core: Core) -> None:
    lived(core, "UTC", a_past())
    kinds = ["batch.started", "batch.finished"]
    before = list(read(core.db, kinds=kinds))
    assert before
    as_in_format_14(core.db)
    core.db.execute("DROP INDEX event_kept")
    core.db.execute("CREATE INDEX event_kept ON event (kind, batch) WHERE kind NOT IN (10, 11, 22)")
    core.db.pragma("user_version", 13)
    core.db.close()
    with closing(open_for_writing(str(core.path))) as db:
        sql = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'event_kept'").get
        assert f"{sql};" == KEPT_INDEX
        assert list(read(db, kinds=kinds)) == before
    assert damage_of(core.path) is None


@pytest.mark.usefixtures("newer_release")
def test_opening_leads_an_old_file_to_the_new_format_and_keeps_it(old: Path) -> None:
    before = rows(old)
    with closing(open_for_writing(str(old))) as db:
        assert format_of(db) == NEXT
        assert db.execute("SELECT count(*) FROM seen").get == len(before["event"])
    after = rows(old, but=["migrated_by"])
    assert [row[:-1] for row in after["event"]] == before["event"]
    unchanged = set(before) - {"event"}
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert rows(kept(old)) == before
    assert kept(old).stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("newer_release")
def test_a_file_of_the_new_format_is_left_alone(old: Path) -> None:
    open_for_writing(str(old)).close()
    kept(old).unlink()
    before = rows(old)
    open_for_writing(str(old)).close()
    assert rows(old) == before
    assert not kept(old).exists()


def test_a_step_that_fails_leaves_the_file_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(old)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(LedgerError, match="can't be opened"):
        open_for_writing(str(old))
    monkeypatch.undo()
    assert rows(old) == before


def test_each_step_counts_for_itself(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, with_notes, broken))
    with pytest.raises(LedgerError):
        open_for_writing(str(old))
    with closing(apsw.Connection(str(old))) as db:
        assert format_of(db) == NEXT
        assert db.execute("SELECT count(*) FROM seen").get
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, with_notes, lambda db: None))
    with closing(open_for_writing(str(old))) as db:
        assert format_of(db) == NEXT + 1


@pytest.mark.usefixtures("newer_release")
def test_without_room_for_the_copy_nothing_is_changed(old: Path) -> None:
    before = rows(old)
    with files_no_larger_than(40_000), pytest.raises(LedgerError) as refused:
        open_for_writing(str(old))
    assert refused.value.code == "unavailable"
    assert "can't be copied" in refused.value.message
    assert rows(old) == before
    assert not kept(old).exists()


@pytest.mark.parametrize("moment", range(1, 13))
def test_killed_at_any_moment_it_is_led_to_the_new_format_the_next_time(
    old: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(old)
    ended = killed_at(_KILLED_IN_A_MIGRATION, str(old), str(moment))
    with closing(apsw.Connection(str(old))) as db:
        found = format_of(db)
        columns = len(list(db.execute("SELECT * FROM pragma_table_info('event')")))
    assert (found, columns - len(before["event"][0])) in ((FORMAT, 0), (NEXT, 1))
    assert ended or found == NEXT
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, with_notes))
    with closing(open_for_writing(str(old))) as db:
        assert format_of(db) == NEXT
    assert [row[:-1] for row in rows(old)["event"]] == before["event"]
    assert rows(kept(old)) == before
    assert is_sound(old)


_KILLED_IN_A_MIGRATION = """
import os, signal, sys
from personad import copying, migrations
from personad.store import open_for_writing
from tests.personad.test_migrations import with_notes

path, moment = sys.argv[1:]
left = int(moment)

def step():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def count(then):
    def counted(*given, **named):
        step()
        return then(*given, **named)
    return counted

class Told:
    # A connection that counts its statements, COMMIT among them.
    def __init__(self, db):
        self.db = db
    def execute(self, *given):
        step()
        return self.db.execute(*given)
    def __getattr__(self, name):
        return getattr(self.db, name)

inner = migrations._step
migrations._step = lambda db, *rest: inner(Told(db), *rest)
migrations.MIGRATIONS = (*migrations.MIGRATIONS, with_notes)
copying.sync = count(copying.sync)
copying.os.replace = count(os.replace)
copying._step = count(copying._step)
open_for_writing(path).close()
"""


class TestNewer:
    """A file that a newer release made is refused, by name, and not touched."""

    @pytest.fixture
    def newer(self, stopped: Running, sqlite: Sqlite) -> Running:
        fill(stopped.paths.database)
        db = sqlite(stopped.paths.database)
        db.pragma("user_version", NEXT)
        db.execute("UPDATE meta SET value = '7.0.0' WHERE name = 'created_by'")
        db.close()
        return stopped

    @pytest.mark.parametrize("words", [["start"], ["start", "--foreground"]])
    def test_a_start_names_both_and_says_what_to_do(self, newer: Running, words: list[str]) -> None:
        before = newer.paths.database.read_bytes()
        said = newer.command(*words)
        assert said.returncode in (70, 75)
        assert f"has format {NEXT}, made by personad 7.0.0" in said.stderr
        assert f"this personad {VERSION} knows formats up to {FORMAT}" in said.stderr
        assert "install that version" in said.stderr
        assert newer.paths.database.read_bytes() == before

    @pytest.mark.parametrize("word", ["verify", "rebuild"])
    def test_it_is_not_held_against_this_release_s_tables(self, newer: Running, word: str) -> None:
        said = newer.command(word)
        assert (said.returncode, said.stdout) == (75, "")
        assert f"has format {NEXT}, made by personad 7.0.0" in said.stderr
        assert f"this personad {VERSION} knows formats up to {FORMAT}" in said.stderr

    def test_it_is_named_after_who_migrated_it(self, newer: Running, sqlite: Sqlite) -> None:
        sqlite(newer.paths.database).execute("INSERT INTO meta VALUES ('migrated_by', '8.0.0')")
        assert "made by personad 8.0.0" in newer.command("start").stderr

    def test_one_that_does_not_say_who_made_it(self, newer: Running, sqlite: Sqlite) -> None:
        sqlite(newer.paths.database).execute("DROP TABLE meta")
        assert "made by personad (unknown)" in newer.command("start").stderr
