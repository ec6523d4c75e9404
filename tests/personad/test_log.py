"""Which events a reader gets, and how they are found among millions of others."""

import json

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personad import log, names
from personad.kinds import KINDS, RAW_KINDS

from .conftest import Core
from .facts import SPECIMENS, planned

KEPT = sorted(set(KINDS) - RAW_KINDS)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Core:
    core = Core(tmp_path_factory.mktemp("ledger") / "ledger.db")
    given_ones = [event for event in SPECIMENS.values() if not event.DAEMON_ONLY]
    core.append(*planned("batch-a", 2), *planned("batch-b", 1), *given_ones)
    return core


@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), unique=True),
    batch=st.sampled_from((None, "batch-a", "batch-b")),
    after=st.integers(0, 40),
    limit=st.integers(1, 50),
)
def test_a_reader_gets_what_it_asked_for(
    lived: Core, kinds: list[str], batch: str | None, after: int, limit: int
) -> None:
    every = list(log.read(lived.db, limit=1_000))
    expected = [
        each
        for each in every
        if each.seq > after
        and (not kinds or type(each.event).__struct_config__.tag in kinds)
        and (batch is None or getattr(each.event, "batch", None) == batch)
    ]
    found = list(log.read(lived.db, after=after, kinds=kinds, batch=batch, limit=limit))
    assert found == expected[:limit]


@pytest.mark.parametrize("repeats", [0, 1, 3])
def test_a_batch_is_read_from_its_first_event_though_repeats_came_before_it(
    core: Core, repeats: int
) -> None:
    """What they had a place for in vain, new ones take."""
    old = planned("old")
    core.append(*old)
    core.append(*old[:repeats], *planned("new"))
    known = [*log.read(core.db)]
    assert [each.seq for each in known] == [*range(1, len(known) + 1)]
    of_batch = [each for each in known if getattr(each.event, "batch", None) == "new"]
    assert [*log.read(core.db, batch="new")] == of_batch != []
    found = core.db.execute("SELECT first_seq FROM batch_key WHERE batch = 'new'").get
    assert found == of_batch[0].seq


@pytest.mark.parametrize("sql", [log._READ_KEPT, log._READ_KEPT_OF_BATCH])
def test_kinds_that_are_kept_for_ever_are_found_by_an_index(sql: str) -> None:
    db = apsw.Connection(":memory:")
    db.execute(names.SCHEMA + log.SCHEMA)
    asked = {"kinds": "[50]", "batch": 1, "after": 0, "limit": 10}
    plan = [detail for *_, detail in db.execute(f"EXPLAIN QUERY PLAN {sql}", asked)]
    assert any("USING INDEX event_kept" in detail for detail in plan)


def test_every_kind_is_either_dropped_in_time_or_in_the_index() -> None:
    assert set(KEPT) | RAW_KINDS == set(KINDS)
    db = apsw.Connection(":memory:")
    sql = f"SELECT kind FROM (SELECT value AS kind FROM json_each(?)) WHERE {log._IS_KEPT}"  # noqa: S608
    codes = json.dumps([-1, *range(100)])
    assert {kind for (kind,) in db.execute(sql, (codes,))} == {-1, *range(100)} - {
        KINDS[kind] for kind in RAW_KINDS
    }


@given(
    gaps=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), max_size=30),
    wanted=st.integers(0, 300),
)
def test_where_what_was_recorded_from_then_on_begins(
    gaps: list[tuple[int, int]], wanted: int
) -> None:
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, at INTEGER, delay INTEGER)")
    seq, recorded, found = 0, 0, []
    for step, later in gaps:
        seq, recorded = seq + step, recorded + later
        found.append((seq, recorded))
        db.execute("INSERT INTO event VALUES (?, ?, ?)", (seq, recorded - 7, 7))
    begins = log.first_seq(db, wanted + log._AHEAD_US)
    assert [each for each in found if each[0] >= begins and each[1] >= wanted] == [
        each for each in found if each[1] >= wanted
    ]
    if found and found[-1][1] >= wanted:
        assert all(at < wanted for seq, at in found if seq < begins)
    else:
        assert begins == (found[-1][0] if found else 1)
