"""Where in the log calls lie, so that some of them are found without reading all of it.

The log is looked at in blocks of 512 numbers. Of each quarter-hour and block with calls it is noted
what the dearest of them cost, and how many have no price: whoever asks for the dearest calls reads
the blocks with the highest bounds (see `call_order`). By model it is noted likewise, so that the
calls of a cheap one are found among dear ones.

An append pays next to nothing for it: full blocks are noted with a later one, as they were seen
going by (see `call_passing`), or in quiet moments (see `tidy`). What lies behind the last of them a
reader looks through by itself, so no answer depends on when that happens.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import apsw

from personad import civil, log
from personad.contract.cost import CostCorrected, CostRecorded
from personad.kinds import CODE_OF, part_of
from personad.projections.memory import memory_of

SHIFT = 9
"""A block has 2⁹ numbers."""
CHUNK = 17
_PLACE_BYTES = 3
SCHEMA = """
-- What calls of a quarter-hour lie in which block of the log.
CREATE TABLE call_place (
  quarter INTEGER NOT NULL,
  block INTEGER NOT NULL,
  dearest INTEGER,                    -- nano-dollars of the dearest of them; NULL: none has a cost
  unpriced INTEGER NOT NULL,          -- how many of them have no cost
  PRIMARY KEY (quarter, block)
) STRICT, WITHOUT ROWID;

-- The same by what they were sent to; both are numbers of `word`.
CREATE TABLE call_place_model (
  provider INTEGER NOT NULL,
  model INTEGER NOT NULL,
  quarter INTEGER NOT NULL,
  block INTEGER NOT NULL,
  dearest INTEGER,
  unpriced INTEGER NOT NULL,
  PRIMARY KEY (provider, model, quarter, block)
) STRICT, WITHOUT ROWID;

-- Each cost.corrected.
CREATE TABLE correction (
  seq INTEGER PRIMARY KEY,
  most INTEGER                        -- nano-dollars that its call costs by it, NULL: or more
) STRICT;
"""
INDEXES = """
-- The blocks with the dearest calls of all, and those with calls that nobody knows the cost of.
CREATE INDEX call_place_dearest ON call_place (dearest DESC, block);
CREATE INDEX call_place_model_dearest ON call_place_model (provider, model, dearest DESC, block);
CREATE INDEX call_place_unpriced ON call_place (quarter, block) WHERE unpriced > 0;
"""
EXPERIMENT_SCHEMA = """
-- The calls of an experiment (a number of `word`), chunk by chunk of the log.
CREATE TABLE call_of_experiment (
  chunk INTEGER NOT NULL,             -- 2^17 numbers each
  experiment INTEGER NOT NULL,
  places BLOB NOT NULL,               -- three bytes each, big-endian: how far into the chunk
  PRIMARY KEY (chunk, experiment)
) STRICT, WITHOUT ROWID;
"""
SCHEMAS = (SCHEMA, INDEXES, EXPERIMENT_SCHEMA)
TABLES = ("call_place", "call_place_model", "call_of_experiment", "correction")

_RECORDED, _CORRECTED = CODE_OF[CostRecorded], CODE_OF[CostCorrected]
_PLACED = "SELECT value FROM meta WHERE name = ?"
_SET_PLACED = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"
_AHEAD_MAX = 4_000
"""Blocks that a reader looks through by itself: seconds of full ingest, and not the whole log that
an older release has left."""
NOTED, _MODELS = "calls_placed", "calls_placed_by_model"
"""How far these are: so many blocks, from the log's beginning."""
# One statement, as in `asked`: whoever asks waits for each while events are taken in.
_SEEN = f"""
SELECT coalesce((SELECT value FROM meta WHERE name = '{NOTED}'), '0'),
  coalesce((SELECT value FROM meta WHERE name = '{_MODELS}'), '0'),
  ({log.LAST}), EXISTS (SELECT 1 FROM correction)
"""  # noqa: S608 - names of ours
_QUARTER = f"at / {civil.QUARTER_US} - (at % {civil.QUARTER_US} < 0)"
_OF_BLOCKS = f"""
SELECT kind, {_QUARTER}, seq >> :shift, max(cost), sum(cost IS NULL) FROM event
WHERE seq >= :low AND seq < :high AND kind IN ({_RECORDED}, {_CORRECTED}) GROUP BY 1, 2, 3
"""  # noqa: S608 - numbers of ours
_CALLS_OF_BLOCKS = f"""
SELECT {_QUARTER}, seq, cost, body FROM event
WHERE seq >= :low AND seq < :high AND kind = {_RECORDED}
"""  # noqa: S608
_PUT = "INSERT INTO call_place (quarter, block, dearest, unpriced) VALUES (?, ?, ?, ?)"
_PUT_MODEL = """
INSERT INTO call_place_model (provider, model, quarter, block, dearest, unpriced)
VALUES (?, ?, ?, ?, ?, ?)
"""
_PUT_EXPERIMENT = """
INSERT INTO call_of_experiment (chunk, experiment, places) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET places = CAST(places || excluded.places AS BLOB)
"""
_OF_EXPERIMENTS = """
SELECT chunk, places FROM json_each(:chunks) AS c CROSS JOIN json_each(:experiments) AS e
CROSS JOIN call_of_experiment ON chunk = c.value AND experiment = e.value
"""
_CORRECTIONS_OF_BLOCKS = f"""
SELECT seq, body FROM event WHERE seq >= :low AND seq < :high AND kind = {_CORRECTED}
"""  # noqa: S608
_PUT_CORRECTION = "INSERT INTO correction (seq, most) VALUES (?, ?)"
_CORRECTIONS = f"""
SELECT NULL, seq FROM event WHERE seq >= max(:first, :tail) AND kind = {_CORRECTED}
UNION ALL SELECT most, seq FROM correction
WHERE seq >= :first AND (most IS NULL OR most >= :least)
ORDER BY 1 DESC NULLS FIRST
"""  # noqa: S608

