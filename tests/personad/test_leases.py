"""In which seconds a lease runs out: those in which the daemon could hear who renews it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from personad.contract.base import Reply
from personad.contract.events import Append
from personad.jobs import Job
from personad.leases import TICK_MAX_S, Leases
from personad.store import open_for_writing
from personad.writer import HELD_UP_S, Writer

from .facts import planned


def test_as_long_as_it_ticks_its_time_is_everybodys() -> None:
    leases = Leases()
    leases.tick(1_000.0)
    began = leases.now(1_000.0)
    for second in range(1_001, 1_020):
        leases.tick(float(second))
    assert leases.now(1_019.25) - began == pytest.approx(19.25)


def test_of_a_time_in_which_it_was_held_up_it_counts_no_more_than_a_late_tick() -> None:
    leases = Leases()
    leases.tick(1_000.0)
    leases.deadlines["batch-a"] = leases.now(1_000.0) + 15
    assert leases.now(5_000.0) == leases.now(1_000.0 + TICK_MAX_S)
    # Whoever renews before the first tick afterwards has no more time than others.
    leases.deadlines["batch-b"] = leases.now(5_000.0) + 15
    leases.tick(5_000.0)
    assert leases.expired(leases.now(5_000.0)) == []
    for second in range(5_001, 5_014):
        leases.tick(float(second))
    assert leases.expired(leases.now(5_013.6)) == ["batch-a"]
    assert leases.expired(leases.now(5_013.4)) == []
    for second in range(5_014, 5_016):
        leases.tick(float(second))
    assert leases.expired(leases.now(5_015.1)) == ["batch-a", "batch-b"]


def test_time_never_goes_back() -> None:
    leases = Leases()
    told = []
    for clock in (10.0, 10.4, 11.0, 19.0, 19.2, 19.9, 30.0, 30.0, 31.2):
        told.append(leases.now(clock))
        leases.tick(clock)
        told.append(leases.now(clock))
    assert told == sorted(told)


@pytest.fixture
def writer(house: Path) -> Iterator[Writer]:
    db = open_for_writing(str(house / "w.db"))
    made = Writer(db, zone=ZoneInfo("UTC"), publish=lambda _: lambda: None)
    made.start()
    yield made
    made.drain()
    db.close()


@pytest.mark.parametrize("in_the_callers_thread", [True, False])
def test_a_writer_that_waits_for_its_disk_says_that_nobody_is_heard(
    writer: Writer, in_the_callers_thread: bool
) -> None:
    at_work, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def answer(_: Reply | None) -> None:
        at_work.set()
        go_on.wait(10)
        done.set()

    job = Job(Append(events=list(planned())), 100, answer)  # type: ignore[arg-type]
    do = writer.do_at_once if in_the_callers_thread else lambda jobs: writer.submit(*jobs)
    caller = threading.Thread(target=lambda: do([job]))
    caller.start()
    assert at_work.wait(10)
    clock = time.monotonic()
    heard = writer.is_held_up(clock)
    stuck = writer.is_held_up(clock + 2 * HELD_UP_S)
    go_on.set()
    caller.join()
    assert done.wait(10)
    writer.drain()
    assert (heard, stuck) == (False, True)
    assert not writer.is_held_up(clock + 2 * HELD_UP_S)
