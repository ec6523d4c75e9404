"""Which figure counts for each call: a table by its name, and beside it what was told lately.

Names sort by when calls began, so those of a commit would lie all over the table, and most of what
a commit writes would be its pages. So it puts them down one after the other; when they are many, or
nothing else is to be done, they are brought into the table together. Whoever looks a call up looks
into both.

While much comes in they are brought over piece by piece, in the order of their names, whenever the
writer has nothing to do for a moment; they are struck off later, all together. Until then some are
in both: the table has what counts.
"""

from collections import deque
from collections.abc import Mapping, Sequence, Set
from itertools import chain, islice

import apsw
import msgspec

from personad import bulk

SCHEMA = """
CREATE TABLE call (
  call TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,               -- of its cost.recorded, else of its call.started
  corrected INTEGER                   -- seq of the cost.corrected that counts
) STRICT, WITHOUT ROWID;
"""
FRESH_SCHEMA = """
-- Calls that are not in `call` yet: of each only its first cost.recorded is known.
CREATE TABLE call_fresh (
  seq INTEGER PRIMARY KEY,
  call TEXT NOT NULL
) STRICT;
"""
_ONLY_FRESH = "NOT EXISTS (SELECT 1 FROM call WHERE call.call = call_fresh.call)"
ALL = f"""(
  SELECT call, seq, corrected FROM call
  UNION ALL SELECT call, seq, NULL FROM call_fresh WHERE {_ONLY_FRESH}
)"""  # noqa: S608 - a condition of ours
"""Both, to be read from as if they were one; for who reads all of it."""
CALL = f"""
SELECT seq, corrected FROM call WHERE call = ?1
UNION ALL SELECT seq, NULL FROM call_fresh WHERE call = ?1 AND {_ONLY_FRESH}
"""  # noqa: S608
"""What counts for one call."""
BETWEEN = f"""
SELECT call, seq FROM call WHERE call >= ?1 AND call < ?2
UNION ALL SELECT call, seq FROM call_fresh WHERE call >= ?1 AND call < ?2 AND {_ONLY_FRESH}
ORDER BY call LIMIT ?3
"""  # noqa: S608
"""The first calls of these names, and what counts for them."""
OF_EVENTS = f"""
SELECT call.call, call.seq, call.corrected
FROM json_each(?1) AS wanted CROSS JOIN call ON call.call = wanted.value
UNION ALL SELECT call, seq, NULL FROM call_fresh
WHERE seq IN (SELECT value FROM json_each(?2)) AND {_ONLY_FRESH}
"""  # noqa: S608
"""What counts for these calls, as far as it is one of these events."""

FRESH_MOST = 24_000
"""So many are put down before they are brought into the table: the more, the more of them share a
page there; but who looks for a name among them goes through all, and to work them in takes some
20 ms."""
PIECES_FROM, PIECE = 16_000, 4_000
"""From so many on they are brought over in pieces of about so many, where nobody waits: each takes
some 6 ms."""
SAMPLE = 400
"""So many tell where the pieces are to begin."""
STRUCK_OFF_FROM = 32_000
"""So many that were brought over are struck off, once hardly any others are left."""
LATE_MOST = 48_000
"""So many names are remembered after they were brought into the table: with these, what is new is
known to be so without a look at it, as long as no call takes longer than so many others."""
_FRESH = "SELECT call FROM call_fresh"
_INTO = "call_fresh (seq, call)"
_ADD_ONE = bulk.statement(_INTO, 2, "", 1)
_ADD_IN_ORDER = f"INSERT OR FAIL INTO {_INTO} SELECT ?1 + key, value FROM json_each(?2)"  # noqa: S608
_GREATEST = "SELECT max(call) FROM call"
_GET = "SELECT seq, corrected FROM call WHERE call = ?"
_TOLD_ONE = "SELECT call, seq FROM call WHERE call = ?"
# As one text: to bind each of many names takes as long as to look it up.
_TOLD = "SELECT call, seq FROM json_each(?) AS wanted CROSS JOIN call ON call = wanted.value"
ZERO = r"\u0000"
"""In JSON, where SQLite takes a text in it to end."""
_FEW = 8
_PUT = """
INSERT INTO call (call, seq, corrected) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET seq = excluded.seq, corrected = excluded.corrected
"""
# Those that are there already are there as what counts. And as nothing of it fails, SQLite needn't
# remember what pages were like.
_WORK_IN = """
INSERT OR IGNORE INTO call (call, seq) SELECT call, seq FROM call_fresh WHERE seq > ? ORDER BY call
"""
_WORKED_IN = "DELETE FROM call_fresh"
_NEWEST = "SELECT max(seq) FROM call_fresh"
_WORK_PIECE_IN = """
INSERT OR IGNORE INTO call (call, seq) SELECT call, seq FROM call_fresh
WHERE seq > ?1 AND seq <= ?2 AND call >= ?3 AND (?4 IS NULL OR call < ?4) ORDER BY call
"""
_UNHEARD_KEPT = 50_000
_as_json = msgspec.json.Encoder().encode
_encoded = msgspec.msgpack.Encoder().encode
_copied = msgspec.msgpack.Decoder(list[str]).decode


