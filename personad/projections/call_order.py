"""Calls in the order in which they are asked for, found by where they lie in the log.

Whoever asks for the dearest calls reads the blocks with the highest bounds, until the next one
can't hold a dearer call than those that were found; see `call_places`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, merge
from itertools import islice
from typing import Any

import apsw
import msgspec

from personad import civil, log
from personad.contract.asking import Filter
from personad.contract.cost import CostRecorded
from personad.kinds import CODE_OF, part_of
from personad.projections import call_places
from personad.projections.asked import Asked
from personad.projections.call_places import Place

_RECORDED = CODE_OF[CostRecorded]
_IN_RANGE = "place.quarter >= :first AND place.quarter < :end"
_OF_MODELS = """json_each(:models) AS wanted CROSS JOIN call_place_model AS place
    ON place.provider = wanted.value ->> 0 AND place.model = wanted.value ->> 1"""
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
_KEY = "SELECT ifnull(-cost, 1), seq"
_IS_CALL = f"""kind = {_RECORDED} AND at >= :since AND at < :until
  AND (:batches IS NULL OR batch IN (SELECT value FROM json_each(:batches)))"""  # noqa: S608 - numbers of ours
_OF_BLOCKS = f"""
FROM json_each(:blocks) AS block CROSS JOIN event
WHERE seq >= (block.value << :shift) AND seq < min((block.value + 1) << :shift, :tail)
  AND {_IS_CALL}
