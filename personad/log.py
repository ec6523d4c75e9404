"""The log: every event once, in the order in which it was acknowledged.

All functions take a connection that is inside a transaction (for writing) or at rest (for
reading), and know nothing of sockets, threads or clocks.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

import apsw
import msgspec

from personad import bulk
from personad.contract.base import MAX_EVENT_BYTES
from personad.contract.cost import CostCorrected, CostRecorded
from personad.contract.events import AnyEvent, Recorded
from personad.kinds import (
    CODE_OF,
    EPOCH,
    KINDS,
    MICROSECOND,
    RAW_KINDS,
    Text,
    bodies_of,
    body_of,
    check_size,
    event_of,
    microseconds,
    moment_of,
    none_of,
)
from personad.names import Names, texts_of

_IS_KEPT = none_of(KINDS[kind] for kind in RAW_KINDS)
"""What retention never drops: few among millions. An index of the same condition finds them, so a
kind that joins or leaves the others needs a migration that makes it anew."""
KEPT_INDEX = f"CREATE INDEX event_kept ON event (kind, batch) WHERE {_IS_KEPT};"
SCHEMA = f"""
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  kind INTEGER NOT NULL,
  at INTEGER NOT NULL,             -- microseconds since 1970, by the producer's clock
  delay INTEGER NOT NULL,          -- microseconds from then until it was recorded, by the daemon's
  batch INTEGER REFERENCES batch_key (key),
  cost INTEGER,                    -- nano-dollars that a cost.recorded counts; NULL: unpriced
  price INTEGER REFERENCES price (key),  -- the receipt, where the daemon priced it
  body BLOB NOT NULL
) STRICT;
{KEPT_INDEX}

-- What was kept, but fits nowhere: it is folded into nothing.
CREATE TABLE anomaly (
  seq INTEGER PRIMARY KEY REFERENCES event (seq),
  reason TEXT NOT NULL
) STRICT;

-- One row: the highest seq that retention has dropped, so that none is given twice.
CREATE TABLE dropped (
  seq INTEGER NOT NULL
) STRICT;
"""

INTO = "event (seq, id, kind, at, delay, batch, cost, price, body)"
NEW_ONLY = "ON CONFLICT (id) DO NOTHING"
_INSERT_ONE = f"INSERT INTO {INTO} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) {NEW_ONLY}"  # noqa: S608
_TAKE_OUT = "DELETE FROM event WHERE seq > ?"
_KNOWN = "SELECT 1 FROM event WHERE id = ?"
_FEW = 32
_ASKED = 256
_KNOWN_OF = f"SELECT id FROM event WHERE id IN ({', '.join('?' * _ASKED)})"  # noqa: S608 - places
LAST = "SELECT max(coalesce((SELECT max(seq) FROM event), 0), coalesce(max(seq), 0)) FROM dropped"
"""The highest seq ever given."""
_ADD_ANOMALY = "INSERT INTO anomaly (seq, reason) VALUES (?, ?)"
_COUNT_DROPPED = "SELECT value FROM meta WHERE name = 'events_dropped'"
# The bounds each by itself: of two in one query SQLite finds neither at an end of the table.
_IS_LATE = """coalesce((
    SELECT at + delay FROM event WHERE seq >= (low + high) / 2 ORDER BY seq LIMIT 1
  ) >= :wanted, TRUE)"""
_RECORDED_FROM = f"""
WITH RECURSIVE half (low, high) AS (
  SELECT coalesce((SELECT min(seq) FROM event), 1), coalesce((SELECT max(seq) FROM event), 0)
  UNION ALL
  SELECT iif({_IS_LATE}, low, (low + high) / 2 + 1), iif({_IS_LATE}, (low + high) / 2, high)
  FROM half WHERE low < high
)
SELECT low FROM half WHERE low >= high
"""  # noqa: S608 - a condition of ours
_RECORDED_AT = "SELECT seq, at + delay FROM event WHERE seq >= ? ORDER BY seq LIMIT 1"
_RECORDED_BEFORE = "SELECT at + delay FROM event WHERE seq < ? ORDER BY seq DESC LIMIT 1"
_AHEAD_US = 86_400_000_000
"""A producer's clock may be so far ahead of the daemon's, and no further."""
_COUNT_ANOMALIES = "SELECT count(*) FROM anomaly"

_COLUMNS = """event.seq, event.id, event.kind, event.at, event.delay, event.cost, prices,
  event.body, reason"""
_FROM = """event LEFT JOIN anomaly USING (seq) LEFT JOIN price ON price.key = event.price"""
_READ = f"""
SELECT {_COLUMNS} FROM {_FROM}
WHERE event.seq > :after ORDER BY event.seq LIMIT :limit
"""  # noqa: S608 - columns are a constant of ours
_READ_SOME = f"""
SELECT {_COLUMNS} FROM {_FROM}
WHERE event.seq > max(:after, :first - 1)
  AND (:batch IS NULL OR event.batch = :batch)
  AND (:kinds IS NULL OR event.kind IN (SELECT value FROM json_each(:kinds)))
