"""Which runner holds which batch.

Deadlines are kept in memory, so after a restart every lease begins anew; and in seconds in which
the daemon could hear who renews. Those stand still while the machine sleeps, and while the daemon
alone is held up: frozen with its container, without a core, or by a disk that takes its time.
Otherwise it would call everybody dead when it goes on, before it hears what they said meanwhile.
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
TICK_S = 1.0
"""How often the time is kept."""
TICK_MAX_S = 1.5
"""What a tick counts at most: one that comes later finds that the daemon was held up."""


@dataclass(slots=True)
class Leases:
    """The deadlines; used by the writer's thread, looked at by the one that watches the time."""

    deadlines: dict[str, float] = field(default_factory=dict)
    """As `now` counts, by batch."""
    _kept: tuple[float, float] = (0.0, 0.0)
    """What was counted by the last tick, and when that was: one value, as other threads read it."""

    def tick(self, clock: float) -> None:
        """The daemon is not held up: to be told once in `TICK_S`, with the monotonic seconds."""
        self._kept = (self.now(clock), clock)

    def now(self, clock: float) -> float:
        """The seconds in which the daemon could hear everybody."""
        counted, at = self._kept
        return counted + min(clock - at, TICK_MAX_S)

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
