"""Which runner holds which batch.

Deadlines are kept by the monotonic clock, in memory: it stands still while the machine sleeps, so
a sleep makes nobody dead, and after a restart every lease begins anew.
"""

from dataclasses import dataclass, field

import apsw

from personad.contract.errors import LedgerError

_GET = "SELECT runner, fence, ttl_ms FROM lease WHERE batch = ?"
_SET = """
INSERT INTO lease (batch, runner, fence, ttl_ms) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET runner = excluded.runner, fence = excluded.fence, ttl_ms = excluded.ttl_ms
"""
_EXPECTED = """
SELECT batch, runner, ttl_ms FROM batch LEFT JOIN lease USING (batch)
WHERE status = 'queued' OR (status IN ('running', 'pausing') AND fence IS NOT NULL)
"""

UNCLAIMED_MS = 30_000
"""How long a batch that was queued or resumed may wait for its runner, or for a word of it."""


@dataclass(slots=True)
class Leases:
    """The deadlines; used by the writer's thread, looked at by the one that watches the time."""

    deadlines: dict[str, float] = field(default_factory=dict)
    """Monotonic seconds, by batch."""

    def load(self, db: apsw.Connection, clock: float) -> None:
        """After a start: whoever held a lease, or was about to, has the full time again."""
        for batch, runner, ttl_ms in db.execute(_EXPECTED):
            wait_ms = UNCLAIMED_MS if runner is None else ttl_ms
            self.deadlines[batch] = clock + wait_ms / 1_000

    def expired(self, clock: float) -> list[str]:
        return [batch for batch, deadline in list(self.deadlines.items()) if deadline < clock]


@dataclass(frozen=True, slots=True)
class Lease:
    runner: str | None
    fence: int
    ttl_ms: int


def get(db: apsw.Connection, batch: str) -> Lease:
    row = db.execute(_GET, (batch,)).fetchone()
    return Lease(*row) if row else Lease(None, 0, 0)


def check_fence(db: apsw.Connection, batch: str, fence: int, *, runner: str | None = None) -> None:
    """Raises LedgerError `conflict` where another runner has claimed the batch since, or where it
    isn't `runner` who holds it."""
    held = get(db, batch)
    if held.fence != fence or (runner is not None and held.runner != runner):
        raise LedgerError(
            "conflict",
            f"this runner's hold on {batch} was lost (fence {fence}, now {held.fence})",
            field="$.fence",
        )


def put(db: apsw.Connection, batch: str, lease: Lease) -> None:
    db.execute(_SET, (batch, lease.runner, lease.fence, lease.ttl_ms))