ORDER BY event.seq LIMIT :limit
"""  # noqa: S608 - columns are a constant of ours
_READ_KEPT = f"""
SELECT {_COLUMNS} FROM {_FROM}
WHERE {_IS_KEPT} AND event.kind IN (SELECT value FROM json_each(:kinds))
  AND event.seq > :after ORDER BY event.seq LIMIT :limit
"""  # noqa: S608 - columns and codes are constants of ours
_READ_KEPT_OF_BATCH = _READ_KEPT.replace("ORDER BY", "AND event.batch = :batch ORDER BY")
_ENTRIES = """
SELECT seq, at, kind, id, cost, body FROM event LEFT JOIN anomaly USING (seq)
WHERE seq > ? AND reason IS NULL ORDER BY seq LIMIT ?
"""
_ENTRY = "SELECT seq, at, kind, id, cost, body FROM event WHERE seq = ?"
_HAS_BATCH = "SELECT 1 FROM batch_key WHERE batch = ?"
_BATCH = "SELECT key, first_seq FROM batch_key WHERE batch = ?"

COST_END = 2**63 - 1
"""The most that a row can hold, in nano-dollars; it is far too large to be folded."""
Entry = tuple[int, int, AnyEvent, int | None]
"""What a fold sees of an event: its seq, its time in microseconds, itself, and what it cost in
nano-dollars, by its own word or at the prices of its time (of a `cost.recorded`; else None)."""
Priced = Callable[[CostRecorded | CostCorrected], tuple[int | None, int | None]]
"""What a call costs whose event doesn't say it, and the number of its unit prices; of a correction
only these."""


def last_seq(db: apsw.Connection) -> int:
    """The highest seq ever given; it outlives the rows that retention drops."""
    return int(db.execute(LAST).get)


def knows(db: apsw.Connection, event_id: UUID) -> bool:
    """Whether an event of this id was acknowledged before."""
    return db.execute(_KNOWN, (event_id.bytes,)).fetchone() is not None


def known_of(db: apsw.Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Those of the ids that were acknowledged before; many asked together, in a quarter of the
    time."""
    if len(ids) < _FEW:
        return {each for each in ids if db.execute(_KNOWN, (each,)).fetchone()}
    found: set[bytes] = set()
    for start in range(0, len(ids), _ASKED):
        part = ids[start : start + _ASKED]
        # One statement of one length, so that it is prepared once; no id is empty.
        places = (*part, *[b""] * (_ASKED - len(part)))
        found.update(event_id for (event_id,) in db.execute(_KNOWN_OF, places))
    return found


def insert(
    db: apsw.Connection,
    names: Names,
    events: Sequence[AnyEvent],
    *,
    after: int,
    now: datetime,
    priced: Priced,
) -> list[Entry]:
    """Adds the events that aren't there yet, as `after + 1` and on. The first of several with one
    id counts, whether they come together or years apart.

    Raises:
        TooLarge: nothing was added.
    """
    if len(events) == 1:
        return _insert_one(db, names, events[0], after + 1, now, priced)
    new = insert_new(db, names, events, after=after, now=now, priced=priced)
    if new is not None:
        return new
    seen = known_of(db, [event.id.bytes for event in events])
    fresh = []
    for event in events:
        if event.id.bytes not in seen:
            seen.add(event.id.bytes)
            fresh.append(event)
    rows, entries = _rows(names, fresh, _bodies(names, fresh), after, now, priced)
    bulk.insert(db, INTO, 9, NEW_ONLY, rows)
    return entries


