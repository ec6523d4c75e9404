"""What the calls for each persona cost: a table by batch and persona, and what was told lately.

Personas of a batch lie all over its part of the table, so that a third of what a commit of hundreds
of calls wrote would be its pages. So it puts them down in one row a batch; when they are many, or
nothing else is to be done, they are brought into the table together, each once. Whoever asks adds
both.
"""

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import groupby
from operator import itemgetter

import apsw
import msgspec

from personad import bulk
from personad.bulk import SUM_MAX

SCHEMA = """
CREATE TABLE persona_cost (
  batch INTEGER NOT NULL,
  persona TEXT NOT NULL,
  calls INTEGER NOT NULL,
  cost_nanousd INTEGER NOT NULL,
  PRIMARY KEY (batch, persona)
) STRICT, WITHOUT ROWID;
"""
FRESH_SCHEMA = """
-- Calls that are not in `persona_cost` yet.
CREATE TABLE persona_cost_fresh (
  id INTEGER PRIMARY KEY,
  batch INTEGER NOT NULL,
  told BLOB NOT NULL                  -- msgpack: of each persona its name, calls and nano-dollars
) STRICT;
"""

FRESH_MOST = 16_000
"""So many personas are put down before they are brought into the table, which takes some 20 ms."""
_INTO = "persona_cost (batch, persona, calls, cost_nanousd)"
_ADD = f"""
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
  cost_nanousd = max(0, min(cost_nanousd + excluded.cost_nanousd, {SUM_MAX}))
"""
_ADD_ONE = bulk.statement(_INTO, 4, _ADD, 1)
_SWEEP = "DELETE FROM persona_cost WHERE batch = ? AND persona = ? AND calls = 0"
_INTO_FRESH = "persona_cost_fresh (batch, told)"
_FRESH = "SELECT batch, told FROM persona_cost_fresh"
_WORKED_IN = "DELETE FROM persona_cost_fresh"
_OF_PERSONAS = """
SELECT persona, cost_nanousd FROM persona_cost
WHERE batch = (SELECT key FROM batch_key WHERE batch = ?)
"""
_OF_PERSONA = f"{_OF_PERSONAS} AND persona = ?"
_FRESH_OF_BATCH = """
SELECT batch, told FROM persona_cost_fresh
WHERE batch = (SELECT key FROM batch_key WHERE batch = ?)
"""

Told = tuple[str, int, int]
"""A persona, how many calls it took, and what they cost in nano-dollars."""
Sums = dict[str, list[int]]
"""Calls and nano-dollars, by persona."""
Row = tuple[int, str, int, int]
"""Of the table."""

_COST_BITS = 96
_COST_MASK = (1 << _COST_BITS) - 1
"""Of a sum of costs, in nano-dollars."""
_encode = msgspec.msgpack.Encoder().encode
rows_in = msgspec.msgpack.Decoder(list[tuple[str, int, int]]).decode


def as_told(sums: Mapping[str, list[int]]) -> bytes:
    """As it is put down for one batch."""
    return _encode([(persona, *told) for persona, told in sums.items()])


