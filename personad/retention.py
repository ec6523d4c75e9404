"""What is dropped in time: single events, whose sums outlive them.

First the ledger is looked through for what is old enough, on a connection of its own. Where there
is something, the mark is moved and committed (see `quarantine`), and only then is anything dropped
(see `dropping`), in slices on the writer's thread. So it may be killed at any moment: what is left
goes the next time.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol, TypeVar

import apsw
import msgspec
from msgspec import Struct

from personad import log, quarantine
from personad.carrying import checkpoint
from personad.clock import leap, longest_leap
from personad.contract.admin import Retained, RetainedKind, Retention
from personad.contract.errors import LedgerError
from personad.contract.paths import Paths
from personad.dropping import DAY_US, Block, Found, drop, droppable, vacuum
from personad.kinds import KINDS, microseconds, moment_of
from personad.locks import Held, lock
from personad.projections.book import Book
from personad.restore import complete
from personad.store import BUSY_MS, ledger_zone, open_for_writing
from personad.trouble import naming_damage

T = TypeVar("T")
Kept = Literal["raw_days", "for ever"]


class Tier(Struct, frozen=True):
    """Kinds of events that are kept equally long."""

    kinds: tuple[str, ...]
    kept: Kept


RETENTION: dict[str, Tier] = {
    "calls": Tier(
        ("call.started", "call.abandoned", "cost.recorded", "cost.corrected"), "raw_days"
    ),
    "scores": Tier(("quality.scored",), "raw_days"),
    "personas": Tier(
        (
            "persona.queued",
            "persona.generating",
            "persona.validating",
            "persona.retrying",
            "persona.completed",
            "persona.failed",
        ),
        "raw_days",
    ),
    "batches": Tier(
        (
            "batch.started",
            "batch.pausing",
            "batch.paused",
            "batch.resumed",
            "batch.interrupted",
            "batch.finished",
            "batch.held",
            "batch.slept",
        ),
        "for ever",
    ),
    "what stands": Tier(
        (
            "goal.set",
            "goal.cleared",
            "budget.set",
            "budget.cleared",
            "price.set",
            "alert.configured",
            "alert.raised",
            "alert.acknowledged",
            "forecast.recorded",
        ),
        "for ever",
    ),
    # Nothing else holds a benchmark's summary.
    "benchmarks": Tier(("benchmark.finished",), "for ever"),
}
"""Every kind of event is in one tier."""

FEWEST_DAYS = 2
"""However short `raw_days` is: an event may come a day late."""
BLOCK_SEQS = 4_096
"""So many numbers are looked through at once."""
FEWEST_ROWS, MOST_ROWS = 20, 2_000
"""Events of a slice, few enough that no append waits for long."""
FEWEST_PAGES, MOST_PAGES = 4, 2_000
SLICE_S = 0.006
CHECKPOINT_EVERY = 16
"""Slices; so the writer's own commits have little to carry into the database file."""
SAY_SO = "if it is right: `personad retention --clock-is-right`; if not, set it"
_REMEMBER = "INSERT OR REPLACE INTO meta (name, value) VALUES ('last_retention', ?)"
_LAST = "SELECT value FROM meta WHERE name = 'last_retention'"


class WithBook(Protocol):
    """`Writer.with_book`: has the writer do something between two groups."""

    def __call__(self, work: Callable[[Book], T], /) -> T: ...


class _Tally:
    """What was found, or dropped, by kind."""

    def __init__(self) -> None:
        self.events: Counter[int] = Counter()
        self.size_bytes: Counter[int] = Counter()
        self.oldest: dict[int, int] = {}

    def add(self, some: Iterable[Found]) -> None:
        for each in some:
            self.events[each.kind] += 1
            self.size_bytes[each.kind] += each.size_bytes
            self.oldest[each.kind] = min(self.oldest.get(each.kind, each.at), each.at)


def horizon_of(now: datetime, raw_days: int) -> datetime:
    """The start of the UTC day before which single events are dropped."""
    try:
        day = now.astimezone(UTC) - timedelta(days=max(raw_days, FEWEST_DAYS))
    except OverflowError:
        return datetime(1, 1, 2, tzinfo=UTC)
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


