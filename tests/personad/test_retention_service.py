"""Retention as people meet it: the command, the daemon's daily run, a kill, the spool."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from zoneinfo import ZoneInfo

import apsw
import msgspec
import pytest
from persona.spool import Spool

from personad import keeper, quarantine
from personad.carrying import Carried, checkpoint
from personad.contract.admin import Retained, Retention, Status
from personad.contract.base import Event, Reply
from personad.contract.cost import CostRecorded
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Append, Appended, Exported, Import
from personad.doctor import examine
from personad.jobs import Job
from personad.keeper import Keeper
from personad.log import last_seq
from personad.retention import last_retention
from personad.store import open_for_writing
from personad.writer import Writer
from tests.ledgers import append, damage_of, killed_at, rows, seq_of

from .conftest import Running
from .facts import cost, started

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=900)
OLD_CALLS = 50
SAME_BUT = ("last_retention",)


def old_costs(count: int, first: int = 0) -> list[CostRecorded]:
    return [cost(f"old-{first + n}", at=LONG_AGO) for n in range(count)]


def fill(path: Path, calls: int = OLD_CALLS, recorded_at: datetime = NOW) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(open_for_writing(str(path))) as db:
        append(db, [started(at=LONG_AGO)], recorded_at)
        for first in range(0, calls, 1_000):
            append(db, old_costs(min(1_000, calls - first), first), recorded_at)
        append(db, [cost("young", at=recorded_at)], recorded_at)
    path.chmod(0o600)


def dropped(done: Retained) -> int:
    return sum(each.events for each in done.kinds)


@pytest.fixture
def old(stopped: Running) -> Running:
    """A ledger with old events, and no daemon yet."""
    fill(stopped.paths.database)
    return stopped


@pytest.mark.parametrize("has_daemon", [False, True])
def test_the_command_tells_then_drops_with_a_daemon_or_without(
    old: Running, has_daemon: bool
) -> None:
    if has_daemon:
        old.start()
    database = old.paths.database
    before = rows(database)
    kept = ("event", "call", "meta", "pruned", "dropped")
    told = old.command("retention", "--dry-run")
    assert told.returncode == 0, told.stderr
    assert f"would drop {OLD_CALLS} events" in told.stdout
    after = rows(database)
    assert [after[table] for table in kept] == [before[table] for table in kept]
    done = old.command("retention", "--json")
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=Retained)
    assert (dropped(found), found.dry_run) == (OLD_CALLS, False)
    assert {each.kept_days for each in found.kinds} == {400, None}
    assert len(rows(database)["event"]) == 2
    assert damage_of(database) is None


def test_without_a_ledger_the_command_makes_none(stopped: Running) -> None:
    said = stopped.command("retention")
    assert said.returncode != 0
    assert "there is no ledger" in said.stderr
    assert not stopped.paths.database.exists()


def test_the_setting_says_how_long(old: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONA_RETENTION_RAW_DAYS", "1000")
    assert "dropped 0 events" in old.command("retention").stdout
    old.start()
    assert dropped(old.ask(Retention())) == 0


def test_status_tells_when_it_was_last_done(old: Running) -> None:
    old.start()
    assert old.ask(Status()).last_retention is None
    assert "never" in old.command("status").stdout
    old.ask(Retention())
    found = old.ask(Status()).last_retention
    assert found is not None
    assert NOW <= found <= datetime.now(UTC)


def test_what_comes_too_late_is_acknowledged_counted_and_shown_on_every_way_in(
    old: Running,
) -> None:
    old.start()
    old.ask(Retention())
    direct, imported, spooled = (cost(name, at=LONG_AGO) for name in ("a", "b", "c"))
    assert old.append(direct, cost("fine", at=NOW)).quarantined == 1
    answer = old.ask(Import(items=[Exported(event=imported)]))
    assert (answer.quarantined, answer.first_seq) == (1, None)
    old.stop()
    spool = Spool(old.paths.spool_dir)
    spool.write([spooled, direct])
    spool.close()
    old.start()
    while old.ask(Status()).spool_backlog:
        pass
    assert old.ask(Status()).quarantined == 3
    (finding,) = [each for each in examine(old.paths) if each.what == "quarantine"]
    assert finding.verdict == "warning"
    assert "3 events from before" in finding.message
    assert "clock" in (finding.mend or "")
    assert damage_of(old.paths.database) is None


@pytest.mark.parametrize("has_daemon", [False, True])
def test_after_a_leap_of_the_clock_nothing_is_dropped_until_somebody_confirms_it(
    stopped: Running, has_daemon: bool
) -> None:
    fill(stopped.paths.database, recorded_at=NOW - timedelta(days=90))
    before = rows(stopped.paths.database)
    if has_daemon:
        stopped.start()
        held = stopped.ask(Status()).retention_held
        assert held is not None
        assert "held back: the clock says" in stopped.command("status").stdout
        (finding,) = [each for each in examine(stopped.paths) if each.what == "retention"]
        assert finding.verdict == "warning"
        assert "--clock-is-right" in (finding.mend or "")
    told = stopped.command("retention", "--dry-run")
    assert "held back: the clock says" in told.stdout
    refused = stopped.command("retention")
    assert refused.returncode != 0
    assert "--clock-is-right" in refused.stderr
    after = rows(stopped.paths.database)
    assert [after[table] for table in ("event", "pruned")] == [before["event"], []]
    assert f"dropped {OLD_CALLS} events" in stopped.command("retention", "--clock-is-right").stdout
    assert "held" not in stopped.command("retention", "--dry-run").stdout
    if has_daemon:
        assert stopped.ask(Status()).retention_held is None
        (finding,) = [each for each in examine(stopped.paths) if each.what == "retention"]
        assert finding.verdict == "ok"
    assert damage_of(stopped.paths.database) is None


# In this process.


class House:
    """A writer and a keeper at work."""

    def __init__(self, path: Path, *, first_retention_s: float = 3_600.0) -> None:
        self.path = path
        self.db = open_for_writing(str(path))
        self.writer = Writer(self.db, zone=ZoneInfo("UTC"), publish=lambda *_: lambda: None)
        self.keeper = Keeper(self.writer, path, raw_days=400, first_retention_s=first_retention_s)
        self.writer.start()
        self.keeper.start()

    def ask(self, request: Retention) -> "SimpleQueue[Reply]":
        replies: SimpleQueue[Reply] = SimpleQueue()
        self.keeper.take(request, replies.put)
        return replies

    def append(self, *events: Event) -> Reply | None:
        replies: SimpleQueue[Reply | None] = SimpleQueue()
        request = Append(events=list(events))  # type: ignore[arg-type]
        assert self.writer.submit(Job(request, 100, replies.put))
        return replies.get(timeout=30)

    def close(self) -> None:
        self.keeper.close()
        self.writer.drain()
        self.db.close()


@pytest.fixture
def opened(house: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., House]]:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.01)
    made: list[House] = []

    def open_one(calls: int = OLD_CALLS, **more: float) -> House:
        fill(house / "ledger.db", calls)
        made.append(House(house / "ledger.db", **more))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def wait_until(holds: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(3_000):
        if holds():
            return
        done.wait(0.01)
    raise AssertionError("it never came to that")


def test_it_is_done_by_itself_once_the_first_while_is_over(
    opened: Callable[..., House],
) -> None:
    at_work = opened(first_retention_s=0.0)
    wait_until(lambda: at_work.writer.between(last_retention) is not None)
    assert len(rows(at_work.path)["event"]) == 2


def test_it_is_not_done_before_that(opened: Callable[..., House]) -> None:
    at_work = opened()
    looks = SimpleQueue[None]()
    at_work.keeper._tidier.tidy = lambda _: looks.put(None) or 0  # type: ignore[method-assign, func-returns-value]
    at_work.append(cost("one", at=NOW))
    looks.get(timeout=30)
    at_work.append(cost("two", at=NOW))
    looks.get(timeout=30)
    assert at_work.writer.between(last_retention) is None


def test_appends_go_on_while_it_drops(opened: Callable[..., House]) -> None:
    at_work = opened(calls=5_000)
    replies = at_work.ask(Retention())
    appended = 0
    while replies.empty():
        answer = at_work.append(cost(f"meanwhile-{appended}", at=NOW))
        assert isinstance(answer, Appended)
        appended += 1
    done = replies.get()
    assert isinstance(done, Retained)
    assert dropped(done) == 5_000
    assert appended > 5
    assert at_work.writer.between(last_seq) == 5_002 + appended
    assert damage_of(at_work.path) is None


def test_a_disk_that_fails_meanwhile_is_answered_and_ends_no_thread(
    opened: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> Retained:
        raise apsw.FullError("full, says the test")

    monkeypatch.setattr(keeper, "retain", failing)
    at_work = opened()
    entered, done = threading.Event(), threading.Event()

    def busy(db: apsw.Connection) -> None:
        db.create_scalar_function("wait", lambda: entered.set() or done.wait(30), 0)
        db.execute("SELECT wait()").fetchall()

    writing = threading.Thread(target=lambda: at_work.writer.between(busy))
    writing.start()
    # The connection that writes is in use, so that no other thread may ask it anything.
    assert entered.wait(30)
    answer = at_work.ask(Retention()).get(timeout=30)
    done.set()
    writing.join()
    assert isinstance(answer, Failure)
    assert "full, says the test" in answer.message
    assert isinstance(at_work.ask(Retention(dry_run=True)).get(timeout=30), Failure)


def test_somebody_else_who_carries_the_log_over_is_not_waited_for(
    house: Path, sqlite: Callable[[Path], apsw.Connection]
) -> None:
    fill(house / "ledger.db")
    reader, other, ours = (sqlite(house / "ledger.db") for _ in range(3))
    reader.execute("BEGIN; SELECT * FROM event").fetchone()
    ours.execute("SELECT * FROM meta").fetchall()
    other.execute("INSERT INTO meta VALUES ('x', 'y')")
    found: list[Carried] = []

    def waiting(_: int) -> bool:
        found.append(checkpoint(ours))
        return False

    other.set_busy_handler(waiting)
    with pytest.raises(apsw.BusyError):
        other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    reader.execute("COMMIT")
    assert found == [Carried(0, 0)]
    assert checkpoint(ours).pages > 0


def test_a_daemon_that_stops_leaves_it_off_and_says_so(opened: Callable[..., House]) -> None:
    at_work = opened(calls=5_000)
    first, second = at_work.ask(Retention()), at_work.ask(Retention(dry_run=True))
    wait_until(lambda: at_work.writer.between(quarantine.pruned_before) is not None)
    at_work.keeper.close()
    for replies in (first, second):
        answer = replies.get(timeout=30)
        assert isinstance(answer, Failure)
        assert answer.code == "unavailable"
    with pytest.raises(LedgerError, match="stopping"):
        at_work.ask(Retention())
    assert damage_of(at_work.path) is None


_KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from contextlib import closing
from zoneinfo import ZoneInfo
from personad.projections.book import Book
from personad.retention import open_beside, retain
from personad.store import open_for_writing

path, commits = sys.argv[1], int(sys.argv[2])
db = open_for_writing(path)
book = Book(db, ZoneInfo("UTC"))
left = [commits]


def counted():
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return False


db.set_commit_hook(counted)
retain(lambda work: work(book), open_beside(path), datetime.now(UTC), 400)
"""


@pytest.mark.parametrize("commits", [1, 2, 3, 5])
def test_killed_at_any_moment_it_goes_on_the_next_time(house: Path, commits: int) -> None:
    path = house / "ledger.db"
    fill(path, 2_000)
    newest = seq_of(path)
    assert killed_at(_KILLED, str(path), str(commits)) == -9
    assert damage_of(path) is None
    assert seq_of(path) == newest
    with closing(apsw.Connection(str(path))) as db:
        assert quarantine.pruned_before(db) is not None
        assert last_retention(db) is None
    assert killed_at(_KILLED, str(path), "1000000") == 0
    assert len(rows(path)["event"]) == 2
    assert seq_of(path) == newest
    assert damage_of(path) is None
