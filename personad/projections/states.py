"""Which facts may happen to a batch and to a persona, and what they make of it: two tables.

A fact that isn't in here is kept and marked as an anomaly; a request that would cause one is
refused as a conflict.

A batch that a runner lost goes on by `batch.resumed` alone. One that was called interrupted because
nobody had claimed it goes on when it is heard of: not every program claims what it runs.
"""

from personad.contract.batch import BatchStatus, PersonaStatus

NEVER_CLAIMED = "never claimed"
"""Why a batch was interrupted that no runner ever held."""

BATCH: dict[str, dict[BatchStatus, BatchStatus]] = {
    "persona.generating": {"queued": "running", "interrupted": "running"},
    "batch.pausing": {"running": "pausing"},
    "batch.paused": {"queued": "paused", "running": "paused", "pausing": "paused"},
    "batch.resumed": {
        "queued": "running",
        "pausing": "running",
        "paused": "running",
        "interrupted": "running",
        "partial": "running",
        "failed": "running",
    },
    "batch.interrupted": {
        "queued": "interrupted",
        "running": "interrupted",
        "pausing": "interrupted",
    },
    "batch.finished completed": {
        "queued": "completed",
        "running": "completed",
        "pausing": "completed",
        "interrupted": "completed",
    },
    "batch.finished partial": {
        "queued": "partial",
        "running": "partial",
        "pausing": "partial",
        "interrupted": "partial",
    },
    "batch.finished failed": {
        "queued": "failed",
        "running": "failed",
        "pausing": "failed",
        "interrupted": "failed",
    },
    "batch.finished cancelled": {
        "queued": "cancelled",
        "running": "cancelled",
        "pausing": "cancelled",
        "paused": "cancelled",
        "interrupted": "cancelled",
    },
}

PERSONA: dict[str, dict[PersonaStatus, PersonaStatus]] = {
    # From `generating` and `validating` too: a runner died there, and another one starts over.
    # From `failed`: the batch is being retried.
    "persona.generating": {
        "pending": "generating",
        "generating": "generating",
        "validating": "generating",
        "retrying": "generating",
        "failed": "generating",
    },
    "persona.validating": {
        "generating": "validating",
        "validating": "validating",
        "retrying": "validating",
    },
    "persona.retrying": {"generating": "retrying", "validating": "retrying"},
    "persona.completed": {
        "generating": "completed",
        "validating": "completed",
        "retrying": "completed",
    },
    "persona.failed": {
        "pending": "failed",
        "generating": "failed",
        "validating": "failed",
        "retrying": "failed",
    },
}

RUNNING: frozenset[str] = frozenset({"running", "pausing"})
"""States in which time counts as elapsed."""
IN_FLIGHT: frozenset[str] = frozenset({"generating", "validating", "retrying"})
"""Persona states that a batch without a runner shows as something else."""


def standing_as(status: str) -> PersonaStatus | None:
    """What those in flight are shown as, in a batch of this state; None: as they are.

    A cancelled batch never comes to them: they are as if nobody had begun.
    """
    if status in ("paused", "interrupted"):
        return "paused"
    return "pending" if status == "cancelled" else None