_LEFT_OF_BLOCK = f"""
SELECT {_QUARTER}, body FROM event WHERE seq >= :low AND seq < :high AND kind = {_RECORDED}
"""  # noqa: S608
_FORGET = "DELETE FROM call_place WHERE quarter = ? AND block = ?"
_FORGET_MODEL = """
DELETE FROM call_place_model WHERE provider = ? AND model = ? AND quarter = ? AND block = ?
"""
_LAST_OF_EXPERIMENT = f"""
SELECT substr(places, -{_PLACE_BYTES}) FROM call_of_experiment WHERE chunk = ? AND experiment = ?
"""  # noqa: S608
_ALL_OF_EXPERIMENT = "SELECT places FROM call_of_experiment WHERE chunk = ? AND experiment = ?"
_FORGET_EXPERIMENT = "DELETE FROM call_of_experiment WHERE chunk = ? AND experiment = ?"
_LEFT = "SELECT seq FROM event WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
_FORGET_CORRECTION = "DELETE FROM correction WHERE seq = ?"

_scope_of = part_of(CostRecorded, "provider", "model", "experiment")
_figure_of = part_of(CostCorrected, "cost_nanousd", "reason")


class Call(NamedTuple):
    """One that is in the log no more; provider, model and experiment are numbers of `word`."""

    seq: int
    at: int
    provider: int
    model: int
    experiment: int | None


class Place(NamedTuple):
    """As a row of `call_place`."""

    quarter: int
    block: int
    dearest: int | None
    unpriced: int


Seen = Callable[[int, int], list[Place] | None]
_Found = tuple[list[Place], list[int]]
"""What is in a block, and the seqs of corrections."""


class Ahead:
    """What a reader, or another one of the same ledger, has found out by itself about full blocks
    that are not noted yet, so that each of them is looked through once only: while much is coming
    in these are many.

    What is in the log never changes. What retention drops of it may still be in here, as it may be
    in the tables: whoever reads the block finds out.
    """

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.corrections: list[int] = []
        """Their seqs."""
        self.end = 0
        """Of blocks before this one everything is known."""
        self.placed = self.by_model = 0
        """How many blocks are noted from the log's beginning, and how many of these by model."""
        self.is_all_known = self.was_corrected = False
        """Whether each full block was looked through, and whether any correction is known."""

    def catch_up(self, db: apsw.Connection) -> None:
        """To what the connection sees now."""
        row: Any = db.execute(_SEEN).fetchone()
        placed, by_model, last_seq, has_noted = row
        if int(placed) < self.placed:  # They are noted anew.
            self.places, self.corrections, self.end = [], [], 0
        self.placed, self.by_model = int(placed), int(by_model)
        full = last_seq >> SHIFT
        self._look_through(db, self.placed, full)
        self.is_all_known = self.end == full
        self.was_corrected = bool(has_noted or self.corrections)

    def _look_through(self, db: apsw.Connection, placed: int, full: int) -> None:
        """`placed` blocks are noted, and so many are full."""
        if self.places and self.places[0].block < placed:
            self.places = [each for each in self.places if each.block >= placed]
        self.corrections = [seq for seq in self.corrections if seq >> SHIFT >= placed]
        first = max(self.end, placed)
        if not first <= full <= placed + _AHEAD_MAX:
            self.places, self.corrections, self.end = [], [], placed
            return
        known: dict[int, _Found] = memory_of(db).known("places", full - first, 2 * _AHEAD_MAX)
        new = first
        while new < full and new in known:
            new += 1
        known |= _found_in(db, new, full)
        for block in range(first, full):
            places, corrections = known[block]
            self.places += places
            self.corrections += corrections
        self.end = full


