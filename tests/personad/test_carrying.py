"""The write-ahead log, carried into the database file beside the commits."""

import logging
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from personad import carrying
from personad.carrying import Carrying, checkpoint
from personad.store import open_for_writing
from tests.faulty_disk import Fault, faulty

_FILL = "INSERT INTO filled VALUES (replace(hex(zeroblob(10000)), '0', 'x'))"
_ARE_FULL = "SELECT count(*) FROM filled WHERE data = replace(hex(zeroblob(10000)), '0', 'x')"


@pytest.fixture
def here(db: apsw.Connection) -> Iterator[Carrying]:
    made = Carrying(db)
    made.start()
    yield made
    made.close()


@pytest.fixture
def db(house: Path) -> Iterator[apsw.Connection]:
    opened = open_for_writing(str(house / "l.db"))
    opened.execute("CREATE TABLE filled (data BLOB)")
    yield opened
    opened.close()


def commit(db: apsw.Connection) -> None:
    db.execute("INSERT INTO filled VALUES (zeroblob(20000))")


def pages_seen(db: apsw.Connection, here: Carrying) -> list[int]:
    """Of the log after each commit, with the other thread always done before the next."""
    seen = []
    for _ in range(60):
        commit(db)
        seen.append(here._pages)
        here.carry()
        if here._thread is not None:
            here._thread.join()
    return seen


@pytest.mark.parametrize("is_helped", [True, False])
def test_the_log_begins_anew_again_and_again(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch, *, is_helped: bool
) -> None:
    monkeypatch.setattr(carrying, "PAGES", 40)
    here = Carrying(db)
    if is_helped:
        here.start()
    pages = pages_seen(db, here)
    here.close()
    assert max(pages) < 80
    assert sum(after < before for before, after in pairwise(pages)) > 3


def test_nothing_is_carried_while_there_is_little(db: apsw.Connection, here: Carrying) -> None:
    commit(db)
    here.carry()
    assert here._thread is None


def test_the_other_thread_carries_what_was_committed(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "PAGES", 40)
    here = Carrying(db)
    here.start()
    database = Path(db.filename)
    before = database.stat().st_size
    while here._pages < 40:
        commit(db)
        assert database.stat().st_size == before
    here.carry()
    assert here._thread is not None
    here._thread.join()
    assert database.stat().st_size > before + 40 * db.pragma("page_size") // 2
    here.close()


def test_commits_go_on_while_the_other_thread_carries(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "PAGES", 1)
    here = Carrying(db)
    here.start()
    commit(db)
    # Whoever reads an old state keeps the log from beginning anew, and nobody from committing.
    with apsw.Connection(db.filename, flags=apsw.SQLITE_OPEN_READONLY) as reader:
        before = reader.execute("SELECT count(*) FROM filled").get
        here.carry()
        commit(db)
        assert here._thread is not None
        here._thread.join()
        here.carry()
        assert reader.execute("SELECT count(*) FROM filled").get == before
    reader.close()
    here.close()
    commit(db)
    assert db.execute("SELECT count(*) FROM filled").get == 3
    assert db.pragma("integrity_check") == "ok"


def test_where_an_old_state_is_read_it_is_not_tried_with_every_commit(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "PAGES", 40)
    here = Carrying(db)
    tried: list[int] = []
    carry = here._carry
    monkeypatch.setattr(here, "_carry", lambda each: (tried.append(here._pages), carry(each)))
    commit(db)
    reader = apsw.Connection(db.filename, flags=apsw.SQLITE_OPEN_READONLY)
    with reader:
        assert reader.execute("SELECT count(*) FROM filled").get == 1
        pages_seen(db, here)
    reader.close()
    assert 1 < len(tried) <= tried[-1] // 40
    assert min(pages_seen(db, here)) < 40


@pytest.fixture
def by_writer(
    db: apsw.Connection, here: Carrying, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[int]]:
    """How many pages the writer found left, each time that he carried."""
    monkeypatch.setattr(carrying, "PAGES", 40)
    monkeypatch.setattr(carrying, "REST_PAGES", 60)
    found: list[int] = []
    carry = here._carry

    def noted(each: apsw.Connection) -> None:
        if each is db:
            found.append(here._pages - here._carried.pages)
        carry(each)

    monkeypatch.setattr(here, "_carry", noted)
    return found


