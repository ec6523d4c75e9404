"""Sums that add up: a row for each quarter-hour and key, and over them hours and days.

The quarter-hours are the truth. Hours (of UTC) and days (of the ledger's zone) are added up from
them when nothing has happened to them for a while; until then they are stale and nobody reads
them. So any range in any zone is a sum of whole rows, and mostly of few.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from operator import add
from typing import Any, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import apsw

from personad import bulk, civil
from personad.bulk import SUM_MAX
from personad.packed import packed
from personad.projections.book import QUARTERS_A_DAY, Book, day_named, day_number

Tier = Literal["quarter", "hour", "day"]
QUARTERS_AN_HOUR = 4
_DAYS_KEPT = 2_000
"""In memory: every question asks for where its days begin, several times over."""


@dataclass(frozen=True)
class Buckets:
    """A table family; all its columns are integers."""

    name: str
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    """The first counts: a row in which it is zero is none."""
    tiers: tuple[Tier, ...] = ("quarter",)

    @property
    def source(self) -> str:
        """What hours and days are added up from."""
        return self.name

    @property
    def schema(self) -> str:
        columns = "".join(f"  {name} INTEGER NOT NULL,\n" for name in (*self.keys, *self.sums))
        return "".join(
            f"CREATE TABLE {self.name}_{tier} (\n  bucket INTEGER NOT NULL,\n{columns}"
            f"  PRIMARY KEY (bucket, {', '.join(self.keys)})\n) STRICT, WITHOUT ROWID;\n"
            for tier in self.tiers
        )

    @cached_property
    def tables(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{tier}" for tier in self.tiers)

    @cached_property
    def _into(self) -> str:
        return f"{self.name}_quarter ({', '.join(('bucket', *self.keys, *self.sums))})"

    @cached_property
    def _added(self) -> str:
        # What doesn't fit 63 bits becomes a float in SQL; it stays at their end instead, and what
        # is taken back out of such a sum may be more than is left of it.
        added = ", ".join(f"{s} = max(0, min({s} + excluded.{s}, {SUM_MAX}))" for s in self.sums)
        return f"ON CONFLICT DO UPDATE SET {added}"

    @cached_property
    def _sweep(self) -> str:
        same = " AND ".join(f"{key} = ?" for key in ("bucket", *self.keys))
        return f"DELETE FROM {self.name}_quarter WHERE {same} AND {self.sums[0]} = 0"  # noqa: S608

    def add(self, book: Book, rows: Mapping[tuple[int, ...], Sequence[int]]) -> None:
        """Adds sums to the rows of these (bucket, keys…); negative ones take back out."""
        if not rows:
            return
        values: list[int] = []
        for key in sorted(rows):
            values += key
            values += rows[key]
        if max(values) > SUM_MAX or min(values) < -SUM_MAX:
            values = [max(-SUM_MAX, min(each, SUM_MAX)) for each in values]
        width = 1 + len(self.keys) + len(self.sums)
        bulk.insert(book.db, self._into, width, self._added, values)
        gone = [key for key, sums in rows.items() if sums[0] <= 0]
        if gone:
            book.db.executemany(self._sweep, gone)

    def refold(self, db: apsw.Connection, tier: Tier, day: int, zone: ZoneInfo) -> None:
        """Adds a stale day up anew, or its hours."""
        if tier not in self.tiers:
            return
        first, end = quarters_of(tier, day, zone)
        # SQL's division rounds towards zero, which before 1970 is upwards.
        bucket = "bucket >> 2" if tier == "hour" else str(day)
        low, high = (first // 4, end // 4) if tier == "hour" else (day, day + 1)
        table, keys = f"{self.name}_{tier}", ", ".join(self.keys)
        sums = ", ".join(f"min(sum({each}), {SUM_MAX})" for each in self.sums)
        db.execute(f"DELETE FROM {table} WHERE bucket >= ? AND bucket < ?", (low, high))  # noqa: S608
        db.execute(
            f"INSERT INTO {table} SELECT {bucket}, {keys}, {sums} "  # noqa: S608
            f"FROM {self.source}_quarter "
            f"WHERE bucket >= ? AND bucket < ? GROUP BY 1, {keys}",
            (first, end),
        )


@dataclass(frozen=True)
class Packed:
    """Days by one key and nothing else, a row each that holds them in columns (see
    `personad.packed`): of a key that has ten thousand values, a month is read at once."""

    name: str
    source: str
    """Whose quarter-hours the days are added up from."""
    key: str
    sums: tuple[str, ...]
    tiers: tuple[Tier, ...] = ("day",)

    @property
    def schema(self) -> str:
        columns = ",\n".join(f"  {name} BLOB NOT NULL" for name in (self.key, *self.sums))
        return (
            f"CREATE TABLE {self.name}_day (\n  bucket INTEGER PRIMARY KEY,\n"
            f"  count INTEGER NOT NULL,\n{columns}\n) STRICT;\n"
        )

    def refold(self, db: apsw.Connection, tier: Tier, day: int, zone: ZoneInfo) -> None:
        """Adds a stale day up anew."""
        if tier not in self.tiers:
            return
        sums = ", ".join(f"min(sum({each}), {SUM_MAX})" for each in self.sums)
        rows: list[Any] = db.execute(
            f"SELECT {self.key}, {sums} FROM {self.source}_quarter "  # noqa: S608
            "WHERE bucket >= ? AND bucket < ? GROUP BY 1 ORDER BY 1",
            quarters_of("day", day, zone),
        ).fetchall()
        self.put(db, day, rows)

    def put(self, db: apsw.Connection, day: int, rows: Sequence[Sequence[int]]) -> None:
        """These are the day's, by key; of none there is no row."""
        db.execute(f"DELETE FROM {self.name}_day WHERE bucket = ?", (day,))  # noqa: S608
        if rows:
            columns = [packed(column) for column in zip(*rows, strict=True)]
            places = ", ".join("?" * (len(columns) + 2))
            insert = f"INSERT INTO {self.name}_day VALUES ({places})"  # noqa: S608
            db.execute(insert, (day, len(rows), *columns))


