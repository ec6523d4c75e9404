"""Many rows with few statements are the same rows."""

from collections.abc import Iterator

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personad import bulk

INTO, ADDED = "sums (name, n)", "ON CONFLICT DO UPDATE SET n = n + excluded.n"
SCHEMA = "CREATE TABLE sums (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID"
SUMS = st.dictionaries(st.text(max_size=5), st.integers(-(2**40), 2**40), max_size=150)


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    with apsw.Connection(":memory:") as db:
        db.execute(SCHEMA)
        yield db


def put(db: apsw.Connection, rows: dict[str, int]) -> None:
    values: list[bulk.Value] = [each for row in rows.items() for each in row]
    bulk.insert(db, INTO, 2, ADDED, values)


@settings(deadline=None)
@given(first=SUMS, second=SUMS)
def test_what_is_put_twice_is_added_up_whatever_the_number_of_rows(
    first: dict[str, int], second: dict[str, int]
) -> None:
    db = apsw.Connection(":memory:")
    db.execute(SCHEMA)
    put(db, first)
    put(db, second)
    wanted = {name: first.get(name, 0) + second.get(name, 0) for name in {*first, *second}}
    assert dict(db.execute("SELECT name, n FROM sums")) == wanted
    db.close()


def test_rows_go_down_in_their_order(db: apsw.Connection) -> None:
    db.execute("CREATE TABLE line (at INTEGER PRIMARY KEY, text TEXT UNIQUE) STRICT")
    lines: list[bulk.Value] = [str(n % 60) for n in range(100)]
    bulk.insert(db, "line (text)", 1, "ON CONFLICT DO NOTHING", lines)
    assert [text for (text,) in db.execute("SELECT text FROM line ORDER BY at")] == lines[:60]


def test_what_fails_goes_with_its_transaction(db: apsw.Connection) -> None:
    put(db, {"before": 1})
    values: list[bulk.Value] = [each for n in range(100) for each in (f"row {n:02}", n)]
    values[-1] = None
    with pytest.raises(apsw.ConstraintError), db:
        bulk.insert(db, INTO, 2, ADDED, values)
    assert list(db.execute("SELECT name, n FROM sums")) == [("before", 1)]
