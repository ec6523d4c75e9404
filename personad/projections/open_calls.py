"""Calls that were granted or sent, and of which nobody knows yet what they cost.

They are few, and asked for with every call that is to start: so they are kept in memory beside
their table, with the sums by which budgets ask.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

import apsw

from personad.bulk import SUM_MAX

SCHEMA = """
CREATE TABLE open_call (
  call TEXT PRIMARY KEY,
  batch TEXT,
  experiment TEXT,
  at INTEGER NOT NULL,                -- when it was granted, else sent: microseconds since 1970
  state TEXT NOT NULL CHECK (state IN ('open', 'unresolved')),
  reserved_nanousd INTEGER NOT NULL,
  started INTEGER                     -- seq of its call.started
) STRICT, WITHOUT ROWID;
CREATE INDEX open_call_of_batch ON open_call (batch);
"""

_ALL = "SELECT call, batch, experiment, at, state, reserved_nanousd, started FROM open_call"
_PUT = """
INSERT INTO open_call (call, batch, experiment, at, state, reserved_nanousd, started)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET batch = excluded.batch, experiment = excluded.experiment,
  at = excluded.at, state = excluded.state, reserved_nanousd = excluded.reserved_nanousd,
  started = excluded.started
"""
_CLOSE = "DELETE FROM open_call WHERE call = ?"
_LOSE = "UPDATE open_call SET state = 'unresolved' WHERE batch = ? AND state = 'open'"

EVERYTHING = ""
"""The scope of all calls; others are `experiment:<name>` and `batch:<id>`."""


class OpenCall(NamedTuple):
    """A row."""

    batch: str | None
    experiment: str | None
    at: int
    state: Literal["open", "unresolved"]
    reserved_nanousd: int
    started: int | None


class OpenCalls:
    """All of one database; read from it when first asked for."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._rows: dict[str, OpenCall] = {}
        self._sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for call, *row in db.execute(_ALL):
            self._keep(str(call), OpenCall(*row))

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __contains__(self, call: str) -> bool:
        return call in self._rows

    def get(self, call: str) -> OpenCall | None:
        return self._rows.get(call)

    def sums(self, scope: str = EVERYTHING) -> tuple[int, int]:
        """Nano-dollars that are reserved for calls in flight, and for those without an answer."""
        reserved, unresolved = self._sums.get(scope, (0, 0))
        return min(reserved, SUM_MAX), min(unresolved, SUM_MAX)

    def start(self, call: str, row: OpenCall) -> None:
        """The call was granted; it is open, unless it is known that no answer came."""
        known = self._rows.get(call)
        if known is not None:
            row = row._replace(
                batch=known.batch or row.batch,
                experiment=known.experiment or row.experiment,
                state=known.state,
            )
        self._put(call, row)

    def give_up(self, call: str, row: OpenCall) -> None:
        """No answer came to the call."""
        known = self._rows.get(call)
        if known is not None:
            row = known._replace(
                batch=known.batch or row.batch,
                experiment=known.experiment or row.experiment,
                state="unresolved",
                reserved_nanousd=row.reserved_nanousd,
            )
        self._put(call, row)

    def was_started(self, call: str, seq: int) -> None:
        """Its grant is told of, when what it counts is known already."""
        self._put(call, self._rows[call]._replace(started=seq))

    def in_flight(self, batch: str) -> list[int]:
        """When each of a batch's open calls was granted, by the seq of its `call.started`."""
        return [
            row.started
            for row in self._rows.values()
            if row.batch == batch and row.state == "open" and row.started is not None
        ]

    def lose(self, batch: str) -> None:
        """Nobody waits any more for the answers to a batch's calls."""
        self._db.execute(_LOSE, (batch,))
        for call, row in list(self._rows.items()):
            if row.batch == batch and row.state == "open":
                self._drop(call)
                self._keep(call, row._replace(state="unresolved"))

    def close(self, calls: Iterable[str]) -> None:
        """Their costs are known; those that aren't open are left alone."""
        done = [(call,) for call in calls if call in self._rows]
        self._db.executemany(_CLOSE, done)
        for (call,) in done:
            # One that is named twice is closed once.
            if call in self._rows:
                self._drop(call)

    def _put(self, call: str, row: OpenCall) -> None:
        self._db.execute(_PUT, (call, *row))
        if call in self._rows:
            self._drop(call)
        self._keep(call, row)

    def _keep(self, call: str, row: OpenCall) -> None:
        self._rows[call] = row
        self._count(row, row.reserved_nanousd)

    def _drop(self, call: str) -> None:
        row = self._rows.pop(call)
        self._count(row, -row.reserved_nanousd)

    def _count(self, row: OpenCall, nanousd: int) -> None:
        scopes = [EVERYTHING]
        if row.experiment is not None:
            scopes.append(f"experiment:{row.experiment}")
        if row.batch is not None:
            scopes.append(f"batch:{row.batch}")
        for scope in scopes:
            sums = self._sums[scope]
            sums[row.state == "unresolved"] += nanousd
            if sums == [0, 0]:
                del self._sums[scope]