def test_what_an_old_state_kept_in_the_log_is_not_left_to_the_writer(
    db: apsw.Connection, here: Carrying, by_writer: list[int]
) -> None:
    commit(db)
    with apsw.Connection(db.filename, flags=apsw.SQLITE_OPEN_READONLY) as reader:
        assert reader.execute("SELECT count(*) FROM filled").get == 1
        while here._thread is None:
            commit(db)
            here.carry()
        here._thread.join()
        for _ in range(40):
            commit(db)
    reader.close()
    assert here._pages > 200
    here.carry()
    assert by_writer == []
    pages = pages_seen(db, here)
    assert min(pages) < 40
    assert max(by_writer) <= carrying.REST_PAGES


def carry_a_round(db: apsw.Connection, here: Carrying, rest: int) -> None:
    """The other thread carries, and so many pages come until that is seen."""
    while here._thread is None:
        commit(db)
        here.carry()
    here._thread.join()
    while here._pages - here._carried.pages < rest:
        commit(db)
    here.carry()


def test_what_came_while_much_was_carried_is_carried_beside_the_commits_too(
    db: apsw.Connection, here: Carrying, by_writer: list[int]
) -> None:
    for rest in (150, 100, 10):
        commit(db)
        carry_a_round(db, here, rest)
        assert here._thread is None
        assert len(by_writer) == (rest == 10)


def test_where_more_comes_than_is_carried_commits_wait(
    db: apsw.Connection, here: Carrying, by_writer: list[int]
) -> None:
    for rest in (100, 150):
        carry_a_round(db, here, rest)
    assert len(by_writer) == 1
    assert by_writer[0] >= 150
    commit(db)
    assert here._pages < 40


def test_a_failure_is_told_and_the_writer_carries_by_himself(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(carrying, "PAGES", 40)

    def fails(*_: object, **__: object) -> None:
        raise apsw.FullError("on purpose")

    here = Carrying(db)
    with caplog.at_level(logging.WARNING):
        with monkeypatch.context() as patched:
            patched.setattr(carrying.apsw, "Connection", fails)
            here.start()
        pages = pages_seen(db, here)
    assert [record.getMessage() for record in caplog.records] == [
        "the write-ahead log can't be carried over: on purpose"
    ]
    assert max(pages) < 80


def test_what_a_disk_has_failed_to_make_safe_stays_in_the_log(house: Path) -> None:
    path = house / "l.db"
    with faulty(random.Random(1)) as disk:
        db = open_for_writing(str(path))
        here = Carrying(db)
        here.start()
        beside = apsw.Connection(str(path))
        db.execute("CREATE TABLE filled (data BLOB)")
        for _ in range(10):
            db.execute(_FILL)
        # While an old state is read only a part is carried, and that is not made safe by itself.
        with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY) as reader:
            assert reader.execute("SELECT count(*) FROM filled").get == 10
            db.execute(_FILL)
            carried = checkpoint(beside)
            assert 0 < carried.pages < carried.of
        reader.close()
        beside.close()
        disk.plan([Fault("sync", 2)])
        with pytest.raises(apsw.IOError):
            checkpoint(db)
        assert len(disk.failed) == 1
        disk.plan([])
        assert carrying.held(db) == carrying.HELD
        assert checkpoint(db) == (0, 0)
        db.execute(_FILL)
        disk.cut_power(house / "cut")
        here.close()
        db.close()
        disk.cut_power(house / "ended")
    for folder in ("cut", "ended"):
        with apsw.Connection(str(house / folder / "l.db")) as left:
            assert left.pragma("integrity_check") == "ok"
            assert left.execute(_ARE_FULL).get == 12
        left.close()
    # Another process carries it all; here nobody has the file open any more.
    carrying._LOST.discard(str(path))
    again = apsw.Connection(str(path))
    assert carrying.held(again) is None
    assert again.execute(_ARE_FULL).get == 12
    assert checkpoint(again).pages > 0
    again.close()


def test_the_other_connection_is_on_the_same_disk(house: Path) -> None:
    class Noted(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("noted", "")

    noted = Noted()
    path = str(house / "l.db")
    open_for_writing(path).close()
    db = apsw.Connection(path, vfs="noted")
    here = Carrying(db)
    here.start()
    assert here._beside is not None
    assert here._beside.open_vfs == "noted"
    here.close()
    db.close()
    noted.unregister()