class Counted:
    """Both tables, for who writes them; the names of the fresh ones are in memory, too."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._fresh: set[str] = {str(call) for (call,) in db.execute(_FRESH)}
        self._leaving: set[str] = set()
        """Those of the fresh ones that are just brought over, piece by piece;"""
        self._newest = 0
        """the greatest seq of them,"""
        self._pieces: list[tuple[str, str | None]] = []
        """and the names between which each of the next pieces lies, the last one first."""
        self._done = self._done_to = 0
        """How many were brought over and still lie there, too, and the greatest seq of them."""
        self._late: deque[set[str]] = deque()
        """Names that came into the table lately, the first ones first."""
        self._greatest: str = db.execute(_GREATEST).get or ""
        """No other name in the table is greater."""
        self._unheard: set[str] = set()
        """Calls that were looked for lately and of which nothing is known."""

    @property
    def are_many(self) -> bool:
        """Whether the fresh ones had better be worked in soon; twice as many are not kept."""
        return len(self._fresh) >= FRESH_MOST

    def _has_fresh(self, calls: Set[str]) -> bool:
        return not (self._fresh.isdisjoint(calls) and self._leaving.isdisjoint(calls))

    def _may_lie_there(self, calls: Set[str]) -> Set[str]:
        """Those of the calls that may be in the table: as names sort by when calls began, and a
        figure comes soon after that, hardly any of the new ones."""
        greatest = self._greatest
        found = {call for call in calls if call <= greatest}
        for names in self._late:
            if not names.isdisjoint(calls):
                found |= calls & names
        return found

    def _came_in(self, names: set[str]) -> None:
        """They have come into the table."""
        late = self._late
        if not names:
            return
        if late and len(late[-1]) + len(names) <= FRESH_MOST:
            late[-1].update(names)
        else:
            late.append(names)
        while sum(map(len, late)) > LATE_MOST:
            self._greatest = max(self._greatest, max(late.popleft()))

    def get(self, call: str) -> tuple[int, int | None] | None:
        """The seqs of what counts and of its correction; None: nothing was told of the call."""
        if call in self._unheard:
            return None
        if call in self._fresh or call in self._leaving:
            self.work_in()
        row = self._db.execute(_GET, (call,)).fetchone()
        return None if row is None else (int(row[0]), row[1])

    def told(self, calls: Set[str], *, is_asked_again: bool = False) -> dict[str, int]:
        """Those that something was told of, with the seq of what counts; many are asked for
        together, as most are new and each by itself takes longer than to write it down.

        Where they will be asked for again soon, it is remembered which of them are new.
        """
        if self._has_fresh(calls):
            self.work_in()
        unheard = self._unheard
        asked = [*self._may_lie_there(calls - unheard if unheard else calls)]
        found: dict[str, int] = {}
        together = _as_json(asked).decode() if len(asked) >= _FEW else ZERO
        if ZERO in together:
            for call in asked:
                found.update(self._db.execute(_TOLD_ONE, (call,)))
        else:
            found.update(self._db.execute(_TOLD, (together,)))
        if is_asked_again:
            if len(unheard) > _UNHEARD_KEPT:
                unheard.clear()
            unheard.update(calls)
            unheard.difference_update(found)
        return found

    def are_unheard(self, calls: Set[str]) -> bool:
        """Whether nothing was told of any of these calls; False also where that isn't found out
        here."""
        if self._has_fresh(calls):
            return False
        asked = self._may_lie_there(calls)
        if not asked:
            return True
        together = _as_json([*asked]).decode()
        return ZERO not in together and not self._db.execute(_TOLD, (together,)).fetchone()

    def add_in_order(self, calls: Sequence[str], in_json: str, first_seq: int) -> None:
        """What `add` does for calls that came one after the other, and are given as a JSON list,
        too, which is the quickest way to have SQLite take many; none of them has a zero in it."""
        self._db.execute(_ADD_IN_ORDER, (first_seq, in_json))
        self._fresh.update(calls)
        self._added()

    def add(self, first: Mapping[str, int]) -> None:
        """Calls of which nothing was told before, with their first figures, in the log's order."""
        if len(first) == 1:
            ((call, seq),) = first.items()
            self._db.execute(_ADD_ONE, (seq, call))
            self._fresh.add(call)
        else:
            self._add_many(first)
        self._added()

    def _added(self) -> None:
        self._unheard.clear()
        if len(self._fresh) + len(self._leaving) >= 2 * FRESH_MOST:
            self.work_in()

    def _add_many(self, first: Mapping[str, int]) -> None:
        values: list[bulk.Value] = list(
            chain.from_iterable(zip(first.values(), first, strict=True))
        )
        bulk.insert(self._db, _INTO, 2, "", values)
        # Copies that lie together: each of the events' own would keep a page of memory.
        self._fresh.update(_copied(_encoded([*first])))

    def put(self, call: str, seq: int, corrected: int | None) -> None:
        """From now on this counts for the call."""
        if call in self._fresh or call in self._leaving:
            self.work_in()
        self._db.execute(_PUT, (call, seq, corrected))
        if not self._may_lie_there({call}):
            self._came_in({call})
        self._unheard.discard(call)

    def work_in(self) -> None:
        """Brings all into the table by name."""
        if not (self._fresh or self._leaving or self._done):
            return
        self._db.execute(_WORK_IN, (self._done_to,))
        self._db.execute(_WORKED_IN)
        self._came_in(self._fresh | self._leaving if self._leaving else self._fresh)
        self._fresh, self._leaving = set(), set()
        self._unheard.clear()
        self._done = self._done_to = 0

    @property
    def is_piece_due(self) -> bool:
        """Whether there is something for `work_piece_in`."""
        are_there = bool(self._leaving) or self._done >= STRUCK_OFF_FROM
        return are_there or len(self._fresh) >= PIECES_FROM

    def work_piece_in(self) -> None:
        """Brings some of them over: the next in the order of their names. A transaction of its
        own."""
        if not self._leaving:
            if self._done >= STRUCK_OFF_FROM and len(self._fresh) <= PIECE:
                # All at once takes a tenth of striking off some of them.
                self.work_in()
                return
            self._begin_pieces()
        lower, upper = self._pieces.pop()
        self._db.execute(_WORK_PIECE_IN, (self._done_to, self._newest, lower, upper))
        if not self._pieces:
            self._done += len(self._leaving)
            self._came_in(self._leaving)
            self._done_to, self._leaving = self._newest, set()

    def _begin_pieces(self) -> None:
        self._leaving, self._fresh = self._fresh, set()
        self._newest = int(self._db.execute(_NEWEST).get)
        # Where some of them lie, taken at random as a set's order is, tells where all do.
        some = sorted(islice(self._leaving, SAMPLE))
        count = -(-len(self._leaving) // PIECE)
        bounds = sorted({some[len(some) * number // count] for number in range(1, count)})
        self._pieces = [*zip(["", *bounds], [*bounds, None], strict=True)][::-1]
