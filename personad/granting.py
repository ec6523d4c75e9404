"""Whether a call may cost what it could, and what becomes of calls whose answer never came.

A call is granted where it is free, or where, for every budget with `stop` that it falls under, what
was spent, what is held back for other calls, and the most that this one could cost stay within the
limit together. It runs inside the writer's transaction, after everything before it was folded: so
two calls that ask at once can't both be given what is left.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from personad import leases
from personad.contract import calls as k
from personad.contract.base import derived_id
from personad.contract.batch import PersonaGenerating
from personad.contract.cost import (
    CallStarted,
    CostCorrected,
    CostRecorded,
    Granted,
    Refused,
    Settle,
    Settled,
    SettledCall,
    StartCall,
    Wait,
    unheard,
)
from personad.contract.errors import LedgerError
from personad.kinds import microseconds
from personad.pricing import Tokens
from personad.projections import budget_sums, call_questions, repricing
from personad.projections.batch_rows import BatchRow
from personad.projections.costs import COST_MAX
from personad.projections.holding import Limit, limits, scopes_of, standing
from personad.projections.prices import price_book, receipt_key
from personad.transaction import Transaction

_HELD = "SELECT call, batch, state, reserved_nanousd FROM open_call"
_UNRESOLVED = f"{_HELD} WHERE state = 'unresolved' ORDER BY at, call LIMIT ?"
_ONE = f"{_HELD} WHERE call = ?"
_BEGINNING = f"{_HELD} WHERE call >= ? AND call < ? LIMIT 6"

SETTLED_AT_ONCE = 10_000


def grant(
    txn: Transaction, call: StartCall, experiment: str | None, row: BatchRow | None
) -> Granted | Wait | Refused:
    """What to answer a call that is new; where it is granted, the caller adds the event.

    Args:
        txn: with everything folded.
        call: what is asked for.
        experiment: that it counts for, of its own or its batch's.
        row: its batch, where it has one.

    Raises:
        LedgerError: `invalid`, more tokens than any call could have.
    """
    most = _ceiling(txn, call)
    if most == 0:
        # What is free crosses no limit, not even one that was crossed before.
        return Granted(reserved_nanousd=0)
    must_wait = False
    for limit in _limits(txn, experiment, row):
        refused = limit.refusal(most)
        if refused is not None:
            return refused
        must_wait |= most is not None and limit.committed.total + most > limit.nanousd
    return Wait() if must_wait else Granted(reserved_nanousd=most)


def granted_before(txn: Transaction, call: StartCall) -> Granted | None:
    """What the call was answered when it was granted; None: it is new.

    Raises:
        LedgerError: `conflict`, it is not open any more: it may have been sent.
    """
    held = txn.book.open_calls.get(call.call)
    if held is not None and held.state == "open" and held.started is not None:
        event = txn.book.past(held.started)
        assert event is not None
        assert isinstance(event[2], CallStarted)
        return Granted(reserved_nanousd=event[2].reserved_nanousd)
    if held is None and not _is_over(txn, call.call):
        return None
    raise LedgerError(
        "conflict",
        f"{call.call} was granted before, and is not open any more",
        field="$.call",
        hint="a new call needs an id of its own",
    )


def begun(call: StartCall, at: datetime) -> list[PersonaGenerating]:
    """What a grant means for the persona that the call is for."""
    if not (call.begins and call.batch and call.persona):
        return []
    cause = derived_id("persona.generating", call.call)
    batch, persona, attempt = call.batch, call.persona, call.attempt or 1
    return [PersonaGenerating(id=cause, at=at, batch=batch, persona=persona, attempt=attempt)]


def started_id(call: str) -> UUID:
    return derived_id("call.started", call)


def _is_over(txn: Transaction, call: str) -> bool:
    """Of a call that nothing is held back for: whether something was, or it has a cost."""
    return txn.knows(started_id(call)) or txn.book.counted.get(call) is not None


def _ceiling(txn: Transaction, call: StartCall) -> int | None:
    """The most that the call could cost, in nano-dollars; None: nobody knows its price."""
    for field in ("max_input_tokens", "max_output_tokens"):
        if getattr(call, field) > COST_MAX:
            raise LedgerError("invalid", "no call has so many tokens", field=f"$.{field}")
    tokens = Tokens(input=call.max_input_tokens, output=call.max_output_tokens)
    most = price_book(txn.book).ceiling(call.provider, call.model, tokens, txn.now)
    if most is not None and most > COST_MAX:
        raise LedgerError(
            "invalid", f"no call may cost ${most // 10**9:,}", field="$.max_output_tokens"
        )
    return most


def _limits(txn: Transaction, experiment: str | None, row: BatchRow | None) -> Iterator[Limit]:
    """Every budget with `stop` that the call falls under, and what stands against it."""
    stops = standing(txn.db, scopes_of(experiment, row.batch if row is not None else None))
    if row is not None and row.stop_on_budget and row.budget_nanousd is not None:
        stops.append((f"batch:{row.batch}", row.budget_nanousd, "UTC"))
    if stops:
        yield from limits(budget_sums.accounts(txn.book, microseconds(txn.now)), stops)


_Held = tuple[str, str | None, str, int]
"""A call, its batch, its state, and what is reserved for it."""


def lost_calls(txn: Transaction, batch: str) -> list[CostRecorded]:
    """What is known of a batch's calls in flight when nobody waits for their answers any more."""
    txn.fold()
    begun = [txn.book.past(seq) for seq in txn.book.open_calls.in_flight(batch)]
    return [
        unheard(event, txn.now)
        for event in (entry[2] for entry in begun if entry is not None)
        if isinstance(event, CallStarted)
    ]


