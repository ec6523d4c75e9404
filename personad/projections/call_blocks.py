"""The blocks of the log that can hold the calls that are wanted, in the order in which they are
read; see `call_places`.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from typing import Any

import apsw
import msgspec

from personad.projections.call_wanted import Key, Wanted
from personad.projections.cost_sums import COST

_IN_RANGE = "place.quarter >= :first AND place.quarter < :end"
_OF_MODELS = """json_each(:models) AS wanted CROSS JOIN call_place_model AS place
    ON place.provider = wanted.value ->> 0 AND place.model = wanted.value ->> 1"""
_QUARTERS = {
    "batches": ("cost_batch_quarter INDEXED BY cost_of_batch", "batch"),
    "experiments": ("cost_experiment_quarter INDEXED BY cost_of_experiment", "experiment"),
}
"""Where it says in which quarter-hours there was anything, beside what was put down lately."""
_DEAREST_FIRST = "ORDER BY dearest DESC NULLS LAST, block"
FEW = 64
"""So many are looked up before all are put in order; mostly fewer are read."""
_TRIED = 1_000
"""So many of the dearest blocks of a ledger are tried for a range before those of the range are put
in order."""
_STREAMS_MAX = 16

Block = tuple[int, int | None]
"""Its number, and what the dearest of its calls costs at most; None: none has a cost."""
_Source = tuple[str, str, bool]
"""Tables that say where calls are, under which condition, and whether of all that this leaves in
there is an index with the dearest first."""
_blocks_in = msgspec.json.Decoder(list[Block]).decode


def dearest_first(block: Block) -> Key:
    number, bound = block
    return 1 if bound is None else -bound, number


def dearest_blocks(db: apsw.Connection, wanted: Wanted) -> Iterator[Block]:
    """The blocks that can hold what is wanted, each once, those with the highest bounds first."""
    models = wanted.models
    first, *rest = _noted(wanted)
    sources: list[_Source] = [(*first, models is None), *((*each, False) for each in rest)]
    if models is not None and len(models) <= _STREAMS_MAX:
        # Each model's are in order already.
        sources[0:1] = [
            ("call_place_model AS place", f"provider = {provider} AND model = {model}", True)
            for provider, model in models
        ]
    found = _in_order(db, wanted, sources)
    ahead = sorted(((each.block, each.dearest) for each in wanted.ahead), key=dearest_first)
    return _once(merge(*found, ahead, key=dearest_first))


def later_blocks(db: apsw.Connection, wanted: Wanted) -> Iterator[Block]:
    """Those whose calls are not noted by model and experiment yet, in the same order."""
    noted = _in_order(db, wanted, [("call_place AS place", "block >= :by_model", False)])
    by_model = int(wanted.values["by_model"] or 0)
    ahead = [(each.block, each.dearest) for each in wanted.ahead if each.block >= by_model]
    return _once(merge(*noted, sorted(ahead, key=dearest_first), key=dearest_first))


def unpriced_blocks(db: apsw.Connection, wanted: Wanted) -> Iterator[Block]:
    """Those with calls that have no cost, the newest first."""
    found: list[Iterator[Any]] = [
        db.execute(
            f"{_within(wanted, *source)} AND unpriced > 0 ORDER BY block DESC", wanted.values
        )
        for source in _noted(wanted)
    ]
    ahead = [(each.block, each.dearest) for each in reversed(wanted.ahead) if each.unpriced]
    return _once(merge(*found, ahead, key=lambda block: -block[0]))


def _once(blocks: Iterable[Block]) -> Iterator[Block]:
    seen = set()
    for block in blocks:
        if block[0] not in seen:
            seen.add(block[0])
            yield block


def _noted(wanted: Wanted) -> list[tuple[str, str]]:
    """The tables that say where calls are, and under which condition."""
    if wanted.models is None:
        return [("call_place AS place", "TRUE")]
    by_model = [(_OF_MODELS, "TRUE")]
    if int(wanted.values["by_model"] or 0) >= int(wanted.values["placed"] or 0):
        return by_model
    # What is not noted by model yet is looked for among what is noted of all.
    return [*by_model, ("call_place AS place", "block >= :by_model")]


def _in_order(
    db: apsw.Connection, wanted: Wanted, sources: Sequence[_Source]
) -> list[Iterator[Block]]:
    """Of each source; the first few of all are looked up together, and of the others none before
    it is asked for."""
    asked = [_first_few(wanted, *source) for source in sources]
    sql = ", ".join(f"(SELECT json_group_array(json_array(block, dearest)) {few})" for few in asked)
    row: Any = db.execute(f"SELECT {sql}", wanted.values).fetchone()
    return [
        _from_few(db, wanted, source, _blocks_in(few))
        for source, few in zip(sources, row, strict=True)
    ]


def _first_few(wanted: Wanted, tables: str, condition: str, is_indexed: bool) -> str:
    """Where they are; too few of them, where only the dearest of an index were tried."""
    if not _is_tried(wanted, is_indexed):
        return f"FROM ({_within(wanted, tables, condition)} {_DEAREST_FIRST} LIMIT {FEW})"
    # Mostly the range has some of the very dearest, and an index has all that is asked here.
    some = f"SELECT block, dearest, quarter FROM {tables} WHERE {condition} {_DEAREST_FIRST}"  # noqa: S608
    sql = f"SELECT block, dearest FROM ({some} LIMIT {_TRIED}) AS place WHERE {_IN_RANGE}"  # noqa: S608
    return f"FROM ({sql} {_DEAREST_FIRST} LIMIT {FEW})"


def _is_tried(wanted: Wanted, is_indexed: bool) -> bool:
    return wanted.is_bounded and is_indexed


def _from_few(
    db: apsw.Connection, wanted: Wanted, source: _Source, few: list[Block]
) -> Iterator[Block]:
    """These, and then all that come after them in the source."""
    tables, condition, is_indexed = source
    sql = f"{_within(wanted, tables, condition)} {_DEAREST_FIRST}"
    if len(few) < FEW and _is_tried(wanted, is_indexed):
        few = db.execute(f"{sql} LIMIT {FEW}", wanted.values).fetchall()  # type: ignore[assignment]
    yield from few
    if len(few) == FEW:
        rest: Iterator[Any] = db.execute(f"{sql} LIMIT -1 OFFSET {FEW}", wanted.values)
        yield from rest


def _within(wanted: Wanted, tables: str, condition: str) -> str:
    """The blocks of the range, and of the quarter-hours in which there was anything wanted."""
    sql = f"SELECT block, dearest FROM {tables} WHERE {_IN_RANGE} AND {condition}"  # noqa: S608
    for name, (rows, column) in _QUARTERS.items():
        if wanted.values[name] is not None:
            some = f"WHERE {column} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608 - ours
            lately = f"SELECT bucket FROM {COST.fresh} {some}"  # noqa: S608
            sql += (
                f" AND place.quarter IN (SELECT bucket FROM {rows} {some} "  # noqa: S608
                f"UNION ALL {lately})"
            )
    return sql