def _insert_one(
    db: apsw.Connection, names: Names, event: AnyEvent, seq: int, now: datetime, priced: Priced
) -> list[Entry]:
    body = body_of(event, names.word)
    check_size(body, 0)
    at = microseconds(event.at)
    batch: str | None = getattr(event, "batch", None)
    key = None if batch is None else names.batch(batch, seq)
    cost, price = event.cost_nanousd if type(event) is CostRecorded else None, None
    if cost is None:
        (cost,), (price,) = _costs((event,), priced)
    delay = microseconds(now) - at
    row = (seq, event.id.bytes, CODE_OF[type(event)], at, delay, key, cost, price, body)
    db.execute(_INSERT_ONE, row)
    return [(seq, at, event, cost)] if db.changes() else []


def insert_new(
    db: apsw.Connection,
    names: Names,
    events: Sequence[AnyEvent],
    *,
    after: int,
    now: datetime,
    priced: Priced,
) -> list[Entry] | None:
    """The same where all of them are new, as they nearly always are; None, with nothing added,
    where one isn't, which the unique index says for nothing.

    Raises:
        TooLarge: nothing was added.
    """
    bodies = _bodies(names, events)
    newest_batch = names.newest_batch()
    rows, entries = _rows(names, events, bodies, after, now, priced)
    before = db.total_changes()
    bulk.insert(db, INTO, 9, NEW_ONLY, rows)
    if db.total_changes() - before < len(events):
        take_out(db, names, after, newest_batch)
        return None
    return entries


def take_out(db: apsw.Connection, names: Names, after: int, newest_batch: int) -> None:
    """Takes out again what was added past `after`, and the batches that got a number with it: for
    a savepoint SQLite would remember each page, which takes a twentieth of every commit."""
    db.execute(_TAKE_OUT, (after,))
    names.take_out_batches(newest_batch)


def _bodies(names: Names, events: Sequence[AnyEvent]) -> list[bytes]:
    bodies = bodies_of(events, names.word)
    if max(map(len, bodies), default=0) > MAX_EVENT_BYTES:
        for index, body in enumerate(bodies):
            check_size(body, index)
    return bodies


