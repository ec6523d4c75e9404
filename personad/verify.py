"""Whether the ledger is what it ought to be: the file whole, the numbers without gaps, and every
table equal to a fresh fold of the log."""

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import apsw
from msgspec import Struct

from personad import log, verify_places
from personad.halves import FROM_EVENTS, to_the_end
from personad.kinds import KINDS, RAW_KINDS
from personad.mark import Mark, read_mark
from personad.projections import (
    BUCKETS,
    PROJECTIONS,
    call_places,
    counted,
    fresh_sums,
    persona_costs,
    sketches,
)
from personad.projections.book import stale_days
from personad.projections.buckets import quarters_of
from personad.projections.cost_sums import BY_TABLE, COST
from personad.quarantine import pruned_before
from personad.refold import CHUNK_EVENTS, Refold, horizon_us, is_kept, refold
from personad.sketch import update
from personad.store import ledger_id
from personad.tidy import TIERS, summed_days

_GAPS = """
SELECT count(*), min(seq), max(seq) FROM event
WHERE seq > coalesce((SELECT max(seq) FROM dropped), 0)
"""
# What the daemon itself says happens as it is recorded, and is never too late.
_TAKEN_TOO_LATE = """
SELECT min(seq) FROM event WHERE at < ? AND delay <> 0 AND kind IN (SELECT value FROM json_each(?))
  AND seq > (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'pruned_since_seq')
"""
_HAS_DROPPED = "SELECT coalesce(max(seq), 0) FROM dropped"
_FRESH = f"""
SELECT bucket, series, kind, added, removed
FROM {sketches.FRESH} AS fresh JOIN series ON series.key = fresh.series
WHERE bucket >= ?
"""  # noqa: S608 - a constant of ours
_TOLD_BYTES = 64
_COMMITS = ("previous_seq",)
"""Columns that tell how events were cut into commits, which the log doesn't."""


class Damage(Struct, frozen=True):
    """The first thing that is not as it ought to be."""

    what: str
    message: str


class Verified(Struct, frozen=True, kw_only=True):
    events: int
    tables: int
    rows: int
    damage: Damage | None


def verify(
    db: apsw.Connection, folder: Path, zone: ZoneInfo, progress: Callable[[str, int, int], None]
) -> Verified:
    """Looks at everything; stops at the first damage.

    Args:
        db: a reader of the ledger.
        folder: where a file as large as the ledger's tables may lie meanwhile.
        progress: told what is looked at, how far it is, and how far it goes.
    """
    while True:
        dropped = log.count_dropped(db)
        found = _look(db, folder, zone, progress)
        # Where events went while they were folded, what differs may be due to that alone.
        if found.damage is None or dropped == log.count_dropped(db):
            return found


def _look(
    db: apsw.Connection, folder: Path, zone: ZoneInfo, progress: Callable[[str, int, int], None]
) -> Verified:
    last = int(db.execute("SELECT coalesce(max(seq), 0) FROM event").get)
    # Before anything is read, as a daemon goes on writing both.
    mark = read_mark(Path(db.filename))
    progress("file", 0, 1)
    if damage := _file(db):
        return Verified(events=0, tables=0, rows=0, damage=damage)
    with refold(db, folder, zone) as fresh:
        try:
            to_the_end(fresh, lambda seq: progress("fold", seq, max(last, seq)))
        except (ValueError, KeyError, TypeError) as error:
            last = fresh.seq + CHUNK_EVENTS
            what = f"an event between {fresh.seq + 1} and {last} can't be read: {error}"
            return Verified(events=fresh.seq, tables=0, rows=0, damage=Damage("event", what))
        noted = verify_places.look_through(db, fresh.db, 0)
        # From here on the ledger stands still for this reader.
        db.execute("BEGIN")
        try:
            while fresh.advance():
                pass
            verify_places.look_through(db, fresh.db, noted)
            return _compare(fresh, mark, progress)
        finally:
            db.execute("ROLLBACK")


