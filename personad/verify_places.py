"""Whether it is rightly noted where calls lie in the log (see `projections.call_places`).

No fold makes these notes, so the log is looked through for them: a wrong one would leave a dear
call out of an answer without a word.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import apsw

from personad import civil, log
from personad.contract.cost import CostCorrected, CostRecorded
from personad.kinds import CODE_OF, event_of
from personad.names import texts_of
from personad.projections import call_places

BLOCKS = 40
"""Looked through at once."""
_RECORDED, _CORRECTED = CODE_OF[CostRecorded], CODE_OF[CostCorrected]
_CALLS = f"""
SELECT kind, seq, id, at, cost, body FROM event
WHERE seq >= ? AND seq < ? AND kind IN ({_RECORDED}, {_CORRECTED}) ORDER BY seq
"""  # noqa: S608 - numbers of ours
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sought_place (
  quarter, block, dearest, unpriced, PRIMARY KEY (quarter, block)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sought_model (
  provider, model, quarter, block, dearest, unpriced, PRIMARY KEY (provider, model, quarter, block)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sought_experiment (
  chunk, experiment, seq, PRIMARY KEY (chunk, experiment, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sought_correction (seq INTEGER PRIMARY KEY, most);
"""
_BEFORE_ITS_BATCH = """
SELECT batch_key.batch, first_seq, seq FROM event JOIN batch_key ON key = event.batch
WHERE seq < first_seq LIMIT 1
"""
_DROPPED = "SELECT coalesce(max(seq), 0) FROM dropped"
_OF_EXPERIMENT = """
SELECT chunk, experiment, seq FROM sought_experiment WHERE seq < ? ORDER BY chunk, experiment, seq
"""

Row = tuple[Any, ...]
Wrong = tuple[str, str]
"""A table, and what is wrong in it."""


def look_through(live: apsw.Connection, into: apsw.Connection, first: int) -> int:
    """Puts down in `into` what there is to note from the block `first` on, as far as it is noted in
    the ledger; where that ends."""
    into.execute(_SCHEMA)
    ahead = call_places.ahead_of(live)
    end = max(first, ahead.placed, ahead.by_model)
    for block in range(first, end, BLOCKS):
        with into:
            _note(live, into, block, min(block + BLOCKS, end))
    return end


