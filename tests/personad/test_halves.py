"""A fold by two processes comes to what one comes to, whatever becomes of the other one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from bench.history import Shape, history
from personad import halves
from personad.contract.batch import BatchInterrupted
from personad.halves import to_the_end
from personad.rebuild import adopt, chosen, tables_of
from personad.refold import Refold, beside, refold
from personad.store import open_for_reading
from personad.tidy import all_at_once
from tests.ledgers import UTC, damage_of, work_in

from .conftest import Core
from .facts import NOON, cost, happened, planned, queued, started
from .retaining import keep, take
from .test_costs import call_started

EVENTS = list(history(Shape(3_000, 5, NOON)))


def fill(core: Core) -> None:
    core.append(*planned(), cost("one", 1), cost("two", 2**63 - 1))
    take(core, call_started("call-open", reserved=700), cost("one", 4))
    for start in range(0, len(EVENTS), 250):
        core.append(*EVENTS[start : start + 250])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "FROM_EVENTS", 1)


@contextmanager
def folded(
    core: Core, *, with_sums: bool = True, told: list[int] | None = None
) -> Iterator[Refold]:
    with closing(open_for_reading(str(core.path))) as live:
        with refold(live, core.path.parent, UTC) as fresh:
            to_the_end(fresh, (told if told is not None else []).append, with_sums=with_sums)
            yield fresh
    assert not list(core.path.parent.glob(".refold*"))


def rows_of(fresh: Refold) -> dict[str, list[Any]]:
    """But for what tells how events were cut into commits."""
    fresh.db.execute("UPDATE batch SET previous_seq = 0")
    summed = [f"{name}_{tier}" for name in ("cost", "score", "sketch") for tier in ("hour", "day")]
    tables = [*tables_of(chosen(())), *summed, "persona_sum_day", "sketch_all_day", "stale"]
    every = "SELECT * FROM {}".format
    return {each: sorted(fresh.db.execute(every(each))) for each in tables}


def by_one(core: Core, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, list[Any]], Any]:
    with monkeypatch.context() as patched, folded(core) as fresh:
        patched.setattr(halves, "FROM_EVENTS", 10**9)
        with refold(fresh.live, core.path.parent, UTC) as again:
            to_the_end(again, lambda _: None)
            patched.setattr(again, "close", lambda: None)
            again.finish()
            return rows_of(again), again.misfits


def test_two_come_to_what_one_comes_to(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(core)
    told: list[int] = []
    with folded(core, told=told) as fresh:
        assert beside(fresh.path).exists()
        monkeypatch.setattr(fresh, "close", lambda: None)
        fresh.finish()
        found, misfits = rows_of(fresh), fresh.misfits
        fresh.db.close()
    wanted = by_one(core, monkeypatch)
    assert (found, misfits) == wanted
    assert misfits
    assert found["cost_hour"]
    assert told == sorted(told)
    assert told[-1] == core.db.execute("SELECT max(seq) FROM event").get


def test_what_comes_after_them_is_added_up_as_well(core: Core) -> None:
    fill(core)
    all_at_once(core.book)
    core.db.execute("UPDATE cost_quarter SET calls = 7; UPDATE persona SET quality = 1")
    core.book.forget()
    with folded(core) as fresh:
        late = [replace(cost(f"late-{n}", 3), at=each.at) for n, each in enumerate(EVENTS[:9])]
        core.append(*late)
        while fresh.advance():
            pass
        fresh.finish()
        adopt(lambda work: work(core.book), fresh.path, chosen(()))
    # They were stale for the live tables' sake: the new ones hold what came late.
    core.db.execute("DELETE FROM stale")
    assert damage_of(core.path) is None


@pytest.mark.parametrize(
    "spoil", ["DELETE FROM anomaly", "INSERT INTO anomaly SELECT max(seq), 'nothing' FROM event"]
)
def test_an_end_that_is_marked_wrongly_is_folded_as_it_is(core: Core, spoil: str) -> None:
    fill(core)
    lost = happened(BatchInterrupted, reason="it is gone")
    take(core, call_started("call-lost", reserved=5))
    if spoil.startswith("DELETE"):
        take(core, replace(lost, batch="batch-of-nobody"))
    else:
        take(core, lost)
    core.db.execute(spoil)
    told = damage_of(core.path)
    assert told is not None
    assert "anomaly" in told
    with folded(core) as fresh:
        fresh.finish()
        adopt(lambda work: work(core.book), fresh.path, chosen(()))
    assert damage_of(core.path) is None


def test_where_the_other_one_dies_its_half_is_folded_here(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(core)
    begun = subprocess.Popen

    def killed(*arguments: Any, **more: Any) -> Any:
        process = begun(*arguments, **more)
        os.kill(process.pid, signal.SIGKILL)
        return process

    with monkeypatch.context() as patched:
        patched.setattr(halves.subprocess, "Popen", killed)
        with folded(core) as fresh:
            fresh.finish()
            adopt(lambda work: work(core.book), fresh.path, chosen(()))
    assert damage_of(core.path) is None


def test_an_event_that_cannot_be_read_is_told_of_whoever_reads_it(core: Core) -> None:
    fill(core)
    core.db.execute("UPDATE event SET body = x'91' WHERE kind = 22 AND seq > 1000")
    told = damage_of(core.path)
    assert told is not None
    assert "can't be read" in told


def test_after_retention_two_leave_the_totals_as_they_are(core: Core) -> None:
    long_ago = NOON.replace(year=NOON.year - 1)
    core.append(started("batch-old", total=1, at=long_ago), queued("p1", 1, batch="batch-old"))
    core.append(cost("call-gone", 10, at=long_ago))
    fill(core)
    keep(core)
    work_in(core.db)
    core.book.forget()
    totals = core.db.execute("SELECT sum(cost_nanousd) FROM cost_quarter").get
    with folded(core) as fresh:
        fresh.finish()
        adopt(lambda work: work(core.book), fresh.path, chosen(()))
    assert core.db.execute("SELECT sum(cost_nanousd) FROM cost_quarter").get == totals
    assert damage_of(core.path) is None


def test_one_that_nobody_reads_from_ends_and_leaves_nothing(core: Core) -> None:
    fill(core)
    path = core.path.parent / ".refold-1.db.beside"
    command = [sys.executable, "-P", "-m", "personad.halves", str(core.path), str(path), "UTC", "9"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) != 0
    assert not path.exists()


def test_a_ledger_with_one_part_missing_is_refused(core: Core) -> None:
    fill(core)
    with folded(core) as fresh:
        fresh.finish()
        beside(fresh.path).unlink()
        with pytest.raises(apsw.SQLError):
            adopt(lambda work: work(core.book), fresh.path, chosen(()))
    assert damage_of(core.path) is None