_AHEADS: "WeakKeyDictionary[apsw.Connection, Ahead]" = WeakKeyDictionary()


def ahead_of(db: apsw.Connection) -> Ahead:
    """What this connection knows, brought up to what it sees now."""
    ahead = _AHEADS.setdefault(db, Ahead())
    ahead.catch_up(db)
    return ahead


def place(db: apsw.Connection, most: int, seen: Seen | None = None) -> int:
    """Notes where the calls of up to so many full blocks lie; how many blocks it were. What `seen`
    knows of a span of blocks isn't read."""
    first, end = _due(db, NOTED, most)
    rows = seen(first, end) if seen is not None and first < end else None
    if rows is None:
        rows, has_corrections = _of_blocks(db, first, end)
        if has_corrections:
            _note_corrections(db, first, end)
    db.executemany(_PUT, rows)
    return _done(db, NOTED, first, end)


def _of_blocks(db: apsw.Connection, first: int, end: int) -> tuple[list[Place], bool]:
    """Where the calls of these blocks lie, and whether there are corrections among them."""
    if first >= end:
        return [], False
    rows: list[Any] = db.execute(_OF_BLOCKS, _span(first, end)).fetchall()
    places = [Place(*told) for kind, *told in rows if kind == _RECORDED]
    return places, len(places) < len(rows)


def _found_in(db: apsw.Connection, first: int, end: int) -> dict[int, _Found]:
    """The same block by block."""
    found: dict[int, _Found] = {block: ([], []) for block in range(first, end)}
    places, has_corrections = _of_blocks(db, first, end)
    for each in places:
        found[each.block][0].append(each)
    if has_corrections:
        for seq, _ in db.execute(_CORRECTIONS_OF_BLOCKS, _span(first, end)):
            found[seq >> SHIFT][1].append(seq)
    return found


def _span(first: int, end: int) -> dict[str, int]:
    return {"low": first << SHIFT, "high": end << SHIFT, "shift": SHIFT}


def _note_corrections(db: apsw.Connection, first: int, end: int) -> None:
    span = _span(first, end)
    found = [(seq, _figure_of(body)) for seq, body in db.execute(_CORRECTIONS_OF_BLOCKS, span)]
    # What is settled for want of an answer gives way to one, which may have cost more.
    rows = [(seq, None if f.reason == "settled" else f.cost_nanousd) for seq, f in found]
    db.executemany(_PUT_CORRECTION, rows)


def place_models(db: apsw.Connection, most: int) -> int:
    """Likewise by model and experiment, which takes many times as long."""
    first, end = _due(db, _MODELS, most)
    found: dict[tuple[int, ...], list[int | None]] = {}
    span = _span(first, end)
    of_experiment: dict[tuple[int, int], bytearray] = {}
    for quarter, seq, cost, body in db.execute(_CALLS_OF_BLOCKS, span) if first < end else ():
        call = _scope_of(body)
        if call.experiment is not None:
            chunk, place = divmod(seq, 1 << CHUNK)
            places = of_experiment.setdefault((chunk, call.experiment), bytearray())
            places += place.to_bytes(_PLACE_BYTES, "big")
        known = found.setdefault((call.provider, call.model, quarter, seq >> SHIFT), [cost, 0])
        if cost is None:
            known[1] += 1  # type: ignore[operator]
        elif known[0] is None or cost > known[0]:
            known[0] = cost
    db.executemany(_PUT_MODEL, [(*key, *told) for key, told in found.items()])
    rows = [(*key, bytes(places)) for key, places in sorted(of_experiment.items())]
    db.executemany(_PUT_EXPERIMENT, rows)
    return _done(db, _MODELS, first, end)


def begin_again(db: apsw.Connection) -> None:
    """Has all be noted anew, where the tables have just been emptied."""
    for what in (NOTED, _MODELS):
        db.execute(_SET_PLACED, (what, "0"))


def are_due(db: apsw.Connection) -> bool:
    """Whether a block is full that isn't noted yet."""
    return log.last_seq(db) >> SHIFT > _placed(db, _MODELS)