Place = tuple[int, int, int | None, int | None]
"""Quarter-hour, key, experiment and batch: the finest that anybody asks for."""
Groups = Mapping[Place, Sequence[int]]


@dataclass(frozen=True)
class Family:
    """The same sums in all, by experiment, and by batch; what has none of these is only in all.

    Many experiments or batches make only those questions slower that ask for them.
    """

    name: str
    key: str
    sums: tuple[str, ...]
    has_fresh: bool = False
    """Whether some of them are not in the tables yet; see `fresh_sums`."""

    @cached_property
    def total(self) -> Buckets:
        return Buckets(self.name, (self.key,), self.sums, ("quarter", "hour", "day"))

    @cached_property
    def experiment(self) -> Buckets:
        keys = ("experiment", self.key)
        return Buckets(f"{self.name}_experiment", keys, self.sums, ("quarter", "day"))

    @cached_property
    def experiments(self) -> Packed:
        """Days by experiment and nothing else."""
        source = f"{self.name}_experiment"
        return Packed(f"{self.name}_experiments", source, "experiment", self.sums)

    @cached_property
    def batch(self) -> Buckets:
        return Buckets(f"{self.name}_batch", ("batch", self.key), self.sums)

    @property
    def fresh(self) -> str:
        """The table of what is in none of these yet."""
        return f"{self.name}_fresh"

    @property
    def buckets(self) -> tuple[Buckets | Packed, ...]:
        return self.total, self.experiment, self.experiments, self.batch

    @property
    def schema(self) -> str:
        tables = "".join(each.schema for each in self.buckets)
        return f"{tables}CREATE INDEX {self.name}_of_batch ON {self.name}_batch_quarter (batch);\n"

    def add(self, book: Book, groups: Groups) -> None:
        self.spread(book, groups)
        book.touch(bucket for bucket, *_ in groups)

    def spread(self, book: Book, groups: Groups) -> None:
        """The same for what is known to have happened already."""
        totals: dict[tuple[int, ...], Sequence[int]] = {}
        experiments: dict[tuple[int, ...], Sequence[int]] = {}
        batches: dict[tuple[int, ...], Sequence[int]] = {}
        for (bucket, key, experiment, batch), sums in groups.items():
            collect(totals, (bucket, key), sums)
            if experiment is not None:
                collect(experiments, (bucket, experiment, key), sums)
            if batch is not None:
                collect(batches, (bucket, batch, key), sums)
        self.total.add(book, totals)
        self.experiment.add(book, experiments)
        self.batch.add(book, batches)


