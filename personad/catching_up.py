"""What is appended while tables are made anew: it is folded into them too, before they are the
tables.

That is done in slices on the writer's thread, as long as much is left, so that the exchange itself
has little to do and nobody waits for it.
"""

import re
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol, TypeVar, cast
from zoneinfo import ZoneInfo

import apsw

from personad import log
from personad.projections import Projection, fold
from personad.projections.book import QUARTERS_A_DAY, Book
from personad.projections.buckets import Tier

NEW = "__new"
"""What the new tables are called until the exchange, behind their names."""
SLICE_S, LONGEST_SLICE_S = 0.008, 1.0
"""A slice takes longer only where more is appended meanwhile than it takes in."""
FIRST_EVENTS, MOST_EVENTS = 300, 100_000
REMAINDER = 500
"""So many events are left to the exchange."""

R = TypeVar("R")
T = TypeVar("T", covariant=True)


class WithBook(Protocol):
    """`Writer.with_book`: has the writer do something between two groups."""

    def __call__(self, work: "Work[R]", /) -> R: ...


class Work(Protocol[T]):
    def __call__(self, book: Book, /) -> T: ...


class Beside:
    """A connection on which the new tables have the names of the live ones, for those who fold."""

    def __init__(self, db: apsw.Connection, tables: Iterable[str]) -> None:
        self._db = db
        named = "|".join(tables)
        self._named = re.compile(rf'\b(FROM|JOIN|INTO|UPDATE)\s+"?({named})"?(?![\w"])')
        self._said: dict[str, str] = {}
        self.total_changes = db.total_changes

    def execute(self, sql: str, values: Any = None) -> Any:
        return self._db.execute(self._renamed(sql), values)

    def executemany(self, sql: str, values: Iterable[Any]) -> Any:
        return self._db.executemany(self._renamed(sql), values)

    def _renamed(self, sql: str) -> str:
        if (said := self._said.get(sql)) is None:
            said = self._said[sql] = self._named.sub(rf'\1 "\2{NEW}" AS "\2"', sql)
        return said


class NewBook(Book):
    """A book of the new tables, which remembers what was touched in it."""

    def __init__(self, db: apsw.Connection, zone: ZoneInfo, tables: Sequence[str]) -> None:
        self.quarters: set[int] = set()
        beside = cast(apsw.Connection, Beside(db, tables))
        super().__init__(beside, zone, past=lambda seq: log.entry(db, seq))

    def touch(self, quarters: Iterable[int]) -> None:
        self.quarters.update(quarters)


class CatchUp:
    """How far the new tables have come."""

    def __init__(
        self, book: Book, tables: Sequence[str], projections: Collection[Projection], seq: int
    ) -> None:
        self._log = book.db
        self.book = NewBook(book.db, book.zone, tables)
        self._projections = projections
        self.seq = seq
        """Up to here they hold the log."""
        self.batches: set[str] = set()
        """Those that something was folded of."""

    def some(self, most: int) -> None:
        """Folds the next events in, inside the transaction that is going on."""
        entries = log.entries(self._log, after=self.seq, limit=most)
        if not entries:
            self.seq = log.last_seq(self._log)
            return
        self.batches.update(e[2].batch for e in entries if getattr(e[2], "batch", None))  # type: ignore[union-attr, misc]
        # All of these fitted when they came: only what does not is marked, and left out here.
        known: frozenset[int] = frozenset()
        fold(self.book, entries, since=self.seq, misfits_known=known, only=self._projections)
        self.seq = entries[-1][0]

    @property
    def left(self) -> int:
        return log.last_seq(self._log) - self.seq

    def rest(self) -> None:
        """Folds all that is left, inside the transaction that is going on."""
        while self.left:
            self.some(MOST_EVENTS)

    def days(self) -> list[tuple[Tier, int]]:
        """Those to which something happened that was folded."""
        found: set[tuple[Tier, int]] = set()
        for quarter in self.book.quarters:
            found.add(("hour", quarter // QUARTERS_A_DAY))
            found.add(("day", self.book.day_of(quarter)))
        return sorted(found)

    def nearly(self, with_book: WithBook) -> None:
        """Folds in slices until little is left."""
        # Only the writer's thread may ask its connection, also how much that is.
        count, slice_s, before = FIRST_EVENTS, SLICE_S, with_book(lambda _: self.left)
        while before > REMAINDER:
            took_s, left = with_book(lambda book, n=count: self._slice(book.db, n))
            if left >= before:
                slice_s = min(slice_s * 2, LONGEST_SLICE_S)
            scale = min(max(slice_s / max(took_s, 1e-6), 0.25), 2.0)
            count, before = max(100, min(int(count * scale), MOST_EVENTS)), left

    def _slice(self, db: apsw.Connection, count: int) -> tuple[float, int]:
        began = time.perf_counter()
        with db:
            self.some(count)
        return time.perf_counter() - began, self.left