def last_retention(db: apsw.Connection) -> datetime | None:
    """When retention was last done to the end."""
    row = db.execute(_LAST).fetchone()
    return datetime.fromisoformat(str(row[0])) if row else None


def retain(
    with_book: WithBook,
    beside: apsw.Connection,
    now: datetime,
    raw_days: int,
    *,
    dry_run: bool = False,
    clock_is_right: bool = False,
    pause: Callable[[float], bool] = lambda _: False,
) -> Retained:
    """Drops what is old enough, and gives its room back.

    Args:
        with_book: runs a slice on the connection that writes.
        beside: from `open_beside`.
        now: by the daemon's clock.
        raw_days: how long single events are kept.
        dry_run: only looks.
        clock_is_right: somebody says so; drops also where nobody would believe it (see `clock`).
        pause: called after each slice with the seconds it took; whether to leave off.

    Raises:
        LedgerError: `conflict`, where the clock can't be believed; `unavailable`, where it was
            told to leave off.
        apsw.Error: the ledger can't be read or written; what was dropped until then stays so.
    """
    began = time.monotonic()
    held = None if clock_is_right else held_back(beside, now, raw_days)
    if held is not None and not dry_run:
        raise LedgerError("conflict", f"nothing was dropped: {held}", hint=SAY_SO)
    horizon = microseconds(horizon_of(now, raw_days))
    tally = _Tally()
    end = log.last_seq(beside)
    blocks = list(_surveyed(beside, 0, end, horizon, tally, pause))
    freed = 0
    if not dry_run:
        if blocks:
            tally = _Tally()
            last = with_book(lambda book: _mark(book, horizon))
            # What came since it was looked at, and before the mark was moved.
            blocks += [Block(at, min(at + BLOCK_SEQS, last)) for at in range(end, last, BLOCK_SEQS)]
            _drop_all(with_book, beside, blocks, horizon, tally, pause)
        freed = _give_back(with_book, beside, pause)
        with_book(lambda book: book.db.execute(_REMEMBER, (now.isoformat(),)))
    done = _report(tally, horizon, raw_days, dry_run, freed, time.monotonic() - began)
    return msgspec.structs.replace(done, held=held)


def held_back(db: apsw.Connection, now: datetime, raw_days: int) -> str | None:
    """Why nothing is dropped until somebody says that the clock is right; None: it is believed."""
    found = leap(db, last_retention(db), now, longest_leap(raw_days))
    if found is None:
        return None
    begin, end = found
    return (
        f"the clock says {now.astimezone(UTC):%F %T} UTC, but nothing happened in this ledger "
        f"from {begin:%F} to {end:%F}; a clock that is ahead would have events dropped too early"
    )


def _report(
    tally: _Tally, horizon: int, raw_days: int, dry_run: bool, freed: int, took_s: float
) -> Retained:
    return Retained(
        dry_run=dry_run,
        before=moment_of(horizon),
        kinds=[
            RetainedKind(
                tier=name,
                kind=kind,
                events=tally.events[KINDS[kind]],
                size_bytes=tally.size_bytes[KINDS[kind]],
                oldest=moment_of(tally.oldest[KINDS[kind]])
                if KINDS[kind] in tally.oldest
                else None,
                kept_days=max(raw_days, FEWEST_DAYS) if tier.kept == "raw_days" else None,
            )
            for name, tier in RETENTION.items()
            for kind in tier.kinds
        ],
        freed_bytes=freed,
        duration_ms=round(took_s * 1_000),
    )


def _surveyed(
    db: apsw.Connection,
    after: int,
    end: int,
    horizon: int,
    tally: _Tally,
    pause: Callable[[float], bool],
) -> Iterator[Block]:
    """Looks all numbers through, as an import may have put old events behind young ones."""
    while after < end:
        began = time.monotonic()
        block = Block(after, min(after + BLOCK_SEQS, end))
        found, _ = droppable(db, block, horizon, BLOCK_SEQS)
        if found:
            tally.add(found)
            yield block
        after = block.end
        _rest(pause, time.monotonic() - began)