class PersonaCosts:
    """Both tables, for who writes them."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._waiting = sum(len(rows_in(told)) for _, told in db.execute(_FRESH))

    @property
    def are_many(self) -> bool:
        """Whether the fresh ones had better be worked in soon; twice as many are not kept."""
        return self._waiting >= FRESH_MOST

    def add_one(self, batch: int, persona: str, cost_nanousd: int) -> None:
        """What one call cost."""
        self._db.execute(_ADD_ONE, (batch, persona, 1, cost_nanousd))

    def add(self, sums: Mapping[int, Sums]) -> None:
        """What calls cost, by the batch's number."""
        if sum(map(len, sums.values())) == 1:
            self._save(sums)
        else:
            self.put_down((batch, as_told(told), len(told)) for batch, told in sums.items())

    def put_down(self, told: Iterable[tuple[int, bytes, int]]) -> None:
        """The same as it will lie there, with the number of personas in each."""
        values: list[bulk.Value] = []
        for batch, some, count in told:
            if count:
                values += batch, some
                self._waiting += count
        bulk.insert(self._db, _INTO_FRESH, 2, "", values)
        if self._waiting >= 2 * FRESH_MOST:
            self.work_in()

    def take_back(self, sums: Mapping[int, Sums]) -> None:
        """What calls cost, and what others no longer do: the differences."""
        self.work_in()
        self._save(sums)
        some = [(batch, persona) for batch, told in sums.items() for persona in told]
        self._db.executemany(_SWEEP, some)

    def work_in(self) -> None:
        """Brings all into the table."""
        if not self._waiting:
            return
        self._save(_summed(self._db.execute(_FRESH)))
        self._db.execute(_WORKED_IN)
        self._waiting = 0

    def _save(self, sums: Mapping[int, Sums]) -> None:
        values: list[bulk.Value] = []
        for batch, personas in sorted(sums.items()):
            for persona in sorted(personas):
                calls, cost = personas[persona]
                values += batch, persona, calls, max(-SUM_MAX, min(cost, SUM_MAX))
        bulk.insert(self._db, _INTO, 4, _ADD, values)


def rows(db: apsw.Connection, where: str, values: tuple[object, ...]) -> Iterator[Row]:
    """Of both as of one table, in its order; of the batches of which the condition tells."""
    fresh = _summed(db.execute(f"{_FRESH} {where}", values))
    late = [(batch, *row) for batch, told in sorted(fresh.items()) for row in _listed(told)]
    sql = f"SELECT batch, persona, calls, cost_nanousd FROM persona_cost {where} ORDER BY 1, 2"  # noqa: S608 - a condition of ours
    both = merge(db.execute(sql, values), late, key=itemgetter(0, 1))
    for (batch, persona), some in groupby(both, itemgetter(0, 1)):
        calls, costs = zip(*[row[2:] for row in some], strict=True)
        yield batch, persona, sum(calls), min(sum(costs), SUM_MAX)


def of_personas(db: apsw.Connection, batch: str) -> dict[str, int]:
    """Spent on each persona of a batch, in nano-dollars."""
    return _with_fresh(db, batch, dict(db.execute(_OF_PERSONAS, (batch,))))


def of_some(db: apsw.Connection, batch: str, personas: Iterable[str]) -> Mapping[str, int]:
    """Spent on some personas of a batch, in nano-dollars."""
    wanted = [*personas]
    found = dict(row for each in wanted for row in db.execute(_OF_PERSONA, (batch, each)))
    spent = _with_fresh(db, batch, found)
    return {persona: spent[persona] for persona in wanted if persona in spent}


def _with_fresh(db: apsw.Connection, batch: str, spent: dict[str, int]) -> dict[str, int]:
    for told in _summed(db.execute(_FRESH_OF_BATCH, (batch,))).values():
        for persona, (_, cost) in told.items():
            spent[persona] = min(spent.get(persona, 0) + cost, SUM_MAX)
    return spent


def _summed(fresh: Iterable[tuple[object, ...]]) -> dict[int, Sums]:
    found: dict[int, dict[str, int]] = {}
    for batch, told in fresh:
        sums = found.setdefault(batch, {})  # type: ignore[arg-type]
        known = sums.get
        # Both figures in one number: many are told of few personas, and so each is one addition.
        for persona, calls, cost in rows_in(told):  # type: ignore[arg-type]
            sums[persona] = known(persona, 0) + (calls << _COST_BITS) + cost
    return {
        batch: {persona: [both >> _COST_BITS, both & _COST_MASK] for persona, both in sums.items()}
        for batch, sums in found.items()
    }


def _listed(sums: Sums) -> list[Told]:
    return [(persona, calls, cost) for persona, (calls, cost) in sorted(sums.items())]
