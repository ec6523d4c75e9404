"""The log: every event once, in the order in which it was acknowledged.

All functions take a connection that is inside a transaction (for writing) or at rest (for
reading), and know nothing of sockets, threads or clocks.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

import apsw

from personad.contract.base import MAX_EVENT_BYTES, Event
from personad.contract.events import AnyEvent, Recorded
from personad.kinds import CODE_OF, KINDS, body_of, event_of, microseconds, moment_of

SCHEMA = """
CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  kind INTEGER NOT NULL,
  at INTEGER NOT NULL,             -- microseconds since 1970, by the producer's clock
  recorded_at INTEGER NOT NULL,    -- microseconds since 1970, by the daemon's clock
  batch INTEGER REFERENCES batch_key (key),
  body BLOB NOT NULL
) STRICT;

-- Batches by a small number, so that an event needn't carry a long name twice.
CREATE TABLE batch_key (
  key INTEGER PRIMARY KEY,
  batch TEXT NOT NULL UNIQUE,
  first_seq INTEGER NOT NULL
) STRICT;

-- What was kept, but fits nowhere: it is folded into nothing.
CREATE TABLE anomaly (
  seq INTEGER PRIMARY KEY REFERENCES event (seq),
  reason TEXT NOT NULL
) STRICT;
"""

_INSERT = (
    "INSERT INTO event (seq, id, kind, at, recorded_at, batch, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_KNOWN = "SELECT 1 FROM event WHERE id = ?"
_FEW = 32
_ASKED = 256
_KNOWN_OF = f"SELECT id FROM event WHERE id IN ({', '.join('?' * _ASKED)})"  # noqa: S608 - places
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
_KEY_OF = "SELECT key FROM batch_key WHERE batch = ?"
_NEW_KEY = "INSERT INTO batch_key (batch, first_seq) VALUES (?, ?) RETURNING key"
_ADD_ANOMALY = "INSERT INTO anomaly (seq, reason) VALUES (?, ?)"
_COUNT_ANOMALIES = "SELECT count(*) FROM anomaly"

_COLUMNS = "event.seq, event.id, event.kind, event.recorded_at, event.body, anomaly.reason"
_READ = f"""
SELECT {_COLUMNS} FROM event LEFT JOIN anomaly USING (seq)
WHERE event.seq > :after ORDER BY event.seq LIMIT :limit
"""  # noqa: S608 - columns are a constant of ours
_READ_SOME = f"""
SELECT {_COLUMNS} FROM event LEFT JOIN anomaly USING (seq)
WHERE event.seq > max(:after, :first - 1)
  AND (:batch IS NULL OR event.batch = :batch)
  AND (:kinds IS NULL OR event.kind IN (SELECT value FROM json_each(:kinds)))
ORDER BY event.seq LIMIT :limit
"""  # noqa: S608 - columns are a constant of ours
_HAS_BATCH = "SELECT 1 FROM batch_key WHERE batch = ?"
_BATCH = "SELECT key, first_seq FROM batch_key WHERE batch = ?"


def last_seq(db: apsw.Connection) -> int:
    """The highest seq ever given; it outlives the rows that retention drops."""
    row = db.execute(_LAST).fetchone()
    return int(row[0]) if row else 0


def knows(db: apsw.Connection, event_id: UUID) -> bool:
    """Whether an event of this id was acknowledged before."""
    return db.execute(_KNOWN, (event_id.bytes,)).fetchone() is not None


def _known_of(db: apsw.Connection, ids: Sequence[bytes]) -> set[bytes]:
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


class TooLarge(Exception):
    """An event that no reply could carry."""

    def __init__(self, index: int, size_bytes: int) -> None:
        super().__init__(f"an event of {size_bytes:,} bytes is over {MAX_EVENT_BYTES:,} bytes")
        self.index = index


def insert(
    db: apsw.Connection, events: Sequence[AnyEvent], *, after: int, now: datetime
) -> list[Recorded]:
    """Adds the events that aren't there yet, as `after + 1` and on; what was there is left out.

    The first of several with one id counts, whether they come together or years apart.

    Raises:
        TooLarge: nothing was added.
    """
    bodies = [body_of(event) for event in events]
    for index, body in enumerate(bodies):
        if len(body) > MAX_EVENT_BYTES:
            raise TooLarge(index, len(body))
    recorded: list[Recorded] = []
    rows = []
    recorded_at = microseconds(now)
    keys: dict[str, int] = {}
    seen = _known_of(db, [event.id.bytes for event in events])
    seq = after
    for event, body in zip(events, bodies, strict=True):
        event_id = event.id.bytes
        if event_id in seen:
            continue
        seen.add(event_id)
        seq += 1
        rows.append(
            (
                seq,
                event_id,
                CODE_OF[type(event)],
                microseconds(event.at),
                recorded_at,
                _key_of_batch(db, event, seq, keys),
                body,
            )
        )
        recorded.append(Recorded(seq=seq, recorded_at=now, event=event))
    db.executemany(_INSERT, rows)
    return recorded


def _key_of_batch(db: apsw.Connection, event: Event, seq: int, keys: dict[str, int]) -> int | None:
    batch: str | None = getattr(event, "batch", None)
    if batch is None:
        return None
    key = keys.get(batch)
    if key is None:
        row = db.execute(_KEY_OF, (batch,)).fetchone()
        if row is None:
            row = db.execute(_NEW_KEY, (batch, seq)).fetchone()
        key = keys[batch] = int(row[0])  # type: ignore[index]
    return key


def mark(db: apsw.Connection, anomalies: Sequence[tuple[int, str]]) -> None:
    """Says of events, by seq, why they were not folded."""
    db.executemany(_ADD_ANOMALY, anomalies)


def count_anomalies(db: apsw.Connection) -> int:
    return int(db.execute(_COUNT_ANOMALIES).get)


def has_batch(db: apsw.Connection, batch: str) -> bool:
    """Whether any event is of this batch, be it one that fits nowhere."""
    return db.execute(_HAS_BATCH, (batch,)).fetchone() is not None


def read(
    db: apsw.Connection,
    *,
    after: int = 0,
    kinds: Sequence[str] = (),
    batch: str | None = None,
    limit: int = 1_000,
) -> Iterator[Recorded]:
    """Events past `after`, in order.

    Raises:
        KeyError: a kind, or a batch, that this ledger has never seen.
    """
    if not kinds and batch is None:
        rows = db.execute(_READ, {"after": after, "limit": limit})
    else:
        key = first = None
        if batch is not None:
            found = db.execute(_BATCH, (batch,)).fetchone()
            if found is None:
                raise KeyError(batch)
            key, first = found
        codes = ",".join(str(KINDS[kind]) for kind in kinds)
        rows = db.execute(
            _READ_SOME,
            {
                "after": after,
                "first": first or 1,
                "batch": key,
                "kinds": f"[{codes}]" if kinds else None,
                "limit": limit,
            },
        )
    for seq, event_id, code, recorded_at, body, reason in rows:
        yield Recorded(
            seq=seq,
            recorded_at=moment_of(recorded_at),
            event=event_of(code, event_id, body),
            anomaly=reason,
        )
