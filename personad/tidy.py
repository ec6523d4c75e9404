"""What is done in quiet moments so that questions stay quick: sums of hours and days are added up,
and noted values worked into their sketches.

No answer depends on it. It is done in slices on the writer's thread, each small enough that no
append notices.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import apsw

from personad import log
from personad.civil import quarter_of
from personad.kinds import microseconds
from personad.projections import BUCKETS, call_places, fresh_sums, sketches
from personad.projections.book import QUARTERS_A_DAY, Book
from personad.projections.buckets import Buckets, Packed, Tier, quarters_of
from personad.projections.call_passing import BLOCKS
from personad.projections.cost_sums import COST

T = TypeVar("T")
Between = Callable[[Callable[[Book], T]], T]
"""Has the writer do something between two groups: `Writer.with_book`."""

BLOCKS_A_ROUND = 800
"""So many before others have their turn: a ledger that an older release made has them all to be
looked through."""
LOAD_BLOCKS, BLOCKS_UNDER_LOAD = 24, 8
"""Where so many have become full since the last round, only so many by model: 1 % of a second. The
others have to wait for a quieter one anyway."""
TIERS: tuple[Tier, ...] = ("hour", "day")
PARTS: dict[Tier, int] = {"hour": 6, "day": 1}
"""In which the sketches of a day are merged; a day's hours are those of UTC."""
DAY_TABLES = (
    *(f"{each.name}_day" for each in BUCKETS if "day" in each.tiers),
    "sketch_day",
    "sketch_all_day",
)

_BY_NUMPY = "personad.sketch_arrays"
_ZONE = "SELECT value FROM meta WHERE name = 'timezone'"
_SET_ZONE = "INSERT OR REPLACE INTO meta (name, value) VALUES ('timezone', ?)"
_STALE = "INSERT OR IGNORE INTO stale (tier, day) VALUES (?, ?)"


class Tidier:
    """Looks once in a while what there is to do."""

    def __init__(self, between: Between[Any], *, last_seq: int | None = None) -> None:
        """`last_seq` is the log's end by now; without it the first round takes all that it finds
        for what lay there before, and itself for a quiet moment."""
        self._between = between
        self.is_behind = False
        """Whether there is something left that needs no event to become due."""
        self._full = None if last_seq is None else last_seq >> call_places.SHIFT
        """How many blocks of the log were full at the last round."""

    def tidy(self, now: datetime) -> int:
        """Does what there is to do; how many days were added up.

        A day to which something happened since the last time is left for the next one, and so is
        today: it would be stale again at once.
        """
        full, are_due = self._between(_full_blocks)
        more, self._full = full - (full if self._full is None else self._full), full
        is_quiet = more < LOAD_BLOCKS
        if is_quiet:
            # Else it is done in passing, of as many at once as there may be.
            self._between(_work_calls_in)
            self._between(work_rollups_in)
        while self._between(work_sketches_in):
            pass
        has_left_some = are_due and self._place(is_quiet=is_quiet)
        self.is_behind = has_left_some or not is_quiet
        due = self._between(lambda book: _due(book, now))
        return sum(self._day(tier, day) for tier, day in due)

    def _place(self, *, is_quiet: bool) -> bool:
        """Whether there is more to do."""
        done = self._blocks(_note_calls, BLOCKS_A_ROUND)
        most = BLOCKS_A_ROUND if is_quiet else BLOCKS_UNDER_LOAD
        by_model = self._blocks(_note_models, most)
        return done >= BLOCKS_A_ROUND or by_model >= most

    def _blocks(self, note: Callable[[Book], int], most: int) -> int:
        done = 0
        while done < most and (some := self._between(note)):
            done += some
        return done

    def _day(self, tier: Tier, day: int) -> bool:
        self._between(lambda book: book.touched.discard((tier, day)))
        for each in BUCKETS:
            if tier in each.tiers:
                self._between(partial(_refold, buckets=each, tier=tier, day=day))
        if _BY_NUMPY not in sys.modules and self._between(partial(_is_large, tier=tier, day=day)):
            # In this thread: where the writer did it, an append would wait for a fifth of a second.
            importlib.import_module(_BY_NUMPY)
        for part in range(PARTS[tier]):
            self._between(partial(_merge, tier=tier, day=day, part=part))
        return bool(self._between(partial(_finish, tier=tier, day=day)))