def _rows(
    names: Names,
    events: Sequence[AnyEvent],
    bodies: Sequence[bytes],
    after: int,
    now: datetime,
    priced: Priced,
) -> tuple[list[bulk.Value], list[Entry]]:
    """The rows' values, one row after the other, and what folds see of them; made column by column,
    which takes two thirds of the time."""
    recorded_at = microseconds(now)
    seqs = range(after + 1, after + 1 + len(events))
    # What `microseconds` and `UUID.bytes` do, without the calls.
    ats = [(event.at - EPOCH) // MICROSECOND for event in events]
    ids = [event.id.int.to_bytes(16, "big") for event in events]
    known = names.batches
    named: list[str | None] = [getattr(event, "batch", None) for event in events]
    batches = [
        None if batch is None else known.get(batch) or names.batch(batch, seq)
        for batch, seq in zip(named, seqs, strict=True)
    ]
    codes = [CODE_OF[kind] for kind in map(type, events)]
    delays = [recorded_at - at for at in ats]
    costs, prices = _costs(events, priced)
    rows = zip(seqs, ids, codes, ats, delays, batches, costs, prices, bodies, strict=True)
    return [*chain.from_iterable(rows)], [*zip(seqs, ats, events, costs, strict=True)]


def _costs(events: Sequence[AnyEvent], priced: Priced) -> tuple[list[int | None], list[int | None]]:
    """What each event's call cost, and the number of its receipt."""
    costs = [event.cost_nanousd if type(event) is CostRecorded else None for event in events]
    prices: list[int | None] = [None] * len(events)
    if None in costs:
        for place, event in enumerate(events):
            if type(event) is CostRecorded:
                # One whose answer never came counts at what is reserved for it.
                if costs[place] is None and event.outcome != "unknown":
                    cost, prices[place] = priced(event)
                    costs[place] = COST_END if cost is not None and cost > COST_END else cost
            elif type(event) is CostCorrected:
                _, prices[place] = priced(event)
    return costs, prices


def mark(db: apsw.Connection, anomalies: Sequence[tuple[int, str]]) -> None:
    """Says of events, by seq, why they were not folded."""
    db.executemany(_ADD_ANOMALY, anomalies)


def first_seq(db: apsw.Connection, since_us: int) -> int:
    """Where what happened from then on can begin: by halving, as the daemon's times ascend."""
    return _recorded_from(db, since_us - _AHEAD_US)


def _recorded_from(db: apsw.Connection, wanted: int) -> int:
    """The first event that was recorded then or later; the last one, where none was."""
    return int(db.execute(_RECORDED_FROM, {"wanted": wanted}).get)


def first_recorded_at(db: apsw.Connection, since_us: int) -> int | None:
    """When the first event from then on was recorded; None: there is none."""
    row = db.execute(_RECORDED_AT, (_recorded_from(db, since_us),)).fetchone()
    return int(row[1]) if row is not None and row[1] >= since_us else None


def recorded_at_by(db: apsw.Connection, until_us: int) -> int | None:
    """When the last event until then was recorded; None: there is none."""
    seq = _recorded_from(db, until_us + 1)
    for found in (
        db.execute(_RECORDED_AT, (seq,)).fetchone(),
        (seq, db.execute(_RECORDED_BEFORE, (seq,)).get),
    ):
        if found is not None and found[1] is not None and found[1] <= until_us:
            return int(found[1])
    return None


def count_anomalies(db: apsw.Connection) -> int:
    return int(db.execute(_COUNT_ANOMALIES).get)


def count_dropped(db: apsw.Connection) -> int:
    """How many events retention has dropped, ever."""
    row = db.execute(_COUNT_DROPPED).fetchone()
    return int(row[0]) if row else 0


def has_batch(db: apsw.Connection, batch: str) -> bool:
    """Whether any event is of this batch, be it one that fits nowhere."""
    return db.execute(_HAS_BATCH, (batch,)).fetchone() is not None


def entries(db: apsw.Connection, *, after: int, limit: int) -> list[Entry]:
    """What is to be folded past `after`, in order: everything but the anomalies."""
    text = texts_of(db).text
    return [_entry(row, text) for row in db.execute(_ENTRIES, (after, limit))]


def entry(db: apsw.Connection, seq: int) -> Entry | None:
    """One event; None where retention has dropped it."""
    row = db.execute(_ENTRY, (seq,)).fetchone()
    return _entry(row, texts_of(db).text) if row else None


def _entry(row: Sequence[Any], text: Text) -> Entry:
    seq, at, code, event_id, cost, body = row
    return seq, at, event_of(code, event_id, at, body, text), cost


def read(
    db: apsw.Connection,
    *,
    after: int = 0,
    kinds: Sequence[str] = (),
    batch: str | None = None,
    limit: int = 1_000,
) -> Iterator[Recorded]:
    """Events past `after`, in order.

    Raises KeyError for a kind, or a batch, that this ledger has never seen.
    """
    key = first = None
    if batch is not None:
        found = db.execute(_BATCH, (batch,)).fetchone()
        if found is None:
            raise KeyError(batch)
        key, first = found
    codes = ",".join(str(KINDS[kind]) for kind in kinds)
    asked = {
        "after": after,
        "first": first or 1,
        "batch": key,
        "kinds": f"[{codes}]" if kinds else None,
        "limit": limit,
    }
    if not kinds and batch is None:
        sql = _READ
    elif kinds and RAW_KINDS.isdisjoint(kinds):
        sql = _READ_KEPT if batch is None else _READ_KEPT_OF_BATCH
    else:
        sql = _READ_SOME
    rows = db.execute(sql, asked)
    text = texts_of(db).text
    for seq, event_id, code, at, delay, cost, prices, body, reason in rows:
        yield Recorded(
            seq=seq,
            recorded_at=moment_of(at + delay),
            event=event_of(code, event_id, at, body, text),
            anomaly=reason,
            cost_nanousd=cost,
            receipt=msgspec.json.decode(prices) if prices else None,
        )
