"""Costs that the daemon writes out by itself: each period that is over once, and whole."""

import csv
import io
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from personad import reporting
from personad.contract.asking import Range
from personad.contract.cost import CostHistory
from personad.contract.options import CostExport
from personad.kinds import microseconds
from personad.questions import ANSWERS
from personad.reporting import Reports, Span, Stopping, pending

from .conftest import Core, Running
from .facts import NOON, cost

DAY = timedelta(days=1)
TODAY = NOON.date()
LATE = NOON + DAY


def day(text: str) -> date:
    return date.fromisoformat(text)


class TestPending:
    @pytest.mark.parametrize(
        ("every", "today", "week_start", "first", "last"),
        [
            ("day", "2026-11-23", "monday", "2026-11-22", "2026-11-22"),
            ("day", "2026-03-01", "monday", "2026-02-28", "2026-02-28"),
            ("week", "2026-11-23", "monday", "2026-11-16", "2026-11-22"),
            ("week", "2026-11-29", "monday", "2026-11-16", "2026-11-22"),
            ("week", "2026-11-29", "sunday", "2026-11-22", "2026-11-28"),
            ("week", "2026-11-28", "sunday", "2026-11-15", "2026-11-21"),
            ("week", "2026-11-28", "saturday", "2026-11-21", "2026-11-27"),
            ("week", "2026-11-27", "saturday", "2026-11-14", "2026-11-20"),
            ("month", "2026-11-23", "monday", "2026-10-01", "2026-10-31"),
            ("month", "2027-01-01", "monday", "2026-12-01", "2026-12-31"),
        ],
    )
    def test_without_a_file_it_is_the_last_period_that_is_over(
        self, every: str, today: str, week_start: Any, first: str, last: str
    ) -> None:
        found = pending(every, day(today), week_start, [])
        assert found == [Span(day(first), day(last))]

    def test_what_was_missed_is_made_up_for(self) -> None:
        found = pending("day", day("2026-11-23"), "monday", [day("2026-11-01"), day("2026-11-19")])
        assert [each.first.day for each in found] == [20, 21, 22]
        weeks = pending("week", day("2026-11-23"), "monday", [day("2026-10-26")])
        assert [str(each.first) for each in weeks] == ["2026-11-02", "2026-11-09", "2026-11-16"]
        months = pending("month", day("2026-11-23"), "monday", [day("2026-08-01")])
        assert [each.first.month for each in months] == [9, 10]

    def test_what_was_written_is_not_written_again(self) -> None:
        assert pending("day", day("2026-11-23"), "monday", [day("2026-11-22")]) == []
        assert pending("day", day("2026-11-23"), "monday", [day("2027-11-22")]) == []

    def test_not_all_of_the_past_is_made_up_for(self) -> None:
        found = pending("day", day("2026-11-23"), "monday", [day("2001-01-01")])
        assert len(found) == reporting.PERIODS_MOST
        assert found[-1].last == day("2026-11-22")


@pytest.fixture
def filled(core: Core) -> Core:
    """Calls of today and of the three days before."""
    for number in range(40):
        at = NOON - timedelta(days=number % 4)
        core.append(cost(f"call-{number}", number + 1, batch=None, at=at))
    return core


def reports(core: Core, zone: str = "UTC", **settings: Any) -> Reports:
    return Reports(core.path, CostExport(**settings), ZoneInfo(zone), "monday")


def total(core: Core, first: date, last: date, zone: str = "UTC") -> int:
    request = CostHistory(range=Range(since=str(first), until=str(last), timezone=zone))
    return ANSWERS[CostHistory](core.db, request, core.now).total.cost_nanousd  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("name", ["csv", "json", "jsonl", "parquet"])
def test_a_day_s_file_sums_to_the_day_s_history(filled: Core, name: Any) -> None:
    (path,) = reports(filled, format=name).write(LATE)
    assert path == filled.path.parent / "cost-reports" / f"costs-day-{TODAY}.{name}"
    readers: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "csv": lambda: list(csv.DictReader(io.StringIO(path.read_text()))),
        "json": lambda: json.loads(path.read_text(), parse_float=Decimal),
        "jsonl": lambda: [
            json.loads(x, parse_float=Decimal) for x in path.read_text().splitlines()
        ],
        "parquet": lambda: pq.read_table(path).to_pylist(),
    }
    rows = readers[name]()
    assert len(rows) == 10
    written = sum(Decimal(row["cost_usd"]) for row in rows)
    assert written == Decimal(total(filled, TODAY, TODAY)).scaleb(-9)