def _file(db: apsw.Connection) -> Damage | None:
    for (line,) in db.execute("PRAGMA integrity_check(1)"):
        if line != "ok":
            return Damage("file", str(line))
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
        return Damage(str(table), f"row {row} names a {parent} that there isn't")
    return None


def _compare(
    fresh: Refold, mark: Mark | None, progress: Callable[[str, int, int], None]
) -> Verified:
    live = fresh.live
    rows = done = 0
    damage = _ends_early(live, mark) or _sequence(live) or _anomalies(fresh)
    tables = [table for each in PROJECTIONS for table in each.TABLES]
    checks: list[Callable[[], tuple[int, Damage | None]]] = [
        *(lambda table=table: _table(fresh, table) for table in tables),
        lambda: _sketches(fresh),
        lambda: _places(fresh),
        *(lambda tier=tier: _tier(fresh, tier) for tier in TIERS),
    ]
    for check in checks:
        if damage:
            break
        count, damage = check()
        rows, done = rows + count, done + 1
        progress("tables", done, len(checks))
    return Verified(
        events=fresh.seq - fresh.dropped,
        tables=len(tables) + 1 + len(call_places.TABLES),
        rows=rows,
        damage=damage,
    )


def _ends_early(db: apsw.Connection, mark: Mark | None) -> Damage | None:
    found = log.last_seq(db)
    if mark is None or mark.ledger != ledger_id(db) or mark.last_seq <= found:
        return None
    message = f"the log ends at event {found}, and {mark.last_seq} were acknowledged"
    return Damage("event", message)


def _sequence(db: apsw.Connection) -> Damage | None:
    count, first, last = db.execute(_GAPS).fetchone() or (0, None, None)
    dropped = int(db.execute(_HAS_DROPPED).get)
    if count and (first != dropped + 1 or last - first + 1 != count):
        return Damage("event", f"of the events {dropped + 1} to {last} only {count} are there")
    raw = "[" + ",".join(str(KINDS[kind]) for kind in RAW_KINDS) + "]"
    late = db.execute(_TAKEN_TOO_LATE, (pruned_before(db), raw)).get
    if late is not None:
        message = f"event {late} is from before what retention had dropped, and was taken"
        return Damage("event", message)
    return None


def _anomalies(fresh: Refold) -> Damage | None:
    if horizon_us(fresh.live) is not None:
        return None  # What an event didn't fit, or what it fitted, may be gone.
    wrong = sorted(fresh.marked.keys() ^ fresh.misfits.keys())
    if not wrong:
        return None
    seq = wrong[0]
    if seq in fresh.marked:
        return Damage("anomaly", f"event {seq} is marked ({fresh.marked[seq]}), and fits")
    return Damage("anomaly", f"event {seq} is not marked, and doesn't fit: {fresh.misfits[seq]}")