"""
_OF_SEQS = f"""
FROM json_each(:seqs) AS wanted CROSS JOIN event
WHERE seq = wanted.value AND seq < :tail AND {_IS_CALL}
"""
_FROM_THERE_ON = f"FROM event WHERE seq >= :low AND {_IS_CALL}"
_UNPRICED_ONLY = " AND cost IS NULL"
_AT_LEAST = " AND cost >= :least"
_scope_of = part_of(CostRecorded, "provider", "model", "experiment")
_FEW = 64
_AT_ONCE = 8
"""So many blocks are read at once, where more calls are asked for than expected."""
_TRIED = 1_000
"""So many of the dearest blocks of a ledger are tried for a range before those of the range are put
in order."""
_STREAMS_MAX = 16
_CALLS_MAX = 4_000
"""Of experiments with more calls blocks are read."""
_PATTERNS_MAX = 8
_SEQ_END = 2**63 - 1

Key = tuple[int, int]
"""What calls are ordered by: those without a cost are last."""
_Call = tuple[int, int, bytes | None]
"""The same with its body; no two have the same key."""
_Block = tuple[int, int | None]
"""Its number, and what the dearest of its calls costs at most; None: none has a cost."""


@dataclass(frozen=True)
class _Wanted:
    """What a question is about, as the log has it."""

    values: dict[str, str | int | None]
    """Of the statements: the range in quarter-hours (`first`, `end`) and in microseconds (`since`,
    `until`); and as JSON, None for any, pairs of words (`models`), and keys of `batches` and of
    `experiments`. From the block `placed` on it is not noted where calls are, and from `by_model`
    on not by model; from the number `tail` on nobody has looked yet."""
    fits: Callable[[bytes], bool] | None
    """Whether a body is of these models and experiments; None: it always is."""
    models: Sequence[Key] | None
    words: Sequence[int] | None
    """Of the experiments."""
    ahead: Sequence[Place]
    """Of blocks from `placed` on and before `tail`, what is not noted."""
    patterns: Sequence[bytes]
    """One of these is in the body of a call that fits; none: it may be any."""

    def has(self, body: bytes | None) -> bool:
        return self.fits is None or self.fits(body or b"")

    @property
    def is_bounded(self) -> bool:
        """Whether the dearest call of a block that is noted is mostly a wanted one."""
        return self.values["batches"] is None and self.values["experiments"] is None


def in_order(
    db: apsw.Connection,
    asked: Asked,
    kept: Filter,
    batches: Iterable[str],
    first: int,
    expected: int,
    *,
    unpriced: bool,
) -> Iterator[int]:
    """The seqs of recorded costs of that range, those with the highest cost first, those without
    a cost last; of several that cost the same, in their order. If `unpriced`, of those without a
    cost alone, the newest first. Others may be among them that the filter doesn't leave in.
    `batches` are those that it names, whole ids; before `first` there is none of the range. It is
    quickest where no more than `expected` are taken.
    """
    wanted = _wanted(db, asked, kept, batches)
    return _unpriced(db, wanted, first) if unpriced else _dearest(db, wanted, first, expected)


def _dearest(db: apsw.Connection, wanted: _Wanted, first: int, expected: int) -> Iterator[int]:
    known = _of_experiments(db, wanted)
    blocks = _dearest_blocks(db, wanted) if known is None else _later_blocks(db, wanted)
    found = _of_blocks(db, wanted, blocks, min(expected, _FEW))
    behind = _tail(db, wanted, first, " ORDER BY 1, 2")
    for _, seq in merge(known or (), found, behind):
        yield seq


def _unpriced(db: apsw.Connection, wanted: _Wanted, first: int) -> Iterator[int]:
    for _, seq in _tail(db, wanted, first, f"{_UNPRICED_ONLY} ORDER BY seq DESC"):
        yield seq
    for block in _unpriced_blocks(db, wanted):
        found = _calls(db, wanted, [block], _UNPRICED_ONLY)
        yield from sorted((seq for _, seq, body in found if wanted.has(body)), reverse=True)


def _of_experiments(db: apsw.Connection, wanted: _Wanted) -> list[Key] | None:
    """Those that are noted by experiment, in order; None where these are too many to look at."""
    if wanted.words is None:
        return None
    begin = log.first_seq(db, int(wanted.values["since"] or 0))
    seqs = call_places.of_experiments(db, wanted.words, begin, _CALLS_MAX)
    if seqs is None:
        return None
    body, _, values = _looking_at(wanted)
    values |= {"seqs": json.dumps(seqs)}
    found: list[Any] = db.execute(f"{_KEY}, {body} {_OF_SEQS}", values).fetchall()
    return sorted((cost, seq) for cost, seq, data in found if wanted.has(data))


def _dearest_first(block: _Block) -> Key:
    number, bound = block
    return 1 if bound is None else -bound, number


def _of_blocks(
    db: apsw.Connection, wanted: _Wanted, blocks: Iterator[_Block], expected: int
) -> Iterator[Key]:
    """In order: a call is told as soon as no block that is left can hold one before it."""
    some = list(islice(blocks, expected))
    ahead = next(blocks, None)
    told = None
    if ahead is not None and ahead[1] is not None and wanted.is_bounded:
        # Each of these blocks has a call that costs as much as the one ahead, so few others are
        # asked for: only of them are all others read.
        told = _least(ahead)
        found = [call for call in _calls(db, wanted, some, _AT_LEAST, ahead[1]) if call < told]
        heapify(found)
        yield from _those_before(told, found, wanted)
    waiting: list[_Call] = []
    while some:
        for call in _calls(db, wanted, some):
            if told is None or call >= told:
                heappush(waiting, call)
        yield from _those_before(_least(ahead), waiting, wanted)
        some = [] if ahead is None else [ahead, *islice(blocks, _AT_ONCE - 1)]
        ahead = next(blocks, None)


def _least(block: _Block | None) -> Key:
    """The first that a call of that block, or of one after it, can be."""
    if block is None:
        return 1, _SEQ_END
    bound, number = _dearest_first(block)
    return bound, number << call_places.SHIFT


def _those_before(least: Key, waiting: list[_Call], wanted: _Wanted) -> Iterator[Key]:
    """Takes them out; few of those that wait ever get there, so they are looked at only now."""
    while waiting and waiting[0] < least:
        cost, seq, body = heappop(waiting)
        if wanted.has(body):
            yield cost, seq


def _dearest_blocks(db: apsw.Connection, wanted: _Wanted) -> Iterator[_Block]:
    """The blocks that can hold what is wanted, each once, those with the highest bounds first."""
    models = wanted.models
    first, *rest = _noted(wanted)
    sources = [(*first, models is None), *((*each, False) for each in rest)]
    if models is not None and len(models) <= _STREAMS_MAX:
        # Each model's are in order already.
        sources[0:1] = [
            ("call_place_model AS place", f"provider = {provider} AND model = {model}", True)
            for provider, model in models
        ]
    found = [_in_order(db, wanted, *source) for source in sources]
    ahead = sorted(((each.block, each.dearest) for each in wanted.ahead), key=_dearest_first)
    return _once(merge(*found, ahead, key=_dearest_first))


def _later_blocks(db: apsw.Connection, wanted: _Wanted) -> Iterator[_Block]:
    """Those whose calls are not noted by model and experiment yet, in the same order."""
    noted = _in_order(db, wanted, "call_place AS place", "block >= :by_model", False)
    by_model = int(wanted.values["by_model"] or 0)
    ahead = [(each.block, each.dearest) for each in wanted.ahead if each.block >= by_model]
    return _once(merge(noted, sorted(ahead, key=_dearest_first), key=_dearest_first))


def _unpriced_blocks(db: apsw.Connection, wanted: _Wanted) -> Iterator[_Block]:
    """Those with calls that have no cost, the newest first."""
    found: list[Iterator[Any]] = [
        db.execute(
            f"{_within(wanted, *source)} AND unpriced > 0 ORDER BY block DESC", wanted.values
        )
        for source in _noted(wanted)
    ]
    ahead = [(each.block, each.dearest) for each in reversed(wanted.ahead) if each.unpriced]
    return _once(merge(*found, ahead, key=lambda block: -block[0]))


def _once(blocks: Iterable[_Block]) -> Iterator[_Block]:
    seen = set()
    for block in blocks:
        if block[0] not in seen:
            seen.add(block[0])
            yield block


def _noted(wanted: _Wanted) -> list[tuple[str, str]]:
    """The tables that say where calls are, and under which condition."""
    if wanted.models is None:
        return [("call_place AS place", "TRUE")]
    by_model = [(_OF_MODELS, "TRUE")]
    if wanted.values["by_model"] == wanted.values["placed"]:
        return by_model
    # What is not noted by model yet is looked for among what is noted of all.
    return [*by_model, ("call_place AS place", "block >= :by_model")]


def _in_order(
    db: apsw.Connection, wanted: _Wanted, tables: str, condition: str, is_indexed: bool
) -> Iterator[_Block]:
    """The first few are told before all are put in order. Of all that the condition leaves in there
    may be an index in this order."""
    order = "ORDER BY dearest DESC NULLS LAST, block"
    few: list[Any] = []
    if wanted.is_bounded and is_indexed:
        # Mostly the range has some of the very dearest, and an index has all that is asked here.
        some = f"SELECT block, dearest, quarter FROM {tables} WHERE {condition} {order}"  # noqa: S608
        sql = f"SELECT block, dearest FROM ({some} LIMIT {_TRIED}) AS place WHERE {_IN_RANGE} "  # noqa: S608
        few = db.execute(f"{sql}{order} LIMIT {_FEW}", wanted.values).fetchall()
    sql = f"{_within(wanted, tables, condition)} {order}"
    if len(few) < _FEW:
        few = db.execute(f"{sql} LIMIT {_FEW}", wanted.values).fetchall()
    yield from few
    if len(few) == _FEW:
        rest: Iterator[Any] = db.execute(f"{sql} LIMIT -1 OFFSET {_FEW}", wanted.values)
        yield from rest


def _within(wanted: _Wanted, tables: str, condition: str) -> str:
    """The blocks of the range, and of the quarter-hours in which there was anything wanted."""
    sql = f"SELECT block, dearest FROM {tables} WHERE {_IN_RANGE} AND {condition}"  # noqa: S608
    for name, rows in _QUARTERS.items():
        if wanted.values[name] is not None:
            sql += (
                f" AND place.quarter IN (SELECT bucket FROM {rows} "  # noqa: S608 - of ours
                f"IN (SELECT value FROM json_each(:{name})))"
            )
    return sql


def _tail(db: apsw.Connection, wanted: _Wanted, first: int, more: str) -> Iterator[Key]:
    """Those that lie where nobody has looked yet, in the order of `more`."""
    low = max(first, int(wanted.values["tail"] or 0))
    body, only, values = _looking_at(wanted)
    sql = f"{_KEY}, {body} {_FROM_THERE_ON}{only}{more}"
    for cost, seq, data in db.execute(sql, values | {"low": low}):
        if wanted.has(data):
            yield cost, seq


def _calls(
    db: apsw.Connection,
    wanted: _Wanted,
    blocks: Iterable[_Block],
    only: str = "",
    least: int = 0,
) -> list[_Call]:
    """Those of these blocks, in no order; with bodies where `wanted` looks at these."""
    body, fitting, values = _looking_at(wanted)
    told = json.dumps([number for number, _ in blocks])
    values = values | {"blocks": told, "shift": call_places.SHIFT, "least": least}
    found = db.execute(f"{_KEY}, {body} {_OF_BLOCKS}{fitting}{only}", values)
    return found.fetchall()  # type: ignore[return-value]


def _looking_at(wanted: _Wanted) -> tuple[str, str, dict[str, str | int | bytes | None]]:
    """The body, where it is looked at; a condition of it; and all values."""
    values: dict[str, str | int | bytes | None] = {**wanted.values}
    if wanted.fits is None:
        return "NULL", "", values
    names = [f"pattern{n}" for n in range(len(wanted.patterns))]
    values |= dict(zip(names, wanted.patterns, strict=True))
    found = " OR ".join(f"instr(body, :{name})" for name in names)
    return "body", f" AND ({found})" if found else "", values


def _wanted(db: apsw.Connection, asked: Asked, kept: Filter, batches: Iterable[str]) -> _Wanted:
    models = _models(db, kept) if kept.providers or kept.models else None
    words = _found(db, _WORDS, kept.experiments) if kept.experiments else None
    placed, by_model = call_places.placed(db)
    ahead = call_places.ahead_of(db)
    return _Wanted(
        values={
            "first": asked.first,
            "end": asked.end,
            "since": asked.first * civil.QUARTER_US,
            "until": asked.end * civil.QUARTER_US,
            "models": None if models is None else json.dumps(models),
            "batches": _keys(db, _BATCH_KEYS, list(batches)),
            "experiments": _keys(db, _EXPERIMENT_KEYS, kept.experiments),
            "placed": placed,
            "tail": ahead.end << call_places.SHIFT,
            "by_model": by_model,
        },
        fits=_fitting(models, words),
        models=models,
        words=words,
        ahead=[each for each in ahead.places if asked.first <= each.quarter < asked.end],
        patterns=_patterns(words),
    )


def _patterns(words: Sequence[int] | None) -> Sequence[bytes]:
    """How an experiment's number lies in a body: other bodies may have the same bytes elsewhere,
    but most are told apart before any of them is read."""
    if words is None or len(words) > _PATTERNS_MAX:
        return ()
    return [msgspec.msgpack.encode(each) for each in words]


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
