"""Where in the log calls lie, so that some of them are found without reading all of it.

The log is looked at in blocks of 512 numbers. Of each quarter-hour and block with calls it is noted
what the dearest of them cost, and how many have no price: whoever asks for the dearest calls reads
the blocks with the highest bounds, until the next one can't hold a dearer call than those that were
found. By model it is noted likewise, so that the calls of a cheap one are found among dear ones.

An append pays nothing for it: full blocks are noted in quiet moments (see `tidy`). What lies behind
the last of them is read as it is, so no answer depends on when that happens.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, merge

import apsw

from personad import civil, log
from personad.contract.asking import Filter
from personad.contract.cost import CostCorrected, CostRecorded
from personad.kinds import CODE_OF, part_of
from personad.projections.asked import Asked

SHIFT = 9
"""A block has 2⁹ numbers."""
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
TABLES = ("call_place", "call_place_model", "correction")

_RECORDED, _CORRECTED = CODE_OF[CostRecorded], CODE_OF[CostCorrected]
_PLACED = "SELECT value FROM meta WHERE name = ?"
_SET_PLACED = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"
_ALL, _MODELS = "calls_placed", "calls_placed_by_model"
"""How far these are: so many blocks, from the log's beginning."""
_QUARTER = f"at / {civil.QUARTER_US} - (at % {civil.QUARTER_US} < 0)"
_OF_BLOCKS = f"""
SELECT kind, {_QUARTER}, seq >> :shift, max(cost), sum(cost IS NULL) FROM event
WHERE seq >= :low AND seq < :high AND kind IN ({_RECORDED}, {_CORRECTED}) GROUP BY 1, 2, 3
"""  # noqa: S608 - numbers of ours
_CALLS_OF_BLOCKS = f"""
SELECT {_QUARTER}, seq >> :shift, cost, body FROM event
WHERE seq >= :low AND seq < :high AND kind = {_RECORDED}
"""  # noqa: S608
_PUT = "INSERT INTO call_place (quarter, block, dearest, unpriced) VALUES (?, ?, ?, ?)"
_PUT_MODEL = """
INSERT INTO call_place_model (provider, model, quarter, block, dearest, unpriced)
VALUES (?, ?, ?, ?, ?, ?)
"""
_CORRECTIONS_OF_BLOCKS = f"""
SELECT seq, body FROM event WHERE seq >= :low AND seq < :high AND kind = {_CORRECTED}
"""  # noqa: S608
_PUT_CORRECTION = "INSERT INTO correction (seq, most) VALUES (?, ?)"
_CORRECTIONS = f"""
SELECT seq FROM correction JOIN event USING (seq)
WHERE seq >= :first AND (most IS NULL OR most >= :least)
UNION ALL SELECT seq FROM event WHERE seq >= max(:first, :tail) AND kind = {_CORRECTED}
"""  # noqa: S608

_IN_RANGE = "place.quarter >= :first AND place.quarter < :end"
_OF_MODELS = f"""(
  SELECT block, quarter, dearest, unpriced
  FROM json_each(:models) AS wanted CROSS JOIN call_place_model AS place
    ON place.provider = wanted.value ->> 0 AND place.model = wanted.value ->> 1
  WHERE {_IN_RANGE} AND block < :by_model
  UNION ALL SELECT block, quarter, dearest, unpriced
  FROM call_place AS place WHERE {_IN_RANGE} AND block >= :by_model
) AS place"""  # noqa: S608 - of ours
_QUARTERS = {
    "batches": "cost_batch_quarter INDEXED BY cost_of_batch WHERE batch",
    "experiments": "cost_experiment_quarter INDEXED BY cost_of_experiment WHERE experiment",
}
_PAIRS = """
SELECT DISTINCT p.key, m.key FROM dim
JOIN word AS p ON p.text = provider JOIN word AS m ON m.text = model
WHERE (:providers = '[]' OR provider IN (SELECT value FROM json_each(:providers)))
  AND (:models = '[]' OR model IN (SELECT value FROM json_each(:models)))
"""
_WORDS = "SELECT key FROM word WHERE text IN (SELECT value FROM json_each(?))"
_BATCH_KEYS = "SELECT key FROM batch_key WHERE batch IN (SELECT value FROM json_each(?))"
_EXPERIMENT_KEYS = "SELECT key FROM experiment WHERE experiment IN (SELECT value FROM json_each(?))"
_CALLS = f"""
SELECT ifnull(-cost, 1), seq, {{}} FROM event
WHERE seq >= :low AND seq < :high AND kind = {_RECORDED} AND at >= :since AND at < :until
  AND (:batches IS NULL OR batch IN (SELECT value FROM json_each(:batches)))
"""  # noqa: S608
_UNPRICED_ONLY = " AND cost IS NULL"
_model_of = part_of(CostRecorded, "provider", "model")
_figure_of = part_of(CostCorrected, "cost_nanousd", "reason")
_scope_of = part_of(CostRecorded, "provider", "model", "experiment")
_FEW = 64
_SEQ_END = 2**63 - 1