def _rest(pause: Callable[[float], bool], took_s: float) -> None:
    if pause(took_s):
        hint = "what is left is dropped the next time"
        raise LedgerError("unavailable", "retention was left off", hint=hint)


def _mark(book: Book, horizon: int) -> int:
    """Has events from before the mark put aside from now on; the newest number there is."""
    db, book.takes_all = book.db, None
    with db:
        quarantine.take_none_before(db, horizon + DAY_US, log.last_seq(db))
    return log.last_seq(db)


def _drop_all(
    with_book: WithBook,
    beside: apsw.Connection,
    blocks: Iterable[Block],
    horizon: int,
    tally: _Tally,
    pause: Callable[[float], bool],
) -> None:
    most, slices = FEWEST_ROWS, 0
    for block in blocks:
        after = block.after
        while after < block.end:
            rest = Block(after, block.end)
            found, after, took_s = with_book(
                lambda book, rest=rest, most=most: drop(book, rest, horizon, most)  # type: ignore[misc]
            )
            tally.add(found)
            most = _paced(most, took_s, FEWEST_ROWS, MOST_ROWS)
            slices += 1
            if slices % CHECKPOINT_EVERY == 0:
                checkpoint(beside)
            _rest(pause, took_s)


def _paced(count: int, took_s: float, fewest: int, most: int) -> int:
    """How many of them the next slice takes, so that it takes about `SLICE_S`."""
    wanted = int(count * SLICE_S / max(took_s, 1e-6))
    return min(max(wanted, fewest), most, count * 2)


def _give_back(with_book: WithBook, beside: apsw.Connection, pause: Callable[[float], bool]) -> int:
    """Has the file shrink by what is free in it; how many bytes that were."""
    pages, given, page_bytes = FEWEST_PAGES, 0, int(beside.pragma("page_size"))
    while True:
        freed, took_s = with_book(lambda book, n=pages: vacuum(book.db, n))  # type: ignore[misc]
        if not freed:
            break
        given += freed
        pages = _paced(pages, took_s, FEWEST_PAGES, MOST_PAGES)
        if given // MOST_PAGES != (given - freed) // MOST_PAGES:
            checkpoint(beside)
        _rest(pause, took_s)
    if given:
        checkpoint(beside)
    return given * page_bytes


def open_beside(path: str) -> apsw.Connection:
    """A connection that changes no row, and may carry the write-ahead log into the file."""
    db = apsw.Connection(path)
    db.set_busy_timeout(BUSY_MS)
    db.execute("PRAGMA query_only = ON; PRAGMA cache_size = -2048")
    return db


def retain_alone(paths: Paths, request: Retention, now: datetime, raw_days: int) -> Retained:
    """The same without a daemon, and keeping one from starting meanwhile.

    Raises:
        LedgerError: there is no ledger, or it can't be used.
    """
    if not paths.database.exists():
        hint = "`personad start` makes one; `--ledger DIR` names another"
        raise LedgerError("not-found", f"there is no ledger at {paths.database}", hint=hint)
    file = str(paths.database)
    try:
        with lock(paths.life_lock), naming_damage(paths.database):
            complete(paths.database)
            with closing(open_for_writing(file)) as db, closing(open_beside(file)) as beside:
                book = Book(db, ledger_zone(db))
                return retain(
                    lambda work: work(book),
                    beside,
                    now,
                    raw_days,
                    dry_run=request.dry_run,
                    clock_is_right=request.clock_is_right,
                )
    except Held:
        hint = "run the same command again"
        raise LedgerError("unavailable", "a daemon is just starting", hint=hint) from None
    except apsw.Error as error:
        raise unfinished(error) from None


def unfinished(error: Exception) -> LedgerError:
    """What to answer where the ledger could not be read or written."""
    hint = "what is left is dropped the next time; `personad doctor` looks at its disk"
    return LedgerError("unavailable", f"retention was left off: {error}", hint=hint)
