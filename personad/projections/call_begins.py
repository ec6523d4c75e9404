"""Where in the log to begin, for whoever looks for the calls of a time.

By when events were recorded, which `log.first_seq` goes by, that can't be told for certain: a clock
that was set back by more than a day has recorded what came later as earlier.
"""

import apsw

from personad import civil
from personad.projections import call_places

_FIRST_BLOCK = f"""
WITH noted (blocks) AS (
  SELECT coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = '{call_places.NOTED}'), 0)
)
SELECT min(blocks, coalesce((SELECT min(block) FROM call_place WHERE quarter >= ?), blocks))
FROM noted
"""  # noqa: S608 - a name of ours


def first_seq(db: apsw.Connection, since_us: int) -> int:
    """A number before which the log has no call that happened from then on."""
    block = int(db.execute(_FIRST_BLOCK, (since_us // civil.QUARTER_US,)).get)
    return max(1, block << call_places.SHIFT)


def begins(db: apsw.Connection, ahead: call_places.Ahead, since_us: int) -> int:
    """The same; just the first number where that is all that whoever looks for calls needs to know:
    nothing was corrected, and all full blocks were looked through."""
    if ahead.is_all_known and not ahead.was_corrected:
        return 1
    return first_seq(db, since_us)
