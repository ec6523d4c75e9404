"""What a batch's end, or its standstill, means to whoever waits for it."""

from typing import assert_never

from personad.contract.batch import BatchState

ALL_DONE, NOT_ALL, TRY_LATER, INTERRUPTED = 0, 1, 75, 130

STOPPED_BY_HAND = frozenset({"user", "terminal", "shutdown"})
"""Reasons of a pause that somebody wanted; the others come from budgets, providers and time."""


def exit_status(state: BatchState) -> int | None:
    """What `generate` and `batch wait` end with; None while the batch goes on by itself.

    A batch that stands still, paused or without a runner, goes on only when somebody resumes it.
    """
    match state.status:
        case "queued" | "running" | "pausing":
            return None
        case "completed":
            return ALL_DONE
        case "partial" | "failed" | "cancelled":
            return NOT_ALL
        case "paused":
            return INTERRUPTED if state.reason in STOPPED_BY_HAND else TRY_LATER
        case "interrupted":
            return TRY_LATER
        case _:
            assert_never(state.status)


def in_flight(state: BatchState) -> int:
    """How many personas are being made at this moment."""
    return state.counts.generating + state.counts.validating


def next_step(state: BatchState) -> str | None:
    """The command that somebody who sees this batch is likely to want."""
    match state.status:
        case "queued" | "running" | "pausing":
            return f"`persona batch watch {state.batch}` shows how it goes on"
        case "paused" | "interrupted":
            return f"`persona batch resume {state.batch}` goes on with it"
        case _:
            return None
