"""Whose budgets a bill falls under that doesn't say so: those that its call was granted under.

A producer may bill a call by its id alone. What the grant said of it is filled in before the bill
is written down, so that no budget is passed by leaving out its name.
"""

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from personad.contract.cost import CallStarted, CostRecorded
from personad.contract.events import AnyEvent
from personad.projections.book import Book

_CALL = "SELECT seq FROM call WHERE call = ?"
_FEW = 8
_TOGETHER = 64
_CALLS = f"SELECT call, seq FROM call WHERE call IN ({', '.join('?' * _TOGETHER)})"  # noqa: S608 - places

Scope = tuple[str | None, str | None]
"""Batch and experiment."""


def scoped(book: Book, events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """The same events, with the batch and experiment that bills of granted calls lack."""
    lacking = {
        place: event
        for place, event in enumerate(events)
        if type(event) is CostRecorded and (event.batch is None or event.experiment is None)
    }
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


def _filled(event: CostRecorded, scope: Scope) -> CostRecorded:
    batch, experiment = event.batch or scope[0], event.experiment or scope[1]
    if (batch, experiment) == (event.batch, event.experiment):
        return event
    return msgspec.structs.replace(event, batch=batch, experiment=experiment)


def _granted_under(book: Book, calls: Iterable[str]) -> dict[str, Scope]:
    """Of those that are known."""
    found: dict[str, Scope] = {}
    asked: list[str] = []
    for call in calls:
        held = book.open_calls.get(call)
        if held is not None:
            found[call] = held.batch, held.experiment
        else:
            asked.append(call)
    # One that isn't open any more: an earlier figure of the same call may know.
    for call, seq in _told(book.db, asked):
        past = book.past(seq)
        if past is not None and isinstance(past[2], CostRecorded | CallStarted):
            found[call] = past[2].batch, past[2].experiment
    return found


def _told(db: apsw.Connection, calls: Sequence[str]) -> list[tuple[str, int]]:
    """Those that something was told of, with its seq; many asked together, as most of them are new
    and each by itself takes longer than to write it down."""
    if len(calls) < _FEW:
        return [(call, int(seq)) for call in calls for (seq,) in db.execute(_CALL, (call,))]
    found: list[tuple[str, int]] = []
    for start in range(0, len(calls), _TOGETHER):
        part = calls[start : start + _TOGETHER]
        # One statement of one length, so that it is prepared once; no call's name is empty.
        places = (*part, *[""] * (_TOGETHER - len(part)))
        found += ((str(call), int(seq)) for call, seq in db.execute(_CALLS, places))
    return found
