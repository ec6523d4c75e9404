"""Calls in the order in which they are asked for, found by where they lie in the log.

Whoever asks for the dearest calls reads the blocks with the highest bounds, until the next one
can't hold a dearer call than those that were found; see `call_places`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush, merge
from itertools import islice
from typing import Any

import apsw
import msgspec

from personad.contract.asking import Filter
from personad.contract.cost import CostRecorded
from personad.kinds import CODE_OF
from personad.projections import call_begins, call_dearest, call_places
from personad.projections.asked import Asked
from personad.projections.call_blocks import (
    FEW,
    Block,
    dearest_blocks,
    dearest_first,
    later_blocks,
    unpriced_blocks,
)
from personad.projections.call_places import Ahead
from personad.projections.call_wanted import Key, Wanted, keys_in, wanted_of

_RECORDED = CODE_OF[CostRecorded]
_KEY = "ifnull(-cost, 1), seq"
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
_BODIES = """
SELECT json_group_array(json_array(seq, hex(body))) FROM json_each(?) AS wanted
CROSS JOIN event WHERE seq = wanted.value
"""
_UNPRICED_ONLY = " AND cost IS NULL"
_AT_ONCE = 8
"""So many blocks are read at once, where more calls are asked for than expected."""
_CALLS_MAX = 4_000
"""Of experiments with more calls blocks are read."""
_SEQ_END = 2**63 - 1

# What is looked up comes as one row each: while events are taken in, whoever asks SQLite waits for
# its turn after each row, too.
_bodies_in = msgspec.json.Decoder(list[tuple[int, str]]).decode


def in_order(
    db: apsw.Connection,
    asked: Asked,
    kept: Filter,
    batches: Iterable[str],
    ahead: Ahead,
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
    wanted = wanted_of(db, asked, kept, batches, ahead)
    return _unpriced(db, wanted, first) if unpriced else _dearest(db, wanted, first, expected)


def _dearest(db: apsw.Connection, wanted: Wanted, first: int, expected: int) -> Iterator[int]:
    known = _of_experiments(db, wanted)
    blocks = dearest_blocks(db, wanted) if known is None else later_blocks(db, wanted)
    found = _of_blocks(db, wanted, blocks, min(expected, FEW))
    behind = _tail(db, wanted, first, " ORDER BY 1, 2")
    for _, seq in merge(known or (), found, behind):
        yield seq


def _unpriced(db: apsw.Connection, wanted: Wanted, first: int) -> Iterator[int]:
    for _, seq in _tail(db, wanted, first, f"{_UNPRICED_ONLY} ORDER BY seq DESC"):
        yield seq
    for block in unpriced_blocks(db, wanted):
        found = sorted(_calls(db, wanted, [block], _UNPRICED_ONLY), reverse=True)
        for _, seq in _fitting_of(db, wanted, iter(found)):
            yield seq


def _of_experiments(db: apsw.Connection, wanted: Wanted) -> Iterator[Key] | None:
    """Those that are noted by experiment, in order; None where these are too many to look at."""
    if wanted.words is None:
        return None
    begin = call_begins.first_seq(db, int(wanted.values["since"] or 0))
    by_model = int(wanted.values["by_model"] or 0)
    seqs = call_places.of_experiments(db, by_model, wanted.words, begin, _CALLS_MAX)
    if seqs is None:
        return None
    found = _gathered(db, _OF_SEQS, wanted.values | {"seqs": json.dumps(seqs)})
    return _fitting_of(db, wanted, iter(sorted(found)))


def _of_blocks(
    db: apsw.Connection, wanted: Wanted, blocks: Iterator[Block], expected: int
) -> Iterator[Key]:
    """In order: a call is told as soon as no block that is left can hold one before it."""
    some = list(islice(blocks, expected))
    ahead = next(blocks, None)
    told = None
    if ahead is not None and ahead[1] is not None and wanted.is_bounded:
        # Each of these blocks has a call that costs as much as the one ahead, so few others are
        # asked for: only of them are all others read.
        told = _least(ahead)
        found = [call for call in _at_least(db, wanted, some, ahead[1]) if call < told]
        yield from _fitting_of(db, wanted, iter(sorted(found)))
    waiting: list[Key] = []
    while some:
        for call in _calls(db, wanted, some):
            if told is None or call >= told:
                heappush(waiting, call)
        yield from _fitting_of(db, wanted, _those_before(_least(ahead), waiting))
        some = [] if ahead is None else [ahead, *islice(blocks, _AT_ONCE - 1)]
        ahead = next(blocks, None)


def _at_least(
    db: apsw.Connection, wanted: Wanted, blocks: Sequence[Block], least: int
) -> list[Key]:
    """The calls of these blocks that cost so much or more, in no order; some need not fit."""
    since, until = (int(wanted.values[each] or 0) for each in ("since", "until"))
    found = call_dearest.at_least(db, [number for number, _ in blocks], least)
    return [(-cost, seq) for cost, seq, at in found if since <= at < until]


def _least(block: Block | None) -> Key:
    """The first that a call of that block, or of one after it, can be."""
    if block is None:
        return 1, _SEQ_END
    bound, number = dearest_first(block)
    return bound, number << call_places.SHIFT


def _those_before(least: Key, waiting: list[Key]) -> Iterator[Key]:
    """Takes them out."""
    while waiting and waiting[0] < least:
        yield heappop(waiting)


def _fitting_of(db: apsw.Connection, wanted: Wanted, calls: Iterator[Key]) -> Iterator[Key]:
    """Those whose bodies are of what is wanted, in the same order; few of a block's calls ever get
    here, so they are looked at only now."""
    if wanted.fits is None:
        yield from calls
        return
    while part := list(islice(calls, FEW)):
        seqs = json.dumps([seq for _, seq in part])
        found = _bodies_in(db.execute(_BODIES, (seqs,)).get)
        fitting = {seq for seq, body in found if wanted.fits(bytes.fromhex(body))}
        yield from (call for call in part if call[1] in fitting)


def _tail(db: apsw.Connection, wanted: Wanted, first: int, more: str) -> Iterator[Key]:
    """Those that lie where nobody has looked yet, in the order of `more`."""
    low = max(first, int(wanted.values["tail"] or 0))
    body = "NULL" if wanted.fits is None else "body"
    only, values = _only(wanted)
    sql = f"SELECT {_KEY}, {body} {_FROM_THERE_ON}{only}{more}"
    rows: Iterator[Any] = db.execute(sql, values | {"low": low})
    for cost, seq, data in rows:
        if wanted.fits is None or wanted.fits(data):
            yield cost, seq


def _calls(
    db: apsw.Connection,
    wanted: Wanted,
    blocks: Iterable[Block],
    only: str = "",
) -> list[Key]:
    """Those of these blocks, in no order; not all of them need fit."""
    fitting, values = _only(wanted)
    told = json.dumps([number for number, _ in blocks])
    values = values | {"blocks": told, "shift": call_places.SHIFT}
    return _gathered(db, f"{_OF_BLOCKS}{fitting}{only}", values)


_Values = dict[str, str | int | None] | dict[str, str | int | bytes | None]


def _gathered(db: apsw.Connection, source: str, values: _Values) -> list[Key]:
    sql = f"SELECT json_group_array(json_array({_KEY})) {source}"
    return keys_in(db.execute(sql, values).get)


def _only(wanted: Wanted) -> tuple[str, dict[str, str | int | bytes | None]]:
    """A condition of bodies, where there is one that SQLite knows; and all values."""
    names = [f"pattern{n}" for n in range(len(wanted.patterns))]
    values = {**wanted.values, **dict(zip(names, wanted.patterns, strict=True))}
    found = " OR ".join(f"instr(body, :{name})" for name in names)
    return f" AND ({found})" if found else "", values
