"""`rebuild`: what was wrong is right again, nothing that comes meanwhile is lost, reads go on."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from zoneinfo import ZoneInfo

import apsw
import pytest
from msgspec.structs import replace

from bench.history import Shape, history
from personad import catching_up, rebuild
from personad.contract.asking import Filter, Range
from personad.contract.batch import BatchList, PersonaFailed, PersonaGenerating
from personad.contract.calls import CostCalls
from personad.contract.cost import CostBreakdown, Settle
from personad.contract.errors import LedgerError
from personad.exchange import exchange
from personad.halves import to_the_end
from personad.kinds import microseconds
from personad.projections import PROJECTIONS
from personad.projections.book import Book
from personad.questions import ANSWERS
from personad.rebuild import adopt, chosen
from personad.refold import refold
from personad.store import open_for_reading
from personad.tidy import Tidier, all_at_once, rezone
from tests.chaos.vitals import retried
from tests.ledgers import UTC, damage_of

from .conftest import Core, Running
from .facts import NOON, cost, happened, planned, queued, started
from .retaining import keep, take
from .test_costs import call_started

EVENTS = list(history(Shape(3_000, 5, NOON)))
SPOILT = (
    "UPDATE cost_quarter SET cost_nanousd = 7",
    'DELETE FROM persona WHERE "index" = 2',
    "UPDATE batch SET completed = 0",
    "DELETE FROM score_experiment_quarter",
    "UPDATE cost_day SET calls = 1",
    "DELETE FROM sketch_quarter",
)


def fill(core: Core, events: list[Any]) -> None:
    for start in range(0, len(events), 250):
        core.append(*events[start : start + 250])


def rebuilt(
    core: Core,
    *names: str,
    meanwhile: list[Any] | None = None,
    then: Callable[[], None] = lambda: None,
    with_book: Any = None,
) -> None:
    live = open_for_reading(str(core.path))
    with refold(live, core.path.parent, UTC) as fresh:
        to_the_end(fresh, lambda _: None)
        fresh.finish()
        fill(core, meanwhile or [])
        then()
        by = with_book or (lambda work: work(core.book))
        adopt(by, fresh.path, chosen(names), places_anew=rebuild.CALLS in names)
        rebuild.clear(by)
    live.close()


def test_every_table_is_what_its_events_come_to_again(core: Core) -> None:
    fill(core, EVENTS)
    all_at_once(core.book)
    for sql in SPOILT:
        core.db.execute(sql)
    core.book.forget()
    assert damage_of(core.path) is not None
    rebuilt(core)
    assert damage_of(core.path) is None
    all_at_once(core.book)
    assert damage_of(core.path) is None


def test_what_is_appended_meanwhile_is_in_it_once(core: Core) -> None:
    fill(core, EVENTS[:2_000])
    rebuilt(core, meanwhile=EVENTS[2_000:2_500])
    fill(core, EVENTS[2_500:])
    assert damage_of(core.path) is None


@pytest.mark.parametrize("name", [each.NAME for each in PROJECTIONS])
def test_one_alone_leaves_the_others_as_they_are(core: Core, name: str) -> None:
    fill(core, EVENTS[:1_000])
    rebuilt(core, name, meanwhile=EVENTS[1_000:1_500])
    assert damage_of(core.path) is None


def test_what_fits_nowhere_and_comes_meanwhile_is_told_of_no_less(core: Core) -> None:
    core.append(*planned())
    rebuilt(core, meanwhile=[cost("one", 1), cost("two", 2**63 - 1)])
    assert damage_of(core.path) is None


def test_a_day_that_is_being_added_up_meanwhile_is_not_taken_for_fresh(core: Core) -> None:
    core.append(*planned(), cost(at=NOON - timedelta(days=3)))
    core.db.execute("UPDATE cost_quarter SET calls = 7")
    steps = 0

    def between(work: Any) -> Any:
        nonlocal steps
        steps += 1
        # It has just added up the costs of the day, out of the spoilt quarter-hours.
        if steps == 7:
            rebuilt(core)
        return work(core.book)

    tidier = Tidier(between)
    core.book.touched.clear()
    tidier.tidy(core.now)
    assert steps > 7
    assert damage_of(core.path) is None
    tidier.tidy(core.now)
    tidier.tidy(core.now)
    assert damage_of(core.path) is None
    assert not core.book.stale["day"]


def test_what_an_old_batch_takes_in_meanwhile_counts_once(core: Core) -> None:
    long_ago = NOON - timedelta(days=30)
    core.append(started(total=1, at=long_ago), queued("p1", 1), cost("one", 10, at=long_ago))
    core.append(cost("two", 10), happened(PersonaGenerating))
    keep(core)
    rebuilt(core, meanwhile=[cost("three", 5), happened(PersonaFailed)])
    core.append(cost("four", 1))
    assert core.named("persona_cost") == [(("batch-a",), "p1", 4, 26)]
    assert core.show().counts.failed == 1
    assert core.show().cost.spent_nanousd == 26
    assert damage_of(core.path) is None


def test_an_old_call_that_is_settled_meanwhile_counts_once(core: Core) -> None:
    long_ago = NOON - timedelta(days=30)
    take(core, replace(call_started("call-old", reserved=700), at=long_ago))
    core.append(cost("call-gone", 10, at=long_ago))
    keep(core)
    core.append(cost("call-young", 5))

    def settle() -> None:
        core.do(Settle(calls=["call-old"], cost_nanousd=300))

    rebuilt(core, then=settle)
    assert core.db.execute("SELECT sum(cost_nanousd) FROM cost_quarter").get == 315
    assert damage_of(core.path) is None


def test_much_that_came_meanwhile_is_folded_in_before_the_exchange(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(core, EVENTS[:500])
    left: list[int] = []
    slices: list[int] = []
    waiting = EVENTS[2_000:]

    class Watched(catching_up.CatchUp):
        def some(self, most: int) -> None:
            before = self.seq
            super().some(most)
            slices.append(self.seq - before)

    def exchanged(book: Any, tables: Any, summed: Any, late: Any, *more: Any) -> int:
        left.append(late.left)
        return exchange(book, tables, summed, late, *more)

    def going_on(work: Any) -> Any:
        """A writer who has something to write between any two slices."""
        if slices and waiting:
            core.append(*waiting[:50])
            del waiting[:50]
        return work(core.book)

    monkeypatch.setattr(rebuild, "CatchUp", Watched)
    monkeypatch.setattr(rebuild, "exchange", exchanged)
    monkeypatch.setattr(catching_up, "MOST_EVENTS", 200)
    rebuilt(core, meanwhile=EVENTS[500:2_000], with_book=going_on)
    # What came while it read which days there are, and just before the exchange, as well.
    assert left[0] <= catching_up.REMAINDER + 2 * 50
    assert max(slices) <= catching_up.FIRST_EVENTS
    assert not waiting
    assert damage_of(core.path) is None
    all_at_once(core.book)
    assert damage_of(core.path) is None


@pytest.mark.parametrize(
    "spoil", ["DELETE FROM anomaly", "INSERT INTO anomaly VALUES (3, 'nothing')"]
)
def test_marks_of_what_fits_nowhere_are_mended(core: Core, spoil: str) -> None:
    core.append(*planned(), cost("one", 1), cost("two", 2**63 - 1))
    told = core.named("anomaly")
    core.db.execute(spoil)
    assert "anomaly" in (damage_of(core.path) or "")
    rebuilt(core, meanwhile=[cost("three", 2**63 - 1)])
    assert damage_of(core.path) is None
    assert core.named("anomaly")[: len(told)] == told
    assert len(core.named("anomaly")) == 2


def test_only_the_writers_thread_ever_uses_its_connection(core: Core) -> None:
    fill(core, EVENTS[:500])
    waiting: SimpleQueue[tuple[Any, Future[Any]]] = SimpleQueue()
    taken: list[tuple[Any, Future[Any]]] = []
    # While it has nothing to do the connection is busy, so that apsw refuses every other thread.
    core.db.create_scalar_function("idle", lambda: taken.append(waiting.get()), 0)

    def write() -> None:
        while True:
            core.db.execute("SELECT idle()").fetchall()
            work, future = taken.pop()
            if work is None:
                return
            try:
                future.set_result(work(core.book))
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                future.set_exception(error)

    def with_book(work: Any) -> Any:
        future: Future[Any] = Future()
        waiting.put((work, future))
        return future.result(60)

    def meanwhile() -> None:
        fill(core, EVENTS[500:1_500])
        writer.start()

    writer = threading.Thread(target=write)
    rebuilt(core, then=meanwhile, with_book=with_book)
    waiting.put((None, Future()))
    writer.join()
    assert damage_of(core.path) is None


def test_days_are_as_fresh_afterwards_as_before(core: Core) -> None:
    fill(core, EVENTS[:2_000])
    all_at_once(core.book)
    core.db.execute("UPDATE cost_quarter SET calls = 1; UPDATE cost_day SET calls = 2")
    rebuilt(core, meanwhile=[cost("meanwhile", at=NOON - timedelta(days=1))])
    assert len(core.book.stale["day"]) == len(core.book.stale["hour"]) == 1
    assert damage_of(core.path) is None


def test_days_of_a_zone_that_is_the_ledgers_no_more_are_not_read(core: Core) -> None:
    fill(core, EVENTS[:500])
    all_at_once(core.book)

    def move() -> None:
        rezone(core.db, ZoneInfo("Asia/Kathmandu"))
        core.book = Book(core.db, ZoneInfo("Asia/Kathmandu"))

    rebuilt(core, then=move)
    assert not core.book.stale["hour"]
    assert damage_of(core.path) is None
    all_at_once(core.book)
    assert damage_of(core.path) is None


def test_what_is_asked_by_batch_is_answered_afterwards_too(core: Core) -> None:
    core.append(*planned(), cost("one", 7, batch="batch-a"))
    question = CostBreakdown(by="model", filter=Filter(batches=["batch-a"]))
    before = ANSWERS[CostBreakdown](core.db, question, core.now)
    for _ in range(2):
        rebuilt(core)
    assert ANSWERS[CostBreakdown](core.db, question, core.now) == before


def test_sums_of_days_of_which_nothing_is_left_go_as_well(core: Core) -> None:
    core.append(*planned(), cost(at=NOON - timedelta(days=3)))
    spurious = "INSERT INTO cost_quarter SELECT bucket - 960, dim, 1, 0, 0, 0, 5, 0, 0, 0, 0"
    core.db.execute(f"{spurious} FROM cost_quarter")
    core.book.touch([microseconds(NOON) // 900_000_000 - 960 - 288])
    all_at_once(core.book)
    rebuilt(core)
    all_at_once(core.book)
    assert damage_of(core.path) is None
    assert core.db.execute("SELECT count(*) FROM cost_day").get == 1


def test_where_calls_lie_is_noted_anew_where_that_is_asked_for(core: Core) -> None:
    fill(core, EVENTS)
    all_at_once(core.book)
    reader = open_for_reading(str(core.path))
    ever = CostCalls(range=Range(since="2026-01-01"), limit=30)
    before = ANSWERS[CostCalls](reader, ever, NOON)
    core.db.execute("DELETE FROM call_place; DELETE FROM call_place_model")
    assert ANSWERS[CostCalls](reader, ever, NOON) != before
    rebuilt(core)
    assert "call_place:" in str(damage_of(core.path))
    rebuilt(core, "calls")
    assert damage_of(core.path) is None
    assert ANSWERS[CostCalls](reader, ever, NOON) == before
    all_at_once(core.book)
    assert damage_of(core.path) is None
    assert ANSWERS[CostCalls](reader, ever, NOON) == before
    reader.close()


def test_it_can_be_done_again_and_again(core: Core) -> None:
    fill(core, EVENTS[:500])
    schema = "SELECT count(*) FROM sqlite_schema"
    before = core.db.execute(schema).get
    for _ in range(3):
        rebuilt(core)
    assert damage_of(core.path) is None
    assert core.db.execute(schema).get == before


def test_one_that_breaks_leaves_everything_as_it_was(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(core, EVENTS[:500])
    before = core.rows()

    def broken(*_: Any) -> int:
        raise apsw.IOError("broken on purpose")

    monkeypatch.setattr(rebuild, "exchange", broken)
    with pytest.raises(apsw.IOError):
        rebuilt(core)
    assert core.rows() == before
    assert core.db.execute("SELECT count(*) FROM sqlite_schema WHERE name GLOB '*__*'").get == 0


def test_a_projection_that_there_is_not_is_named() -> None:
    with pytest.raises(LedgerError) as refused:
        chosen(["cost"])
    assert "costs" in str(refused.value.hint)


class TestDaemon:
    def test_it_rebuilds_under_load_and_answers_meanwhile(self, daemon: Running) -> None:
        parts = [EVENTS[start : start + 50] for start in range(0, len(EVENTS), 50)]
        for part in parts[:30]:
            daemon.append(*part)
        answers: list[int] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                answers.append(len(daemon.ask(BatchList(limit=1_000)).batches))

        def produce() -> None:
            for part in parts[30:]:
                daemon.append(*part)

        threads = [threading.Thread(target=each) for each in (ask, produce)]
        for each in threads:
            each.start()
        ended = daemon.command("rebuild")
        threads[1].join()
        done.set()
        threads[0].join()
        assert ended.returncode == 0, ended.stderr
        assert "rebuilt every projection" in ended.stdout
        assert answers == sorted(answers)
        verified = daemon.command("verify")
        assert (verified.returncode, verified.stdout[:6]) == (0, "sound:"), verified.stdout

    def test_without_one_it_works_as_well(self, daemon: Running) -> None:
        daemon.append(*EVENTS[:100])
        daemon.stop()
        with apsw.Connection(str(daemon.paths.database)) as db:
            db.execute("UPDATE batch SET completed = 99")
        db.close()
        damaged = daemon.command("verify")
        assert damaged.returncode == 1
        assert "damaged: batch" in damaged.stdout
        assert daemon.command("rebuild").returncode == 0
        assert daemon.command("verify").returncode == 0

    def test_a_file_that_is_none_of_ours_is_refused(self, daemon: Running, house: Path) -> None:
        from personad.contract.admin import Rebuild

        for path in (house / "x.db", daemon.paths.database):
            with pytest.raises(LedgerError) as refused:
                daemon.ask(Rebuild(path=str(path)))
            assert refused.value.code == "invalid"

    def test_killed_at_any_moment_it_leaves_a_sound_ledger(self, daemon: Running) -> None:
        daemon.append(*EVENTS[:1_000])
        rng = random.Random(1)
        for _ in range(2):
            killer = threading.Timer(rng.uniform(0.3, 0.9), daemon.kill)
            killer.start()
            daemon.command("rebuild")
            killer.join()
            daemon.start()
            assert daemon.command("verify").returncode == 0
        assert daemon.command("rebuild").returncode == 0
        assert daemon.command("verify").returncode == 0

    def test_what_killed_ones_left_is_cleared_away_when_a_daemon_starts(
        self, daemon: Running, sqlite: Callable[[Path], apsw.Connection]
    ) -> None:
        daemon.append(*EVENTS[:100])
        daemon.stop()
        left = daemon.paths.data_dir / ".refold-999999999.db"
        left.write_bytes(b"half a database")
        database = sqlite(daemon.paths.database)
        database.execute("CREATE TABLE persona__new (x INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO persona__new SELECT seq FROM event")

        def cleared() -> None:
            if database.execute("SELECT 1 FROM sqlite_schema WHERE name GLOB '*__*'").fetchone():
                raise LedgerError("unavailable", "not yet")

        daemon.start()
        retried(cleared)
        assert not left.exists()
