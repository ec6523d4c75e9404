"""The dearest calls of blocks of the log, remembered: what is in a full block never changes, and a
ledger's dearest blocks are read by nearly every question about calls.

What retention drops may still be remembered: whoever looks such a call up finds out.
"""

import json
from collections.abc import Sequence

import apsw
import msgspec

from personad.contract.cost import CostRecorded
from personad.kinds import CODE_OF
from personad.projections import call_places
from personad.projections.memory import memory_of

BLOCKS_MAX = 1_000
CALLS_MAX = 16
"""A block in which more are as dear as was asked for is not remembered."""
_OF_BLOCKS = f"""
SELECT json_group_array(json_array(cost, seq, at)) FROM json_each(:blocks) AS block
CROSS JOIN event WHERE seq >= (block.value << :shift) AND seq < ((block.value + 1) << :shift)
  AND kind = {CODE_OF[CostRecorded]} AND cost >= :least
"""  # noqa: S608 - a number of ours

Call = tuple[int, int, int]
"""What it cost, its seq, and when it was in microseconds."""
_Remembered = tuple[int, Sequence[Call]]
"""Every call of a block that cost so much or more."""
_calls_in = msgspec.json.Decoder(list[Call]).decode


def at_least(db: apsw.Connection, blocks: Sequence[int], least: int) -> list[Call]:
    """The calls of these full blocks that cost so much or more, in no order."""
    known: dict[int, _Remembered] = memory_of(db).known("dearest calls", len(blocks), BLOCKS_MAX)
    found: list[Call] = []
    missing = []
    for block in blocks:
        remembered = known.get(block)
        if remembered is not None and remembered[0] <= least:
            found += (call for call in remembered[1] if call[0] >= least)
        else:
            missing.append(block)
    if missing:
        # The next question may be about a little less.
        lower = least - least // 4
        calls: dict[int, list[Call]] = {block: [] for block in missing}
        for call in _read(db, missing, lower):
            calls[call[1] >> call_places.SHIFT].append(call)
            if call[0] >= least:
                found.append(call)
        known |= {block: (lower, some) for block, some in calls.items() if len(some) <= CALLS_MAX}
    return found


def _read(db: apsw.Connection, blocks: Sequence[int], least: int) -> list[Call]:
    values = {"blocks": json.dumps(blocks), "shift": call_places.SHIFT, "least": least}
    return _calls_in(db.execute(_OF_BLOCKS, values).get)