def in_passing(book: Book, has_time: Callable[[], bool]) -> None:
    """What can't wait for a quiet moment while much comes in: it is done when those who brought it
    have their answers. Calls are brought into their table by name once they are many, and what
    personas cost likewise. As long as he `has_time`, some of it is done before it has to be."""
    if book.counted.are_many:
        _work_calls_in(book)
    elif book.persona_costs.are_many:
        with book.db:
            book.persona_costs.work_in()
    elif fresh_sums.are_many(book, COST):
        with book.db:
            fresh_sums.work_in(book, COST)
    while book.counted.is_piece_due and has_time():
        with book.db:
            book.counted.work_piece_in()


def work_in(book: Book) -> None:
    """All that was put down lately, into its tables, in the transaction that goes on; what is noted
    for sketches stays noted."""
    book.counted.work_in()
    book.persona_costs.work_in()
    fresh_sums.work_in(book, COST)


def all_at_once(book: Book) -> None:
    """Everything, also today: for a ledger that nobody else is using."""
    with book.db:
        work_in(book)
        while sketches.work_slice_in(book.db):
            pass
        while call_places.place(book.db, BLOCKS) + call_places.place_models(book.db, BLOCKS):
            pass
        for tier in TIERS:
            for day in sorted(book.stale[tier]):
                add_up(book.db, tier, day, book.zone)
                book.freshen(tier, day)


def add_up(
    db: apsw.Connection,
    tier: Tier,
    day: int,
    zone: ZoneInfo,
    buckets: Sequence[Buckets | Packed] = BUCKETS,
    *,
    of_sketches: bool = True,
    together: sketches.Merge | None = None,
) -> None:
    """A day, or its hours, anew out of its quarter-hours."""
    for each in buckets:
        each.refold(db, tier, day, zone)
    if of_sketches:
        sketches.refold(db, tier, day, *quarters_of(tier, day, zone), together)


def work_sketches_in(book: Book) -> bool:
    """Some of what is noted; whether there is more."""
    if not sketches.has_fresh(book.db):
        return False
    with book.db:
        has_more = sketches.work_slice_in(book.db)
    return has_more  # noqa: RET504 - apsw says its `with` may swallow errors


def _work_calls_in(book: Book) -> None:
    with book.db:
        book.counted.work_in()


def work_rollups_in(book: Book) -> None:
    """What personas cost, and what all calls did, into their tables."""
    with book.db:
        book.persona_costs.work_in()
        fresh_sums.work_in(book, COST)


def _full_blocks(book: Book) -> tuple[int, bool]:
    """How many there are, and whether some are to be noted."""
    return log.last_seq(book.db) >> call_places.SHIFT, call_places.are_due(book.db)


def _note_calls(book: Book) -> int:
    with book.db:
        done = call_places.place(book.db, BLOCKS, book.passing.take)
    return done  # noqa: RET504 - apsw says its `with` may swallow errors


def _note_models(book: Book) -> int:
    with book.db:
        done = call_places.place_models(book.db, BLOCKS)
    return done  # noqa: RET504 - apsw says its `with` may swallow errors


