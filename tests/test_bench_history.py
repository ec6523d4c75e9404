"""The history that a ledger is filled with, and what others make of it."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bench import peers
from bench.history import Shape, calls, history
from bench.pressure import rate
from bench.producer import Load, Sent
from personad import log
from personad.contract.batch import BatchStarted
from personad.contract.cost import CostRecorded
from personad.contract.events import AnyEvent
from personad.contract.schema import tag
from personad.projections.book import Book
from personad.store import open_for_writing
from personad.transaction import transaction

TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
UNTIL = datetime(2026, 11, 23, 22, tzinfo=UTC)
MIXED = Shape(events=5_000, days=7, until=UNTIL)
MANY = Shape(events=5_000, days=7, until=UNTIL, experiments=40, batches=200)


@pytest.mark.parametrize("shape", [MIXED, MANY])
def test_a_made_up_history_fits_the_ledger_and_has_the_size_asked_for(
    shape: Shape, tmp_path: Path
) -> None:
    db = open_for_writing(str(tmp_path / "ledger.db"))

    with transaction(Book(db, ZoneInfo("UTC")), 0, UNTIL) as txn:
        txn.add(list(history(shape)))
    found = txn.last_seq, log.count_anomalies(db)
    db.close()

    assert found == (5_000, 0)


def test_a_made_up_history_is_in_the_order_of_time_and_ends_when_asked() -> None:
    times = [event.at for event in history(MIXED)]

    assert times == sorted(times)
    assert UNTIL - timedelta(days=7) < times[0] < UNTIL - timedelta(days=6)
    assert UNTIL - timedelta(days=1) < times[-1] <= UNTIL


def test_a_made_up_history_is_the_same_for_the_same_seed_alone() -> None:
    one, again = list(history(MIXED)), list(history(MIXED))

    assert one == again
    assert one != list(history(MIXED._replace(seed=2)))


def test_a_made_up_history_has_every_kind_that_the_tables_are_folded_from() -> None:
    events = list(history(MIXED))
    costs = [event for event in events if isinstance(event, CostRecorded)]

    assert {tag(type(event)) for event in events} == {
        "batch.started",
        "batch.finished",
        "persona.queued",
        "persona.generating",
        "persona.validating",
        "persona.retrying",
        "persona.completed",
        "persona.failed",
        "cost.recorded",
        "quality.scored",
    }
    assert {each.outcome for each in costs} == {"ok", "error"}
    assert len({each.model for each in costs}) == 6


def test_a_made_up_history_has_as_many_experiments_and_batches_as_asked() -> None:
    started = [event for event in history(MANY) if isinstance(event, BatchStarted)]

    assert len({event.experiment for event in started}) == 40
    assert 150 < len({event.batch for event in started}) < 250


@pytest.mark.parametrize("priced", [True, False])
def test_made_up_calls_end_when_asked_and_are_priced_where_asked(priced: bool) -> None:
    found = list(calls(200, 1, UNTIL, timedelta(seconds=2), priced=priced))

    assert found[-1].at == UNTIL
    assert found[-1].at - found[0].at == timedelta(seconds=1.99)
    assert {each.cost_nanousd is not None for each in found} == {priced}
    assert len({each.id for each in found} | {each.call for each in found}) == 400


@pytest.mark.parametrize(
    "peer",
    [
        peers.bare_apsw,
        peers.bare_sqlite3,
        peers.service_on_sqlite3,
        peers.eventsourcing_recorder,
        peers.eventsourcing_whole,
    ],
)
def test_a_peer_takes_every_event(
    peer: Callable[[Path, Sequence[AnyEvent], int], float], tmp_path: Path
) -> None:
    rate = peer(tmp_path, list(calls(250, 1, UNTIL, timedelta(seconds=2))), 100)
    (database,) = tmp_path.glob("*.db")
    db = sqlite3.connect(database)
    (table,) = {"event", "stored_events"} & {name for (name,) in db.execute(TABLES)}
    ((found,),) = db.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - one of two
    db.close()

    assert rate > 0
    assert found == 250


def test_a_commit_of_each_row_is_timed(tmp_path: Path) -> None:
    found = peers.one_row_commits(tmp_path, list(calls(3, 1, UNTIL, timedelta(seconds=2))))

    assert len(found) == 3
    assert min(found) > 0


def test_a_rate_counts_what_is_answered_after_the_first_fifth() -> None:
    loads = [Load(events=300, at_once=100, seed=n, over_ms=1) for n in (1, 2)]
    tenths = [[1, 20, 30, 60], [5, 31, 32, 40, 50, 55]]
    sent = [Sent([10**8 * at for at in each]) for each in tenths]

    # Of ten answers the first two are left out, and the time up to the third.
    assert rate(loads, sent) == 700 / 4
