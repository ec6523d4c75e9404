"""What clients append: one request by itself, or many that came together as if they were one.

All inside the writer's transaction.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

from msgspec import UNSET

from personad import leases
from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import Reply
from personad.contract.budget import BudgetCleared, BudgetSet, PriceSet
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Append, Fence, Import
from personad.contract.schema import EVENTS, tag
from personad.kinds import RAW_EVENTS, TooLarge
from personad.leases import UNCLAIMED_MS, Leases
from personad.log import Priced
from personad.projections import budgets
from personad.projections.batch_rows import load
from personad.projections.prices import price_call, priced_by
from personad.projections.scopes import are_lacking, scoped
from personad.transaction import Ready, Transaction

Answer = Callable[[], Reply]
_DAEMONS = frozenset(kind for kind in EVENTS if kind.DAEMON_ONLY)
_BUDGETS = (BudgetSet, BudgetCleared)
_TOLD_APART = frozenset((PriceSet, *_BUDGETS))
"""Kinds with rules that their types don't tell."""
_PLAIN = RAW_EVENTS - _DAEMONS
"""Kinds of which each is taken as it is, whatever came before it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a change may look at beside the transaction."""

    leases: Leases
    clock: float
    """As `Leases.now` counts."""


def append(txn: Transaction, request: Append, context: Context) -> Answer:
    if not _DAEMONS.isdisjoint(map(type, request.events)):
        index = next(n for n, event in enumerate(request.events) if event.DAEMON_ONLY)
        raise LedgerError(
            "invalid",
            f"only the daemon writes {tag(type(request.events[index]))}",
            field=f"$.events[{index}].type",
        )
    if request.fence is not None:
        check_fence(txn, request.fence)
    # What was told of a call in the same commit is known of it only once it is folded.
    if txn.unfolded and are_lacking(request.events, set(_billed(txn.unfolded))):
        txn.fold()
    answer = _add(txn, scoped(txn.book, request.events), "$.events[{}]")
    hear(txn, request.events, context)
    return answer


def together(
    txn: Transaction, requests: Sequence[Append], context: Context
) -> Sequence[Answer] | None:
    """What `append` does for each of them, for all at once: what a request takes by itself is then
    taken for none of them. None, with nothing done, where one has to be looked at by itself."""
    events = [*chain.from_iterable([request.events for request in requests])]
    if (
        not _PLAIN.issuperset(map(type, events))
        or any(request.fence is not None for request in requests)
        or _strange(events)
    ):
        return None
    told = {call for call, times in Counter(_billed(events)).items() if times > 1}
    told.update(_billed(txn.unfolded))
    if told and are_lacking(events, told):
        return None
    counts = [len(request.events) for request in requests]
    try:
        answers = txn.add_together(scoped(txn.book, events), counts)
    except TooLarge:
        return None
    if answers is not None:
        hear(txn, events, context)
    return answers


def prepared(txn: Transaction, some: Sequence[Ready], context: Context) -> Sequence[Answer] | None:
    """The same for appends that were prepared. They are of calls that nobody has heard of, so there
    is no batch or experiment that could be filled in. None, with nothing done, where the events
    have to be looked at."""
    answers = txn.add_prepared(some)
    if answers is not None and context.leases.deadlines:
        batches = {batch.name for each in some for batch in each.prepared.batches}
        _hear(txn, batches & context.leases.deadlines.keys(), context)
    return answers


def take_back(txn: Transaction, request: Import, context: Context) -> Answer:
    """Adds an export's lines: what was priced keeps its receipt, what had no price gets none."""
    receipts: dict[UUID, tuple[int | None, int | None]] = {}
    for index, item in enumerate(request.items):
        event = item.event
        if isinstance(event, c.CostRecorded | c.CostCorrected) and item.receipt is not UNSET:
            found = None
            says_cost = isinstance(event, c.CostRecorded) and event.cost_nanousd is not None
            if item.receipt is not None and not says_cost:
                found = priced_by(txn.book, event, item.receipt, f"$.items[{index}].receipt")
            # Of several events with one id the first counts, and so does its receipt.
            receipts.setdefault(event.id, found or (None, None))
    events = [item.event for item in request.items]
    return _add(
        txn,
        events,
        "$.items[{}].event",
        priced=lambda event: receipts.get(event.id) or price_call(txn.book, event),
        silent=True,
    )


def _add(
    txn: Transaction,
    events: Sequence[AnyEvent],
    where: str,
    *,
    priced: Priced | None = None,
    silent: bool = False,
) -> Answer:
    """Adds what a client sent.

    Raises:
        LedgerError: an event that could be kept but never be read again.
    """
    for index in _strange(events):
        raise _strange_time(where.format(index) + ".at")
    if not _TOLD_APART.isdisjoint(map(type, events)):
        for index, event in enumerate(events):
            if isinstance(event, PriceSet) and not 1 < event.effective_from.year < 9999:
                raise _strange_time(where.format(index) + ".effective_from")
            if isinstance(event, _BUDGETS):
                budgets.check(event, where.format(index))
    try:
        return txn.add(events, priced=priced, silent=silent)
    except TooLarge as error:
        raise LedgerError(
            "too-large", str(error), field=where.format(error.index), hint="send less in it"
        ) from None


def hear(txn: Transaction, events: Sequence[AnyEvent], context: Context) -> None:
    """Gives a queued batch that is spoken of another while to be claimed."""
    concerned: set[str] = set()
    if b.BatchStarted in set(map(type, events)):
        concerned = {event.batch for event in events if isinstance(event, b.BatchStarted)}
    if waiting := context.leases.deadlines:
        concerned |= waiting.keys() & {getattr(event, "batch", None) for event in events}
    _hear(txn, concerned, context)


def _hear(txn: Transaction, concerned: Iterable[str], context: Context) -> None:
    for batch in concerned:
        held = leases.get(txn.db, batch)
        if held.runner is not None:
            continue
        txn.fold()
        row = load(txn.db, batch)
        if row is not None and row.status == "queued":
            context.leases.deadlines[batch] = context.clock + UNCLAIMED_MS / 1_000
        elif held.fence == 0:
            # Somebody runs it who claims nothing, as programs in other languages may.
            context.leases.deadlines.pop(batch, None)


def _strange(events: Sequence[AnyEvent]) -> list[int]:
    """The places of those that no time can be told of: with their zones, the first and the last of
    years reach past what UTC can say."""
    return [n for n, event in enumerate(events) if not 1 < event.at.year < 9999]


def _strange_time(field: str) -> LedgerError:
    return LedgerError("invalid", "a time must lie between the years 2 and 9998", field=field)


def _billed(events: Iterable[AnyEvent]) -> list[str]:
    return [event.call for event in events if type(event) is c.CostRecorded]


def check_fence(txn: Transaction, fence: Fence, *, runner: str | None = None) -> None:
    """Raises LedgerError `conflict` where another runner has claimed the batch since."""
    leases.check_fence(txn.db, fence.batch, fence.fence, runner=runner)
