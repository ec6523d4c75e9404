"""Whether the time that seems to have passed can be believed, before anything is dropped for it.

A clock that jumps ahead by years would make all events old at once, and what is dropped is gone.
The ledger has witnesses of the time that truly passed: each event tells when it was recorded, and
each retention when it was done. Where none of them was about for long, somebody has to say that the
clock is right.
"""

from datetime import UTC, datetime, timedelta

import apsw

from personad import log
from personad.kinds import microseconds, moment_of

LONGEST = timedelta(days=60)
"""So long a ledger may lie unused, and still be believed; retention then comes so much too early,
at worst."""
FLOOR = datetime(2026, 1, 1, tzinfo=UTC)
"""Before this no ledger was written: a clock that said so was not set yet."""


def longest_leap(raw_days: int) -> timedelta:
    """How long nothing may have happened for the clock to be believed."""
    return min(LONGEST, timedelta(days=raw_days) / 2)


def leap(
    db: apsw.Connection, last: datetime | None, now: datetime, longest: timedelta
) -> tuple[datetime, datetime] | None:
    """The first stretch of time, longer than `longest`, of which there is no witness.

    Args:
        db: a reader of the ledger.
        last: when retention was last done, by a clock that was believed.
        now: by the daemon's clock.
        longest: see `longest_leap`.
    """
    seen = log.first_recorded_at(db, microseconds(FLOOR))
    if seen is None:
        return None
    if last is not None:
        seen = max(seen, microseconds(last))
    end, far = microseconds(now), longest // timedelta(microseconds=1)
    while end - seen > far:
        latest = log.recorded_at_by(db, seen + far)
        if latest is None or latest <= seen:
            upto = log.first_recorded_at(db, seen + 1)
            return moment_of(seen), moment_of(min(end, upto or end))
        seen = latest
    return None