def test_days_are_those_of_the_ledger_s_zone(filled: Core) -> None:
    (path,) = reports(filled, "Pacific/Kiritimati", format="jsonl").write(LATE)
    assert path.name == f"costs-day-{TODAY + DAY}.jsonl"
    written = sum(
        json.loads(x, parse_float=Decimal)["cost_usd"] for x in path.read_text().splitlines()
    )
    expected = total(filled, TODAY + DAY, TODAY + DAY, "Pacific/Kiritimati")
    assert expected > 0
    assert written == Decimal(expected).scaleb(-9)


def test_each_period_is_written_once_and_a_gap_is_made_up_for(filled: Core) -> None:
    at_work = reports(filled)
    assert len(at_work.write(LATE - 3 * DAY)) == 1
    assert at_work.write(LATE - 3 * DAY) == []
    assert [path.name[10:20] for path in at_work.write(LATE)] == [
        str(TODAY - 2 * DAY),
        str(TODAY - DAY),
        str(TODAY),
    ]


def test_a_file_that_somebody_changed_or_put_there_is_left_as_it_is(filled: Core) -> None:
    at_work = reports(filled)
    (path,) = at_work.write(LATE)
    path.write_text("mine")
    (path.parent / "costs-day-notes.csv").write_text("x")
    assert at_work.write(LATE) == []
    assert path.read_text() == "mine"


def test_a_day_is_waited_for_a_little_after_its_end(filled: Core) -> None:
    at_work = reports(filled)
    midnight = datetime.combine(TODAY + DAY, datetime.min.time(), UTC)
    (path,) = at_work.write(midnight + timedelta(minutes=9))
    assert path.name == f"costs-day-{TODAY - DAY}.csv"
    (path,) = at_work.write(midnight + timedelta(minutes=10))
    assert path.name == f"costs-day-{TODAY}.csv"


def test_one_that_is_cut_short_leaves_no_file(
    filled: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = reports(filled)
    at_work._closing.set()
    with pytest.raises(Stopping):
        at_work.write(LATE)
    assert list((filled.path.parent / "cost-reports").iterdir()) == []


def test_what_a_killed_daemon_left_is_swept_up(filled: Core) -> None:
    folder = filled.path.parent / "cost-reports"
    folder.mkdir()
    (folder / ".personad-1234.tmp").write_text("half")
    reports(filled).write(LATE)
    assert [path.name for path in folder.iterdir()] == [f"costs-day-{TODAY}.csv"]


def test_a_folder_that_can_t_be_written_is_said_and_tried_again(
    filled: Core, caplog: pytest.LogCaptureFixture
) -> None:
    (filled.path.parent / "cost-reports").write_text("no folder")
    at_work = reports(filled)
    at_work.start()
    try:
        wait_until(lambda: "could not be written" in caplog.text)
    finally:
        at_work.close()


def test_a_damaged_event_ends_no_daemon(filled: Core, caplog: pytest.LogCaptureFixture) -> None:
    with filled.db:
        filled.db.execute("UPDATE event SET body = x'c1', at = ?", (microseconds(yesterday()),))
    at_work = reports(filled)
    at_work.start()
    try:
        wait_until(lambda: "could not be written" in caplog.text)
        assert at_work._thread.is_alive()
    finally:
        at_work.close()
    assert list((filled.path.parent / "cost-reports").iterdir()) == []


def yesterday() -> datetime:
    return datetime.now(UTC) - DAY - reporting.GRACE


def wait_until(holds: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(3_000):
        if holds():
            return
        done.wait(0.01)
    raise AssertionError("it never came to that")


def test_the_daemon_writes_what_its_configuration_says(
    stopped: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PERSONA_COST_EXPORT_AUTO", "true")
    monkeypatch.setenv("PERSONA_COST_EXPORT_FORMAT", "jsonl")
    monkeypatch.setenv("PERSONA_COST_EXPORT_DIRECTORY", str(tmp_path / "out"))
    monkeypatch.setenv("PERSONAD_TIMEZONE", "UTC")
    daemon = stopped.start()
    wait_until(lambda: bool(os.path.isdir(tmp_path / "out") and list((tmp_path / "out").iterdir())))
    wait_until(lambda: not list((tmp_path / "out").glob(".*")))
    (path,) = (tmp_path / "out").iterdir()
    assert path.name.startswith("costs-day-20")
    assert path.read_bytes() == b""
    daemon.stop()


def test_unasked_it_writes_nothing(daemon: Running) -> None:
    daemon.append(cost("one", batch=None))
    assert not (daemon.paths.data_dir / "cost-reports").exists()
