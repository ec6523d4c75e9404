"""Events from before the time whose raw events retention has dropped.

A repeat of one could not be recognised any more, so it is acknowledged, kept aside and counted, and
folded into nothing. Kinds that are never dropped are known by their ids for ever, and need no such
care.
"""

from collections.abc import Sequence
from datetime import datetime

import apsw

from personad.contract.events import AnyEvent
from personad.kinds import CODE_OF, RAW_EVENTS, body_of, microseconds
from personad.log import known_of
from personad.names import Names

SCHEMA = """
CREATE TABLE quarantined_event (
  id BLOB PRIMARY KEY,
  kind INTEGER NOT NULL,
  at INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row, once retention has dropped anything: microseconds since 1970, only ever growing.
CREATE TABLE pruned (
  before INTEGER NOT NULL
) STRICT;
"""
_PRUNED_BEFORE = "SELECT max(before) FROM pruned"
_PUT = """
INSERT OR IGNORE INTO quarantined_event (id, kind, at, recorded_at, body) VALUES (?, ?, ?, ?, ?)
"""
_FIRST_MARK = "INSERT INTO pruned (before) VALUES (?)"
_MOVE_MARK = "UPDATE pruned SET before = ?"
_SINCE = "INSERT OR REPLACE INTO meta (name, value) VALUES ('pruned_since_seq', ?)"
_COUNT = "SELECT count(*) FROM quarantined_event"


def pruned_before(db: apsw.Connection) -> int | None:
    """Events of raw kinds from before this moment are not taken any more; None: all are."""
    found = db.execute(_PRUNED_BEFORE).get
    return None if found is None else int(found)


def take_none_before(db: apsw.Connection, before: int, last_seq: int) -> None:
    """Moves the mark to `before`, in microseconds; never back, whatever the clock says.

    `last_seq` is the newest event: whatever has a higher number is not from before the mark.
    """
    known = pruned_before(db)
    if known is not None and known >= before:
        return
    db.execute(_FIRST_MARK if known is None else _MOVE_MARK, (before,))
    db.execute(_SINCE, (str(last_seq),))


def parted(
    db: apsw.Connection, events: Sequence[AnyEvent]
) -> tuple[Sequence[AnyEvent], Sequence[AnyEvent]]:
    """The events that the log takes, and those that are too old for it."""
    before = pruned_before(db)
    if before is None:
        return events, ()
    old = [
        event for event in events if type(event) in RAW_EVENTS and microseconds(event.at) < before
    ]
    if old:
        known = known_of(db, [event.id.bytes for event in old])
        old = [event for event in old if event.id.bytes not in known]
    if not old:
        return events, ()
    aside = {event.id for event in old}
    return [event for event in events if event.id not in aside], old


def put(db: apsw.Connection, names: Names, events: Sequence[AnyEvent], now: datetime) -> None:
    recorded_at = microseconds(now)
    db.executemany(
        _PUT,
        [
            (e.id.bytes, CODE_OF[type(e)], microseconds(e.at), recorded_at, body_of(e, names.word))
            for e in events
        ],
    )


def count(db: apsw.Connection) -> int:
    return int(db.execute(_COUNT).get)
