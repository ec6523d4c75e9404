"""On which terms a batch is made: those of its start, and what resumes have changed of them."""

from collections.abc import Iterable

import msgspec

from personad.contract.batch import BatchResumed, BatchStarted, Changes
from personad.contract.events import AnyEvent

EVENTS = ["batch.started", "batch.resumed"]
"""What has to be known of a batch, in its order."""


def in_force(events: Iterable[AnyEvent]) -> BatchStarted:
    """The batch as it is made now.

    Raises:
        LookupError: the first of them is no start.
    """
    started: BatchStarted | None = None
    for event in events:
        match event:
            case BatchStarted() if started is None:
                started = event
            case BatchResumed(changes=Changes() as changes) if started is not None:
                started = changed(started, changes)
            case _:
                continue
    if started is None:
        raise LookupError("this batch was never started")
    return started


def changed(started: BatchStarted, changes: Changes) -> BatchStarted:
    given = {
        name: value
        for name in changes.__struct_fields__
        if (value := getattr(changes, name)) is not None
    }
    return msgspec.structs.replace(started, **given)