def _columns(db: apsw.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")]


def _rows(
    db: apsw.Connection, table: str, kept: str | None, horizon: int | None
) -> Iterator[tuple[Any, ...]]:
    columns = ", ".join(f'"{each}"' for each in _columns(db, table) if each not in _COMMITS)
    where = f"WHERE NOT ({kept})" if kept is not None and horizon is not None else ""
    key = ", ".join(
        f'"{row[1]}"'
        for row in sorted(db.execute(f"PRAGMA table_info({table})"), key=lambda row: row[5])
        if row[5]
    )
    values = (horizon,) if where else ()
    if table == "persona_cost":
        yield from persona_costs.rows(db, where, values)
        return
    if table in BY_TABLE:
        yield from fresh_sums.whole_rows(db, COST, BY_TABLE[table], where, values)
        return
    source = counted.ALL if table == "call" else table
    sql = f"SELECT {columns} FROM {source} {where} ORDER BY {key}"  # noqa: S608 - names of ours
    yield from db.execute(sql, values)


def _table(fresh: Refold, table: str) -> tuple[int, Damage | None]:
    horizon = horizon_us(fresh.live)
    kept = is_kept(_columns(fresh.live, table), table)
    there = _rows(fresh.live, table, kept, horizon)
    wanted = _rows(fresh.db, table, kept, horizon)
    return _first_difference(table, there, wanted)


def _first_difference(
    table: str, there: Iterator[tuple[Any, ...]], wanted: Iterator[tuple[Any, ...]]
) -> tuple[int, Damage | None]:
    count = 0
    for found, ought in zip_longest(there, wanted):
        if found != ought:
            if found is None:
                return count, Damage(table, f"the row {_short(ought)} is missing")
            if ought is None:
                return count, Damage(table, f"the row {_short(found)} follows from no event")
            told = f"a row is {_short(found)}, and ought to be {_short(ought)}"
            return count, Damage(table, told)
        count += 1
    return count, None


def _short(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """For people: of a day's ten thousand experiments, not each."""
    return tuple(
        f"{len(each):,} bytes" if isinstance(each, bytes) and len(each) > _TOLD_BYTES else each
        for each in row
    )


def _sketches(fresh: Refold) -> tuple[int, Damage | None]:
    horizon = horizon_us(fresh.live)
    with fresh.db:
        fresh_sums.work_in(fresh.book, COST)
        while sketches.work_in(fresh.db, 10_000):
            pass
    late: dict[tuple[int, int, str], tuple[bytes, bytes]] = {}
    first = -(2**62) if horizon is None else horizon // 900_000_000
    for bucket, series, kind, added, removed in fresh.live.execute(_FRESH, (first,)):
        known = late.get((bucket, series, kind), (b"", b""))
        late[bucket, series, kind] = known[0] + added, known[1] + removed
    kept = is_kept(("bucket",), "sketch_quarter")
    if late:
        there = {
            (bucket, series): data
            for bucket, series, data in _rows(fresh.live, "sketch_quarter", kept, horizon)
        }
        for (bucket, series, kind), (added, removed) in late.items():
            scale = sketches.SCALES[kind]
            values = sketches.values_of(added), sketches.values_of(removed)
            data = update(scale, there.pop((bucket, series), None), *values)
            if data != update(scale, None, ()):
                there[bucket, series] = data
        found: Iterator[tuple[Any, ...]] = iter(sorted((*key, data) for key, data in there.items()))
    else:
        found = _rows(fresh.live, "sketch_quarter", kept, horizon)
    return _first_difference(
        "sketch_quarter", found, _rows(fresh.db, "sketch_quarter", kept, horizon)
    )


def _places(fresh: Refold) -> tuple[int, Damage | None]:
    rows, wrong = verify_places.compare(fresh.live, fresh.db)
    return rows, Damage(*wrong) if wrong else None


def _tier(fresh: Refold, tier: Any) -> tuple[int, Damage | None]:
    """Whether the hours, or days, that are not stale are what their quarter-hours add up to."""
    live, book, count = fresh.live, fresh.book, 0
    together: sketches.Merge | None = None
    if fresh.seq >= FROM_EVENTS:
        # Here, as numpy takes a tenth of a second to load.
        from personad import sketch_groups

        together = sketch_groups.merged
    horizon = horizon_us(live)
    stale = stale_days(live, tier)
    days = sorted((book.stale[tier] | summed_days(live, tier)) - stale)
    for day in days:
        first, end = quarters_of(tier, day, book.zone)
        if horizon is not None and first * 900_000_000 < horizon:
            continue
        low, high = (first // 4, end // 4) if tier == "hour" else (day, day + 1)
        with fresh.db:
            for each in BUCKETS:
                each.refold(fresh.db, tier, day, book.zone)
            sketches.refold(fresh.db, tier, day, first, end, together)
        for table in (
            *(each.name for each in BUCKETS if tier in each.tiers),
            "sketch",
            "sketch_all",
        ):
            sql = f"SELECT * FROM {table}_{tier} WHERE bucket >= ? AND bucket < ?"  # noqa: S608
            rows, damage = _first_difference(
                f"{table}_{tier}",
                iter(list(live.execute(sql, (low, high)))),
                iter(list(fresh.db.execute(sql, (low, high)))),
            )
            count += rows
            if damage:
                return count, damage
    return count, None
