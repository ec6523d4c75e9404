"""Whose budgets a bill falls under that doesn't say so: those that its call was granted under.

A producer may bill a call by its id alone. What the grant said of it is filled in before the bill
is written down, so that no budget is passed by leaving out its name.
"""

from collections.abc import Sequence, Set

import msgspec

from personad.contract.cost import CallStarted, CostRecorded
from personad.contract.events import AnyEvent
from personad.projections.book import Book

Scope = tuple[str | None, str | None]
"""Batch and experiment."""


def scoped(book: Book, events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """The same events, with the batch and experiment that bills of granted calls lack."""
    lacking = _lacking(events)
    if not lacking:
        return events
    granted = _granted_under(book, {event.call for event in lacking.values()})
    filled = {
        place: _filled(event, granted[event.call])
        for place, event in lacking.items()
        if event.call in granted
    }
    if not filled:
        return events
    return [filled.get(place, event) for place, event in enumerate(events)]


def are_lacking(events: Sequence[AnyEvent], calls: Set[str]) -> bool:
    """Whether any of these calls has a bill that lacks something."""
    return any(event.call in calls for event in _lacking(events).values())


def _lacking(events: Sequence[AnyEvent]) -> dict[int, CostRecorded]:
    return {
        place: event
        for place, event in enumerate(events)
        if type(event) is CostRecorded and (event.batch is None or event.experiment is None)
    }


def _filled(event: CostRecorded, scope: Scope) -> CostRecorded:
    batch, experiment = event.batch or scope[0], event.experiment or scope[1]
    if (batch, experiment) == (event.batch, event.experiment):
        return event
    return msgspec.structs.replace(event, batch=batch, experiment=experiment)


def _granted_under(book: Book, calls: set[str]) -> dict[str, Scope]:
    """Of those that are known."""
    opened = book.open_calls
    held = {call: opened.get(call) for call in calls if call in opened} if opened else {}
    found: dict[str, Scope] = {
        call: (row.batch, row.experiment) for call, row in held.items() if row is not None
    }
    # One that isn't open any more: an earlier figure of the same call may know.
    asked = calls - held.keys() if held else calls
    for call, seq in book.counted.told(asked, is_asked_again=True).items():
        past = book.past(seq)
        if past is not None and isinstance(past[2], CostRecorded | CallStarted):
            found[call] = past[2].batch, past[2].experiment
    return found