def _due(book: Book, now: datetime) -> list[tuple[Tier, int]]:
    touched, book.touched = book.touched, set()
    quarter = quarter_of(microseconds(now))
    today = {"hour": quarter // QUARTERS_A_DAY, "day": book.day_of(quarter)}
    return [
        (tier, day)
        for tier in TIERS
        for day in sorted(book.stale[tier])
        if day != today[tier] and (tier, day) not in touched
    ]


def _refold(book: Book, buckets: Buckets | Packed, tier: Tier, day: int) -> None:
    with book.db:
        # All of a day's has to be there once it is added up.
        fresh_sums.work_in(book, COST)
        buckets.refold(book.db, tier, day, book.zone)


def _is_large(book: Book, tier: Tier, day: int) -> bool:
    return sketches.are_large(book.db, *quarters_of(tier, day, book.zone))


def _merge(book: Book, tier: Tier, day: int, part: int) -> None:
    first, end = quarters_of(tier, day, book.zone)
    length = (end - first) // PARTS[tier]
    with book.db:
        # A sketch must not be worked on any more once the day's is made from it.
        while sketches.work_slice_in(book.db):
            pass
        sketches.refold(book.db, tier, day, first + part * length, first + (part + 1) * length)


def _finish(book: Book, tier: Tier, day: int) -> bool:
    """Whether the day may be read: not where something happened to it meanwhile."""
    if (tier, day) in book.touched:
        return False
    with book.db:
        book.freshen(tier, day)
    return True


def rezone(db: apsw.Connection, zone: ZoneInfo) -> bool:
    """Has all days added up anew where the ledger's zone has changed; says whether it had."""
    known = db.execute(_ZONE).get
    if known == zone.key:
        return False
    with db:
        # A day of the old zone may be one of which the new zone has nothing: none is left standing.
        for table in DAY_TABLES:
            db.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant of ours
        mark_all_stale(db, zone, tiers=("day",))
        db.execute(_SET_ZONE, (zone.key,))
    return known is not None


def mark_all_stale(db: apsw.Connection, zone: ZoneInfo, tiers: Sequence[Tier] = TIERS) -> None:
    """Has every day of these tiers added up anew."""
    mark_stale(db, [(tier, day) for tier in tiers for day in sorted(days_of(db, tier, zone))])


def mark_stale(db: apsw.Connection, days: Iterable[tuple[Tier, int]]) -> None:
    db.executemany(_STALE, days)


def days_of(db: apsw.Connection, tier: Tier, zone: ZoneInfo, more: Iterable[str] = ()) -> set[int]:
    """The days of a tier of which there is anything, or in more tables of quarter-hours."""
    # Also those of which sums lie there, but nothing any more that they were added up from.
    days = summed_days(db, tier)
    tables = [f"{each.name}_quarter" for each in BUCKETS if "quarter" in each.tiers]
    tables.append(COST.fresh)
    for table in (*tables, *more):
        days.update(_days_in(db, table, ZoneInfo("UTC") if tier == "hour" else zone))
    return days


def summed_days(db: apsw.Connection, tier: Tier) -> set[int]:
    """The days of which a sum lies there, stale or not."""
    per = 24 if tier == "hour" else 1
    found: set[int] = set()
    for name in (*(each.name for each in BUCKETS if tier in each.tiers), "sketch"):
        after = f"SELECT min(bucket) FROM {name}_{tier} WHERE bucket >= ?"  # noqa: S608
        bucket = db.execute(f"SELECT min(bucket) FROM {name}_{tier}").get  # noqa: S608
        while bucket is not None:
            found.add(bucket // per)
            bucket = db.execute(after, ((bucket // per + 1) * per,)).get
    return found


def _days_in(db: apsw.Connection, table: str, zone: ZoneInfo) -> Iterator[int]:
    """The days of the zone in which there is a row, found by jumping from each to the next."""
    book = Book(db, zone)
    after = f"SELECT min(bucket) FROM {table} WHERE bucket >= ?"  # noqa: S608 - constants
    quarter = db.execute(f"SELECT min(bucket) FROM {table}").get  # noqa: S608 - constants
    while quarter is not None:
        day = book.day_of(quarter)
        yield day
        quarter = db.execute(after, (quarters_of("day", day, zone)[1],)).get
