"""Costs written out by themselves: a file for each day, week or month that is over.

What was written is seen by the files' names alone, so a daemon that did not run for a while makes
up for it, and a file that somebody has removed or changed is left as it is.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import apsw
import msgspec

from personad import civil
from personad.contract.asking import Range
from personad.contract.cost_rows import CostRow, CostRows
from personad.contract.errors import LedgerError
from personad.contract.options import CostExport
from personad.contract.row_files import WRITERS
from personad.kinds import microseconds
from personad.projections.row_questions import rows
from personad.store import open_for_reading
from personad.whole import sweep, whole

LOOK_EVERY_S = 60.0
AGAIN_S = 3_600.0
"""After a file that could not be written."""
GRACE = timedelta(minutes=10)
"""So long after its end a day is waited for, as its last events may still be under way."""
PERIODS_MOST = 400
"""So many are made up for."""

_DAMAGE = (
    apsw.Error,
    msgspec.MsgspecError,
    ArithmeticError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a damaged event may come to, or a format's library."""

logger = logging.getLogger(__name__)


class Span(NamedTuple):
    """A period, both days included."""

    first: date
    last: date


class Stopping(Exception):
    """The daemon ends: what is half written is not to be kept."""


def pending(
    every: str, today: date, week_start: civil.WeekStart, written: Sequence[date]
) -> list[Span]:
    """The periods that are over and not written yet, the oldest first.

    After those that were written, or else the last one alone: nobody asked for all of the past.
    """
    newest = _begin(every, _begin(every, today, week_start) - timedelta(days=1), week_start)
    first = newest
    if written:
        first = _after(every, max(written))
    found = []
    while first <= newest:
        following = _after(every, first)
        found.append(Span(first, following - timedelta(days=1)))
        first = following
    return found[-PERIODS_MOST:]


def _begin(every: str, day: date, week_start: civil.WeekStart) -> date:
    """Of the period that a day is in."""
    if every == "day":
        return day
    if every == "month":
        return day.replace(day=1)
    return civil.week_of(day, week_start)


def _after(every: str, first: date) -> date:
    """When the next period begins."""
    if every == "month":
        return (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return first + timedelta(days=7 if every == "week" else 1)


class Reports:
    """A thread that looks once a minute whether a period is over."""

    def __init__(
        self,
        database: Path,
        settings: CostExport,
        zone: ZoneInfo,
        week_start: civil.WeekStart,
    ) -> None:
        """A folder that isn't absolute lies beside the database."""
        self._database = database
        self._settings = settings
        self._folder = database.parent / os.path.expanduser(settings.directory)
        self._zone = zone
        self._week_start = week_start
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._closing.wait(wait_s):
            wait_s = LOOK_EVERY_S
            try:
                self.write(datetime.now(UTC))
            except Stopping:
                return
            except (OSError, ImportError, LedgerError) as error:
                logger.error("the costs could not be written into %s: %s", self._folder, error)
                wait_s = AGAIN_S
            except _DAMAGE:
                # A daemon must not end for it, again at each start: everything else goes on.
                logger.exception("the costs could not be written into %s", self._folder)
                wait_s = AGAIN_S

    def write(self, now: datetime) -> list[Path]:
        """Writes what is due; which files.

        Raises:
            OSError: the folder or a file can't be written.
            ImportError: the format needs a library that isn't installed.
            LedgerError: a period that is out of reach.
            Stopping: the daemon ends.
        """
        quarter = civil.quarter_of(microseconds(now - GRACE))
        today = civil.day_of(quarter, self._zone)
        spans = pending(self._settings.every, today, self._week_start, self._written())
        if not spans:
            return []
        self._folder.mkdir(parents=True, exist_ok=True)
        sweep(self._folder)
        return [self._report(span, now) for span in spans]

    def _written(self) -> list[date]:
        ending = f".{self._settings.format}"
        found = []
        for path in self._folder.glob(f"{self._beginning}*{ending}"):
            try:
                day = path.name.removeprefix(self._beginning).removesuffix(ending)
                found.append(date.fromisoformat(day))
            except ValueError:
                continue  # Somebody else's file, by a name that is nearly ours.
        return found

    @property
    def _beginning(self) -> str:
        return f"costs-{self._settings.every}-"

    def _report(self, span: Span, now: datetime) -> Path:
        path = self._folder / f"{self._beginning}{span.first}.{self._settings.format}"
        with closing(open_for_reading(str(self._database))) as db, whole(path) as file:
            count = WRITERS[self._settings.format](self._rows(db, span, now), file)
        logger.info("%d cost events from %s to %s are in %s", count, span.first, span.last, path)
        return path

    def _rows(self, db: apsw.Connection, span: Span, now: datetime) -> Iterator[CostRow]:
        """The period's, a page at a time; at least half of the time is left to others."""
        asked = Range(since=str(span.first), until=str(span.last), timezone=self._zone.key)
        cursor: str | None = ""
        while cursor is not None:
            began = time.monotonic()
            page = rows(db, CostRows(range=asked, cursor=cursor), now)
            cursor = page.cursor
            yield from page.rows
            if self._closing.wait(time.monotonic() - began):
                raise Stopping
