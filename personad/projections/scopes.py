"""Whose budgets a bill falls under that doesn't say so: those that its call was granted under.

A producer may bill a call by its id alone. What the grant said of it is filled in before the bill
is written down, so that no budget is passed by leaving out its name.
"""

from collections.abc import Sequence

import msgspec

from personad.contract.cost import CallStarted, CostRecorded
from personad.contract.events import AnyEvent
from personad.projections.book import Book

_CALL = "SELECT seq FROM call WHERE call = ?"


def scoped(book: Book, events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """The same events, with the batch and experiment that bills of granted calls lack."""
    if not any(map(_lacks, events)):
        return events
    return [_filled(book, event) if isinstance(event, CostRecorded) else event for event in events]


def _lacks(event: AnyEvent) -> bool:
    return isinstance(event, CostRecorded) and (event.batch is None or event.experiment is None)


def _filled(book: Book, event: CostRecorded) -> CostRecorded:
    batch, experiment = _granted_under(book, event)
    batch, experiment = event.batch or batch, event.experiment or experiment
    if (batch, experiment) == (event.batch, event.experiment):
        return event
    return msgspec.structs.replace(event, batch=batch, experiment=experiment)


def _granted_under(book: Book, event: CostRecorded) -> tuple[str | None, str | None]:
    held = book.open_calls.get(event.call)
    if held is not None:
        return held.batch, held.experiment
    # It isn't open any more: an earlier figure of the same call may know.
    row = book.db.execute(_CALL, (event.call,)).fetchone()
    past = book.past(int(row[0])) if row is not None else None
    if past is not None and isinstance(past[2], CostRecorded | CallStarted):
        return past[2].batch, past[2].experiment
    return None, None