def _due(db: apsw.Connection, what: str, most: int) -> tuple[int, int]:
    first = _placed(db, what)
    return first, min(log.last_seq(db) >> SHIFT, first + most)


def _done(db: apsw.Connection, what: str, first: int, end: int) -> int:
    if first < end:
        db.execute(_SET_PLACED, (what, str(end)))
    return max(0, end - first)


def _placed(db: apsw.Connection, what: str) -> int:
    return int(db.execute(_PLACED, (what,)).get or 0)


def of_experiments(
    db: apsw.Connection, by_model: int, experiments: Sequence[int], first: int, most: int
) -> list[int] | None:
    """The seqs from there on of the calls of these experiments, as far as they are noted by model,
    which are so many blocks; None where there are more."""
    chunks = range(first >> CHUNK, (by_model << SHIFT >> CHUNK) + 1)
    values = {"chunks": json.dumps([*chunks]), "experiments": json.dumps(experiments)}
    found: list[int] = []
    for chunk, places in db.execute(_OF_EXPERIMENTS, values):
        if len(found) + len(places) // _PLACE_BYTES > most:
            return None
        found += seqs_of(chunk, places)
    return found


def corrections(
    db: apsw.Connection, ahead: Ahead, first: int, least: int
) -> list[tuple[int | None, int]]:
    """The corrections from the number `first` on, but those that can't have brought a call to that
    cost: the most that a call costs by it (None: nobody knows), and its seq; of the most unsure and
    the dearest first. Some of them retention may have dropped."""
    values = {"first": first, "tail": ahead.end << SHIFT, "least": least}
    found: list[Any] = db.execute(_CORRECTIONS, values).fetchall()
    return [*((None, seq) for seq in ahead.corrections if seq >= first), *found]


def call_of(seq: int, at: int, body: bytes) -> Call:
    scope = _scope_of(body)
    return Call(seq, at, scope.provider, scope.model, scope.experiment)


def forget(db: apsw.Connection, calls: Sequence[Call], corrected: Sequence[int]) -> None:
    """Takes back what was noted of calls that were just dropped from the log, and of corrections,
    by their seqs; what others of the same block or chunk are needed for stays until these go, too.
    """
    gone = {(call.seq >> SHIFT, call.at // civil.QUARTER_US, *call[2:4]) for call in calls}
    left: set[tuple[int, ...]] = set()
    for block in sorted({block for block, *_ in gone}):
        for quarter, body in db.execute(_LEFT_OF_BLOCK, _span(block, block + 1)):
            scope = _scope_of(body)
            left.add((block, quarter, scope.provider, scope.model))
    by_model = sorted(gone - left)
    quarters = {(quarter, block) for block, quarter, *_ in by_model}
    quarters -= {(quarter, block) for block, quarter, *_ in left}
    db.executemany(_FORGET, sorted(quarters))
    db.executemany(_FORGET_MODEL, [(*sent, quarter, block) for block, quarter, *sent in by_model])
    db.executemany(_FORGET_CORRECTION, [(seq,) for seq in corrected])
    of_experiments = {(call.seq >> CHUNK, call.experiment) for call in calls}
    for chunk, experiment in of_experiments:
        if experiment is not None:
            _forget_places(db, chunk, experiment)


def _forget_places(db: apsw.Connection, chunk: int, experiment: int) -> None:
    """The last of them goes last, or nearly: until then nothing is written, as there may be many in
    a row of the table."""
    last = db.execute(_LAST_OF_EXPERIMENT, (chunk, experiment)).get
    if last is None or _left_of(db, chunk, bytes(last)):
        return
    places = bytes(db.execute(_ALL_OF_EXPERIMENT, (chunk, experiment)).get)
    left = [seq - (chunk << CHUNK) for seq in _left_of(db, chunk, places)]
    db.execute(_FORGET_EXPERIMENT, (chunk, experiment))
    if left:
        kept = b"".join(each.to_bytes(_PLACE_BYTES, "big") for each in left)
        db.execute(_PUT_EXPERIMENT, (chunk, experiment, kept))


def _left_of(db: apsw.Connection, chunk: int, places: bytes) -> list[int]:
    seqs = json.dumps(seqs_of(chunk, places))
    return [seq for (seq,) in db.execute(_LEFT, (seqs,))]


def seqs_of(chunk: int, places: bytes) -> list[int]:
    starts = range(0, len(places), _PLACE_BYTES)
    return [(chunk << CHUNK) + int.from_bytes(places[n : n + _PLACE_BYTES], "big") for n in starts]
