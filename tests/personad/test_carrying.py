"""The write-ahead log, carried into the database file beside the commits."""

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from personad import carrying
from personad.carrying import Carrying
from personad.store import open_for_writing


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
        here.close()
    return seen


def test_the_log_begins_anew_again_and_again(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "PAGES", 40)
    pages = pages_seen(db, Carrying(db))
    assert max(pages) < 80
    assert sum(after < before for before, after in pairwise(pages)) > 3


def test_nothing_is_carried_while_there_is_little(db: apsw.Connection) -> None:
    here = Carrying(db)
    commit(db)
    here.carry()
    assert here._thread is None


def test_commits_go_on_while_the_other_thread_carries(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "PAGES", 1)
    here = Carrying(db)
    commit(db)
    # Whoever reads an old state keeps the log from beginning anew, and nobody from committing.
    with apsw.Connection(db.filename, flags=apsw.SQLITE_OPEN_READONLY) as reader:
        before = reader.execute("SELECT count(*) FROM filled").get
        here.carry()
        commit(db)
        here.close()
        here.carry()
        assert reader.execute("SELECT count(*) FROM filled").get == before
    reader.close()
    commit(db)
    assert db.execute("SELECT count(*) FROM filled").get == 3
    assert db.pragma("integrity_check") == "ok"


def test_a_failure_is_told_and_the_writer_carries_by_himself(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(carrying, "PAGES", 1)

    def fails(*_: object, **__: object) -> None:
        raise apsw.FullError("on purpose")

    here = Carrying(db)
    monkeypatch.setattr(carrying.apsw, "Connection", fails)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            commit(db)
            here.carry()
            here.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the write-ahead log can't be carried over: on purpose"
    ]