Key = tuple[int, int]
"""What calls are ordered by; of `_dearest`, those without a cost are last."""
_Call = tuple[int, int, bytes | None]
"""The same with its body; no two have the same key."""


def place(db: apsw.Connection, most: int) -> int:
    """Notes where the calls of up to so many full blocks lie; how many blocks it were."""
    first, end = _due(db, _ALL, most)
    span = {"low": first << SHIFT, "high": end << SHIFT, "shift": SHIFT}
    rows = db.execute(_OF_BLOCKS, span).fetchall() if first < end else []
    if any(kind == _CORRECTED for kind, *_ in rows):
        _note_corrections(db, span)
    db.executemany(_PUT, [told for kind, *told in rows if kind == _RECORDED])
    return _done(db, _ALL, first, end)


def _note_corrections(db: apsw.Connection, span: dict[str, int]) -> None:
    found = [(seq, _figure_of(body)) for seq, body in db.execute(_CORRECTIONS_OF_BLOCKS, span)]
    # What is settled for want of an answer gives way to one, which may have cost more.
    rows = [(seq, None if f.reason == "settled" else f.cost_nanousd) for seq, f in found]
    db.executemany(_PUT_CORRECTION, rows)


def place_models(db: apsw.Connection, most: int) -> int:
    """Likewise by model, which takes five times as long."""
    first, end = _due(db, _MODELS, most)
    found: dict[tuple[int, ...], list[int | None]] = {}
    span = {"low": first << SHIFT, "high": end << SHIFT, "shift": SHIFT}
    for quarter, block, cost, body in db.execute(_CALLS_OF_BLOCKS, span) if first < end else ():
        call = _model_of(body)
        known = found.setdefault((call.provider, call.model, quarter, block), [cost, 0])
        if cost is None:
            known[1] += 1  # type: ignore[operator]
        elif known[0] is None or cost > known[0]:
            known[0] = cost
    db.executemany(_PUT_MODEL, [(*key, *told) for key, told in found.items()])
    return _done(db, _MODELS, first, end)


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


def corrections(db: apsw.Connection, first: int, least: int) -> list[int]:
    """The seqs of corrections from `first` on, of those that retention has left; some of them that
    can't have brought a call to that cost are left out."""
    values = {"first": first, "tail": _placed(db, _ALL) << SHIFT, "least": least}
    return [seq for (seq,) in db.execute(_CORRECTIONS, values)]


@dataclass(frozen=True)
class _Wanted:
    """What a question is about, as the log has it."""

    values: dict[str, str | int | None]
    """Of the statements: the range in quarter-hours (`first`, `end`) and in microseconds (`since`,
    `until`); and as JSON, None for any, pairs of words (`models`), and keys of `batches` and of
    `experiments`."""
    fits: Callable[[bytes], bool] | None
    """Whether a body is of these models and experiments; None: it always is."""

    def has(self, body: bytes | None) -> bool:
        return self.fits is None or self.fits(body or b"")


def dearest(
    db: apsw.Connection, asked: Asked, kept: Filter, batches: Iterable[str], first: int
) -> Iterator[int]:
    """The seqs of recorded costs of that range, those with the highest cost first, those without
    a cost last; of several that cost the same, in their order. Others may be among them that
    the filter doesn't leave in. `batches` are those that it names, whole ids; before `first` there
    is none of the range.
    """
    wanted = _wanted(db, asked, kept, batches)
    tail = _placed(db, _ALL) << SHIFT
    blocks = _blocks(db, wanted, "place.dearest DESC NULLS LAST, place.block")
    behind = _tail(db, wanted, max(tail, first), " ORDER BY 1, 2")
    for _, seq in merge(_of_blocks(db, wanted, blocks, tail), behind):
        yield seq


def unpriced(
    db: apsw.Connection, asked: Asked, kept: Filter, batches: Iterable[str], first: int
) -> Iterator[int]:
    """The seqs of those without a cost, the newest first; otherwise as `dearest`."""
    wanted = _wanted(db, asked, kept, batches)
    tail = _placed(db, _ALL) << SHIFT
    for _, seq in _tail(db, wanted, max(tail, first), f"{_UNPRICED_ONLY} ORDER BY seq DESC"):
        yield seq
    for block, _ in _blocks(db, wanted, "place.block DESC", " AND place.unpriced > 0"):
        low, high = block << SHIFT, min((block + 1) << SHIFT, tail)
        found = _calls(db, wanted, low, high, _UNPRICED_ONLY)
        yield from sorted((seq for _, seq, body in found if wanted.has(body)), reverse=True)