def settle(txn: Transaction, request: Settle) -> Settled:
    """Adds a correction for each call that is to be settled.

    Raises:
        LedgerError: `not-found`, no such call; `conflict`, it is in flight; `invalid`.
    """
    if request.cost_nanousd > COST_MAX:
        raise LedgerError("invalid", "no call costs so much", field="$.cost_nanousd")
    txn.fold()
    if request.calls:
        found = [_named(txn, name, place) for place, name in enumerate(request.calls)]
        held = list({each[0]: each for each in found if each is not None}.values())
    else:
        held = list(txn.db.execute(_UNRESOLVED, (SETTLED_AT_ONCE,)))
    txn.conclude([_correction(txn, call, request.cost_nanousd) for call, *_ in held])
    return Settled(
        calls=[
            SettledCall(
                call=call,
                batch=batch,
                held_nanousd=reserved,
                cost_nanousd=request.cost_nanousd,
            )
            for call, batch, _, reserved in held
        ]
    )


def reprice(txn: Transaction, request: k.Reprice) -> k.RepricedReply:
    """Adds a correction for each of the calls that would cost something else now."""
    txn.fold()
    found = call_questions.of_calls(txn.db, request.calls)
    changed = [
        (repricing.correction(change, txn.now), change.prices)
        for change in repricing.changes(price_book(txn.book), found)
    ]
    receipts = {event.id: receipt_key(txn.book, prices) for event, prices in changed}
    corrections = [event for event, _ in changed]
    txn.conclude(corrections, priced=lambda event: (None, receipts[event.id]))
    return k.RepricedReply(calls=len(changed))


def _correction(txn: Transaction, call: str, nanousd: int) -> CostCorrected:
    cause = derived_id("cost.corrected", "settled", call)
    return CostCorrected(id=cause, at=txn.now, call=call, cost_nanousd=nanousd, reason="settled")


def _named(txn: Transaction, name: str, place: int) -> _Held | None:
    """The call that is held back by that name; None where it is settled already."""
    field = f"$.calls[{place}]"
    held: Sequence[_Held] = list(txn.db.execute(_ONE, (name,)))
    if not held and _is_over(txn, name):
        return None
    held = held or list(txn.db.execute(_BEGINNING, (name, name + "\U0010ffff")))
    if not held:
        hint = "`persona cost budget settle` without a call settles all that are unresolved"
        raise LedgerError("not-found", f"no call {name!r} is held back", field=field, hint=hint)
    if len(held) > 1:
        listed = ", ".join(call for call, *_ in held[:5])
        raise LedgerError("not-found", f"several calls begin with {name!r}: {listed}", field=field)
    call, batch, state, _ = held[0]
    if state == "open" and batch is not None and leases.get(txn.db, batch).runner is not None:
        raise LedgerError(
            "conflict",
            f"{call} is in flight: its bill will settle it",
            field=field,
            hint=f"`persona batch pause {batch}` if it is not to go on",
        )
    return held[0]