K = TypeVar("K", bound=Hashable)


def collect(rows: dict[K, Sequence[int]], key: K, sums: Sequence[int]) -> None:
    """Adds sums to those of the key."""
    known = rows.get(key)
    rows[key] = sums if known is None else [*map(add, known, sums)]


class Piece(NamedTuple):
    """Whole buckets `low ≤ bucket < high` of a tier."""

    tier: Tier
    low: int
    high: int


@lru_cache(maxsize=_DAYS_KEPT)
def quarters_of(tier: Tier, day: int, zone: ZoneInfo) -> tuple[int, int]:
    """The quarter-hours of a day, of UTC for hours and of the zone for days."""
    if tier == "hour":
        return day * QUARTERS_A_DAY, (day + 1) * QUARTERS_A_DAY
    first, end = (civil.day_start(day_named(each), zone) for each in (day, day + 1))
    return first, end


@lru_cache(maxsize=_DAYS_KEPT)
def _day_of(quarter: int, zone: ZoneInfo) -> int:
    return day_number(civil.day_of(quarter, zone))


def cover(
    first: int, end: int, tiers: Sequence[Tier], stale: Mapping[str, Set[int]], zone: ZoneInfo
) -> list[Piece]:
    """The fewest buckets that make up the quarter-hours from `first` on and before `end`."""
    if "day" not in tiers:
        return _joined(_by_hours(first, end, tiers, stale["hour"]))
    pieces: list[Piece] = []
    stale_days = stale["day"]
    day, at = _day_of(first, zone), first
    while at < end:
        low = day
        while at < end:
            begin, after = quarters_of("day", day, zone)
            if begin < first or after > end or day in stale_days:
                break
            day, at = day + 1, max(at, after)
        if low < day:
            pieces.append(Piece("day", low, day))
        if at < end:
            pieces += _by_hours(at, min(after, end), tiers, stale["hour"])
            day, at = day + 1, max(at, after)
    return _joined(pieces) if len(pieces) > 1 else pieces


def _by_hours(first: int, end: int, tiers: Sequence[Tier], stale: Set[int]) -> list[Piece]:
    low, high = -(-first // QUARTERS_AN_HOUR), end // QUARTERS_AN_HOUR
    if "hour" not in tiers or low >= high:
        return [Piece("quarter", first, end)]
    pieces = [Piece("quarter", first, low * QUARTERS_AN_HOUR)]
    for hour in range(low, high):
        if hour // 24 in stale:
            pieces.append(Piece("quarter", hour * QUARTERS_AN_HOUR, (hour + 1) * QUARTERS_AN_HOUR))
        else:
            pieces.append(Piece("hour", hour, hour + 1))
    return [*pieces, Piece("quarter", high * QUARTERS_AN_HOUR, end)]


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Adjacent pieces of one tier as one, empty ones left out."""
    joined: list[Piece] = []
    for tier, some in groupby((each for each in pieces if each.low < each.high), lambda p: p.tier):
        last: Piece | None = None
        for each in some:
            if last is not None and each.low == last.high:
                last = Piece(tier, last.low, each.high)
                joined[-1] = last
            else:
                last = each
                joined.append(each)
    return joined
