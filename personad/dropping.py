"""Which events retention drops, and one slice of it at a time.

An old event stays for now where something young follows from it: while its call is open, while its
batch began after the mark, and all of a call that was corrected until what counts of it is old.
"""

import time
from datetime import timedelta
from typing import Any

import apsw
from msgspec import Struct

from personad import log
from personad.kinds import KINDS, RAW_KINDS, event_of
from personad.names import texts_of
from personad.projections import call_places
from personad.projections.book import Book
from personad.refold import GRACE

ROW_BYTES = 64
"""About what an event takes beside its body."""
DAY_US = GRACE // timedelta(microseconds=1)
_CODES = ", ".join(str(KINDS[kind]) for kind in sorted(RAW_KINDS))
_CALLS = frozenset(
    KINDS[kind] for kind in ("call.started", "call.abandoned", "cost.recorded", "cost.corrected")
)
_COUNTED = frozenset((KINDS["cost.recorded"], KINDS["call.started"]))
_RECORDED, _CORRECTED = KINDS["cost.recorded"], KINDS["cost.corrected"]
_OLD = f"""
at < :horizon AND kind IN ({_CODES}) AND NOT EXISTS (
  SELECT 1 FROM batch_key JOIN batch USING (batch)
  WHERE key = event.batch AND started_at >= :horizon + {DAY_US})
"""  # noqa: S608 - constants of ours
_CANDIDATES = f"""
SELECT seq, kind, id, at, body FROM event
WHERE seq > :after AND seq <= :end AND {_OLD} ORDER BY seq LIMIT :limit
"""  # noqa: S608 - constants of ours
_IS_OLD = f"SELECT 1 FROM event WHERE seq = :seq AND {_OLD}"  # noqa: S608 - constants of ours
_OPEN_CALL = "SELECT 1 FROM open_call WHERE call = ?"
_COUNTED_OF = "SELECT seq, corrected FROM call WHERE call = ?"
_DROP_EVENT = "DELETE FROM event WHERE seq = ?"
_DROP_ANOMALY = "DELETE FROM anomaly WHERE seq = ?"
_DROP_CALL = "DELETE FROM call WHERE call = ? AND seq = ?"
_DROPPED = "SELECT max(seq) FROM dropped"
_FIRST_DROPPED = "INSERT INTO dropped (seq) VALUES (?)"
_MORE_DROPPED = "UPDATE dropped SET seq = ?"
_COUNT_DROPPED = "INSERT OR REPLACE INTO meta (name, value) VALUES ('events_dropped', ?)"


class Found(Struct, frozen=True):
    """An event that is to be dropped."""

    seq: int
    kind: int
    at: int
    size_bytes: int
    call: str | None
    placed: call_places.Call | None
    """What may be noted of it, where it is a call's cost."""


class Block(Struct, frozen=True):
    """Numbers `after < seq ≤ end` among which there is something to drop."""

    after: int
    end: int


def droppable(
    db: apsw.Connection, block: Block, horizon: int, limit: int
) -> tuple[list[Found], int]:
    """What is to be dropped among the first so many old events of a block; how far that goes."""
    values = {"after": block.after, "end": block.end, "horizon": horizon, "limit": limit}
    rows: list[Any] = db.execute(_CANDIDATES, values).fetchall()
    text = texts_of(db).text
    found = []
    for seq, kind, event_id, at, body in rows:
        call = None
        if kind in _CALLS:
            call = str(event_of(kind, event_id, at, body, text).call)  # type: ignore[union-attr]
            if _is_needed(db, seq, call, horizon):
                continue
        placed = call_places.call_of(seq, at, body) if kind == _RECORDED else None
        found.append(Found(seq, kind, at, len(body) + ROW_BYTES, call, placed))
    return found, rows[-1][0] if len(rows) == limit else block.end


def _is_needed(db: apsw.Connection, seq: int, call: str, horizon: int) -> bool:
    """Whether something that stays follows from this event of a call."""
    if db.execute(_OPEN_CALL, (call,)).fetchone():
        return True
    counted, corrected = db.execute(_COUNTED_OF, (call,)).fetchone() or (seq, None)
    if corrected is None or counted == seq:
        return False
    # Of a corrected call what counts goes first: a correction finds nothing where only the figure
    # is gone that it came after.
    goes = counted < seq and db.execute(_IS_OLD, {"seq": counted, "horizon": horizon}).get
    return not goes


def drop(book: Book, block: Block, horizon: int, most: int) -> tuple[list[Found], int, float]:
    """One slice: what it dropped, how far it came, the seconds it took."""
    began, db = time.monotonic(), book.db
    found, after = droppable(db, block, horizon, most)
    if found:
        seqs = [(each.seq,) for each in found]
        with db:
            book.counted.work_in()
            db.executemany(_DROP_EVENT, seqs)
            db.executemany(_DROP_ANOMALY, seqs)
            counted = [(each.call, each.seq) for each in found if each.kind in _COUNTED]
            db.executemany(_DROP_CALL, counted)
            placed = [each.placed for each in found if each.placed is not None]
            corrected = [each.seq for each in found if each.kind == _CORRECTED]
            call_places.forget(db, placed, corrected)
            book.passing.forget()
            _remember_dropped(db, found[-1].seq, len(found))
    return found, after, time.monotonic() - began


def _remember_dropped(db: apsw.Connection, seq: int, events: int) -> None:
    db.execute(_COUNT_DROPPED, (str(log.count_dropped(db) + events),))
    known = db.execute(_DROPPED).get
    if known is None:
        db.execute(_FIRST_DROPPED, (seq,))
    elif known < seq:
        db.execute(_MORE_DROPPED, (seq,))


def vacuum(db: apsw.Connection, pages: int) -> tuple[int, float]:
    """Gives up to about so many free pages back; how many it were, and the seconds it took."""
    began = time.monotonic()
    before = int(db.pragma("page_count"))
    if db.pragma("freelist_count"):
        # It frees a page a step.
        db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return before - int(db.pragma("page_count")), time.monotonic() - began