def _note(live: apsw.Connection, into: apsw.Connection, first: int, end: int) -> None:
    places: dict[Row, list[int | None]] = {}
    models: dict[Row, list[int | None]] = {}
    experiments: list[Row] = []
    corrections: list[Row] = []
    text = texts_of(live).text
    for kind, seq, event_id, at, cost, body in live.execute(
        _CALLS, (first << call_places.SHIFT, end << call_places.SHIFT)
    ):
        if kind == _CORRECTED:
            told: Any = event_of(kind, event_id, at, body, text)
            # What is settled gives way to an answer, which may have cost more.
            corrections.append((seq, None if told.reason == "settled" else told.cost_nanousd))
            continue
        call = call_places.call_of(seq, at, body)
        place = (at // civil.QUARTER_US, seq >> call_places.SHIFT)
        _count(places, place, cost)
        _count(models, (call.provider, call.model, *place), cost)
        if call.experiment is not None:
            experiments.append((seq >> call_places.CHUNK, call.experiment, seq))
    into.executemany(
        "INSERT INTO sought_place VALUES (?, ?, ?, ?)", [(*k, *v) for k, v in places.items()]
    )
    rows = [(*key, *value) for key, value in models.items()]
    into.executemany("INSERT INTO sought_model VALUES (?, ?, ?, ?, ?, ?)", rows)
    into.executemany("INSERT INTO sought_experiment VALUES (?, ?, ?)", experiments)
    into.executemany("INSERT INTO sought_correction VALUES (?, ?)", corrections)


def _count(found: dict[Row, list[int | None]], key: Row, cost: int | None) -> None:
    known = found.setdefault(key, [cost, 0])
    if cost is None:
        known[1] = (known[1] or 0) + 1
    elif known[0] is None or cost > known[0]:
        known[0] = cost


def compare(live: apsw.Connection, sought: apsw.Connection) -> tuple[int, Wrong | None]:
    """How many rows were held against what `look_through` found, and the first that is wrong."""
    ahead = call_places.ahead_of(live)
    full = int(live.execute(log.LAST).get) >> call_places.SHIFT
    if max(ahead.placed, ahead.by_model) > full:
        return 0, ("call_place", f"calls are noted beyond the {full:,} blocks that are full")
    early = live.execute(_BEFORE_ITS_BATCH).fetchone()
    if early is not None:
        batch, first, seq = early
        return 0, ("batch_key", f"{batch} is said to begin with event {first}, and has event {seq}")
    rows = 0
    for table, ought, key, noted in (
        ("call_place", "sought_place", "quarter, block", ahead.placed),
        ("call_place_model", "sought_model", "provider, model, quarter, block", ahead.by_model),
    ):
        count, wrong = _bounds(live, sought, table, ought, key, noted)
        rows += count
        if wrong:
            return rows, wrong
    return _seqs(live, sought, ahead.placed, ahead.by_model, rows)


def _bounds(
    live: apsw.Connection, sought: apsw.Connection, table: str, ought: str, key: str, noted: int
) -> tuple[int, Wrong | None]:
    columns = f"{key}, dearest, unpriced"
    there = live.execute(f"SELECT {columns} FROM {table} ORDER BY {key}")  # noqa: S608 - of ours
    sql = f"SELECT {columns} FROM {ought} WHERE block < ? ORDER BY {key}"  # noqa: S608
    dropped = int(live.execute(_DROPPED).get)
    count = 0
    for found, wanted in zip_longest(there, sought.execute(sql, (noted,))):
        if found != wanted and not _holds(found, wanted, dropped):
            return count, (table, _told(found, wanted))
        count += 1
    return count, None


def _holds(found: Row | None, wanted: Row | None, dropped: int) -> bool:
    """A bound of a block of which retention has dropped calls may be theirs."""
    if found is None or wanted is None or found[:-2] != wanted[:-2]:
        return False
    *_, block, dearest, unpriced = found
    most = -1 if dearest is None else dearest
    least = -1 if wanted[-2] is None else wanted[-2]
    return bool(block <= dropped >> call_places.SHIFT and most >= least and unpriced >= wanted[-1])


def _told(found: Row | None, wanted: Row | None) -> str:
    if found is None:
        return f"the row {wanted} is missing"
    if wanted is None:
        return f"the row {found} follows from no event"
    return f"a row is {found}, and ought to be {wanted}"


def _seqs(
    live: apsw.Connection, sought: apsw.Connection, placed: int, by_model: int, rows: int
) -> tuple[int, Wrong | None]:
    """What holds single calls: the numbers of experiments' calls, and of corrections."""
    dropped = int(live.execute(_DROPPED).get)
    wanted: Iterator[Row] = sought.execute(_OF_EXPERIMENT, (by_model << call_places.SHIFT,))
    # What retention has dropped stays noted until the last call of its chunk goes.
    there = _of_experiments(live)
    ought = next(wanted, None)
    for found in there:
        if found == ought:
            rows, ought = rows + 1, next(wanted, None)
        elif found[2] > dropped or (ought is not None and ought < found):
            break
    else:
        found = None
    if found is not None or ought is not None:
        missing = ought is not None and (found is None or ought < found)
        which = _told(None, ought) if missing else _told(found, None)
        return rows, ("call_of_experiment", which)
    sql = "SELECT seq, most FROM sought_correction WHERE seq < ? ORDER BY seq"
    for told, due in zip_longest(
        live.execute("SELECT seq, most FROM correction ORDER BY seq"),
        sought.execute(sql, (placed << call_places.SHIFT,)),
    ):
        if told != due:
            return rows, ("correction", _told(told, due))
        rows += 1
    return rows, None


def _of_experiments(live: apsw.Connection) -> Iterator[Row]:
    sql = "SELECT chunk, experiment, places FROM call_of_experiment ORDER BY chunk, experiment"
    for chunk, experiment, places in live.execute(sql):
        for seq in call_places.seqs_of(chunk, places):
            yield chunk, experiment, seq
