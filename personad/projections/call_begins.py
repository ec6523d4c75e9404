"""Where in the log to begin, for whoever looks for the calls of a time.

By when events were recorded, which `log.first_seq` goes by, that can't be told for certain: a clock
that was set back by more than a day has recorded what came later as earlier.
"""

import apsw
import msgspec

from personad import civil
from personad.projections import call_places
from personad.projections.memory import memory_of

_FIRST_BLOCK = """
SELECT json_array(
  (SELECT min(block) FROM call_place WHERE quarter >= :quarter),
  coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = :noted), 0)
)
"""
_KEPT = 1_000
_found_in = msgspec.json.Decoder(tuple[int | None, int]).decode


def first_seq(db: apsw.Connection, since_us: int) -> int:
    """A number before which the log has no call that happened from then on."""
    quarter = since_us // civil.QUARTER_US
    # All that is noted of the time is looked through for it, which may take longer than the rest of
    # a question; and as blocks are noted in their order, what was found once stays the first.
    known: dict[int, int] = memory_of(db).known("first block", 1, _KEPT)
    block = known.get(quarter)
    if block is None:
        values = {"quarter": quarter, "noted": call_places.NOTED}
        found, noted = _found_in(db.execute(_FIRST_BLOCK, values).get)
        block = noted if found is None else min(found, noted)
        if found is not None:
            known[quarter] = block
    return max(1, block << call_places.SHIFT)


def begins(db: apsw.Connection, ahead: call_places.Ahead, since_us: int) -> int:
    """The same; just the first number where that is all that whoever looks for calls needs to know:
    nothing was corrected, and all full blocks were looked through."""
    if ahead.is_all_known and not ahead.was_corrected:
        return 1
    return first_seq(db, since_us)