def _of_blocks(
    db: apsw.Connection, wanted: _Wanted, blocks: Iterable[tuple[int, int | None]], tail: int
) -> Iterator[Key]:
    """In order: a call is told as soon as no block that is left can hold one before it."""
    waiting: list[_Call] = []
    for block, bound in blocks:
        low = block << SHIFT
        least = (1 if bound is None else -bound), low
        yield from _those_before(least, waiting, wanted)
        for call in _calls(db, wanted, low, min((block + 1) << SHIFT, tail)):
            heappush(waiting, call)
    yield from _those_before((1, _SEQ_END), waiting, wanted)


def _those_before(least: Key, waiting: list[_Call], wanted: _Wanted) -> Iterator[Key]:
    """Takes them out; few of those that wait ever get there, so they are looked at only now."""
    while waiting and waiting[0] < least:
        cost, seq, body = heappop(waiting)
        if wanted.has(body):
            yield cost, seq


def _blocks(
    db: apsw.Connection, wanted: _Wanted, order: str, more: str = ""
) -> Iterator[tuple[int, int | None]]:
    """The blocks that can hold what is wanted, each once, and what the dearest there costs at most;
    the first few are told before all are put in order."""
    sql = f"SELECT place.block, place.dearest FROM {_source(wanted)}{more} ORDER BY {order}"  # noqa: S608
    values = wanted.values | {"by_model": _placed(db, _MODELS)}
    seen = set()
    for part in (f" LIMIT {_FEW}", f" LIMIT -1 OFFSET {_FEW}"):
        for block, dearest in db.execute(sql + part, values):
            if block not in seen:
                seen.add(block)
                yield block, dearest


def _source(wanted: _Wanted) -> str:
    tables = "call_place AS place" if wanted.values["models"] is None else _OF_MODELS
    found = f"{tables} WHERE {_IN_RANGE}"
    for name, rows in _QUARTERS.items():
        if wanted.values[name] is not None:
            found += (
                f" AND place.quarter IN (SELECT bucket FROM {rows} "  # noqa: S608 - of ours
                f"IN (SELECT value FROM json_each(:{name})))"
            )
    return found


def _tail(db: apsw.Connection, wanted: _Wanted, low: int, more: str) -> Iterator[Key]:
    """Those from there on, in the order of `more`: there may be any number of them."""
    fits, values = wanted.fits, wanted.values | {"low": low, "high": _SEQ_END}
    for cost, seq, body in db.execute(_CALLS.format("body" if fits else "NULL") + more, values):
        if wanted.has(body):
            yield cost, seq


def _calls(
    db: apsw.Connection, wanted: _Wanted, low: int, high: int, only: str = ""
) -> list[_Call]:
    """Those of a part of the log, in no order; with bodies where `wanted` looks at these."""
    sql = _CALLS.format("body" if wanted.fits else "NULL") + only
    return db.execute(sql, wanted.values | {"low": low, "high": high}).fetchall()  # type: ignore[return-value]


def _wanted(db: apsw.Connection, asked: Asked, kept: Filter, batches: Iterable[str]) -> _Wanted:
    models = _models(db, kept) if kept.providers or kept.models else None
    experiments = kept.experiments
    return _Wanted(
        values={
            "first": asked.first,
            "end": asked.end,
            "since": asked.first * civil.QUARTER_US,
            "until": asked.end * civil.QUARTER_US,
            "models": None if models is None else json.dumps(models),
            "batches": _keys(db, _BATCH_KEYS, list(batches)),
            "experiments": _keys(db, _EXPERIMENT_KEYS, experiments),
        },
        fits=_fitting(models, _found(db, _WORDS, experiments) if experiments else None),
    )


def _keys(db: apsw.Connection, sql: str, names: Sequence[str]) -> str | None:
    return json.dumps(_found(db, sql, names)) if names else None


def _models(db: apsw.Connection, kept: Filter) -> list[Key]:
    values = {"providers": json.dumps(kept.providers), "models": json.dumps(kept.models)}
    return db.execute(_PAIRS, values).fetchall()  # type: ignore[return-value]


def _found(db: apsw.Connection, sql: str, names: Sequence[str]) -> list[int]:
    return [key for (key,) in db.execute(sql, (json.dumps(names),))]


def _fitting(
    models: Sequence[Key] | None, experiments: Sequence[int] | None
) -> Callable[[bytes], bool] | None:
    if models is None and experiments is None:
        return None
    of_models = None if models is None else frozenset(models)
    of_experiments = None if experiments is None else frozenset(experiments)

    def fits(body: bytes) -> bool:
        call = _scope_of(body)
        return (of_models is None or (call.provider, call.model) in of_models) and (
            of_experiments is None or call.experiment in of_experiments
        )

    return fits
