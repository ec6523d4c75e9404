"""What changes the ledger on request: one function a request, all inside the writer's transaction.

`CHANGES` is the whole list. Each function decides on the state as it is at that moment, adds the
events that follow, and gives a function that makes the reply once they are folded.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from personad import alerting, granting, leases
from personad.appending import Answer as Answer
from personad.appending import Context as Context
from personad.appending import append, check_fence, hear, take_back
from personad.contract import batch as b
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract.alerts import AlertsShown
from personad.contract.base import derived_id
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Append, Fence, Import
from personad.contract.schema import tag
from personad.leases import UNCLAIMED_MS, Lease
from personad.projections import batch_questions, states
from personad.projections.batch_rows import BatchRow, load
from personad.projections.batches import transition
from personad.transaction import Transaction


def start_call(txn: Transaction, request: c.StartCall, context: Context) -> Answer:
    """Grants a call, has it wait, or refuses it, by the budgets that it falls under."""
    txn.fold()
    row = _batch(txn, request.batch) if request.batch is not None else None
    if row is not None and request.fence is not None:
        check_fence(txn, Fence(batch=row.batch, fence=request.fence))
    # One that was granted stays so: its answer may have been lost on the way.
    before = granting.granted_before(txn, request)
    if before is not None:
        return lambda: before
    if row is not None and not _may_call(row):
        raise LedgerError(
            "conflict", f"{row.batch} is {row.status}: no new call may start", field="$.batch"
        )
    experiment = request.experiment or (row.experiment if row is not None else None)
    answer = granting.grant(txn, request, experiment, row)
    if isinstance(answer, c.Granted):
        granted = c.CallStarted(
            id=granting.started_id(request.call),
            at=txn.now,
            call=request.call,
            provider=request.provider,
            model=request.model,
            batch=request.batch,
            persona=request.persona,
            attempt=request.attempt,
            experiment=experiment,
            reserved_nanousd=answer.reserved_nanousd,
        )
        begun: list[AnyEvent] = [granted, *granting.begun(request, txn.now)]
        txn.conclude(begun)
        hear(txn, begun, context)
    elif isinstance(answer, c.Refused):
        txn.refused.add(answer.budget)
    return lambda: answer


def settle(txn: Transaction, request: c.Settle, context: Context) -> Answer:
    settled = granting.settle(txn, request)
    return lambda: settled


def reprice(txn: Transaction, request: k.Reprice, context: Context) -> Answer:
    repriced = granting.reprice(txn, request)
    return lambda: repriced


def _may_call(row: BatchRow) -> bool:
    if row.status == "interrupted":
        return row.reason == states.NEVER_CLAIMED
    return row.status in ("queued", "running")


def claim(txn: Transaction, request: b.Claim, context: Context) -> Answer:
    row = _batch(txn, request.batch)
    held = leases.get(txn.db, row.batch)
    if row.status not in ("queued", "running"):
        raise LedgerError(
            "conflict",
            f"{row.batch} is {row.status}: it can't be claimed",
            hint=f"`persona batch resume {row.batch}`" if row.status in b.OPEN else None,
        )
    if held.runner not in (None, request.runner):
        raise LedgerError("conflict", f"{row.batch} is already run by {held.runner}")
    fence = held.fence if held.runner == request.runner else held.fence + 1
    leases.put(txn.db, row.batch, Lease(request.runner, fence, request.ttl_ms))
    context.leases.deadlines[row.batch] = context.clock + request.ttl_ms / 1_000
    return lambda: b.Claimed(fence=fence, status=row.status)


def status_of(txn: Transaction, batch: str) -> b.BatchStatus:
    return _batch(txn, batch).status


def renew(txn: Transaction, request: b.Renew, context: Context) -> Answer:
    row = _batch(txn, request.batch)
    check_fence(txn, Fence(batch=request.batch, fence=request.fence), runner=request.runner)
    context.leases.deadlines[row.batch] = context.clock + request.ttl_ms / 1_000
    return lambda: b.Claimed(fence=request.fence, status=row.status)


def resign(txn: Transaction, request: b.Resign, context: Context) -> Answer:
    row = _batch(txn, request.batch)
    check_fence(txn, Fence(batch=request.batch, fence=request.fence), runner=request.runner)
    if row.status in ("queued", "running"):
        # Decided here, where nothing can come between: a pause that was taken back is none.
        raise LedgerError(
            "conflict", f"{row.batch} is {row.status}: its runner has to go on or pause it first"
        )
    _release(txn, context, row.batch)
    if row.status == "pausing":
        txn.conclude(
            [
                b.BatchPaused(
                    id=derived_id("batch.paused", row.batch, row.seq),
                    at=txn.now,
                    batch=row.batch,
                    reason=row.reason or "user",
                )
            ]
        )
    return lambda: b.Claimed(fence=request.fence, status=status_of(txn, row.batch))


def expire(txn: Transaction, batch: str, context: Context) -> None:
    """Calls a batch interrupted whose runner let its lease run out, or never came."""
    deadline = context.leases.deadlines.get(batch)
    if deadline is None or deadline >= context.clock:
        return
    held = leases.get(txn.db, batch)
    if held.runner is None:
        del context.leases.deadlines[batch]
    else:
        _release(txn, context, batch)
    row = load(txn.db, batch)
    if row is not None and row.status in ("queued", "running", "pausing"):
        _interrupt(txn, row, "lease lost" if held.fence else states.NEVER_CLAIMED)


def pause(txn: Transaction, request: b.Pause, context: Context) -> Answer:
    row = _batch(txn, request.batch)
    if row.status in ("pausing", "paused"):
        return _shown(txn, row)
    at, cause = txn.now, _cause(row, request)
    if row.status == "running" and leases.get(txn.db, row.batch).runner is not None:
        pausing = b.BatchPausing(
            id=cause, at=at, batch=row.batch, reason=request.reason, message=request.message
        )
        return _steer(txn, row, request, pausing)
    paused = b.BatchPaused(
        id=cause, at=at, batch=row.batch, reason=request.reason, message=request.message
    )
    return _steer(txn, row, request, paused)


def resume(txn: Transaction, request: b.Resume, context: Context) -> Answer:
    row = _batch(txn, request.batch)
    if row.status in ("partial", "failed"):
        raise LedgerError(
            "conflict",
            f"{row.batch} has ended: it is {row.status}",
            hint=f"`persona batch retry {row.batch}` makes its failed personas again",
        )
    return _go_on(txn, row, request, context)


def retry(txn: Transaction, request: b.RetryFailed, context: Context) -> Answer:
    row = _batch(txn, request.batch)
    if row.status not in ("partial", "failed") and not txn.knows(_cause(row, request)):
        raise _not_yet(row)
    return _go_on(txn, row, request, context)


def _not_yet(row: BatchRow) -> LedgerError:
    """Why nothing of it is made again: it goes on, or has nothing that failed."""
    if row.status not in b.OPEN:
        said = f"{row.batch} is {row.status}: there is nothing to make again"
        return LedgerError("conflict", said)
    stands = row.status in ("paused", "interrupted")
    return LedgerError(
        "conflict",
        f"{row.batch} is {row.status}: what failed is made again once it has ended",
        hint=f"`persona batch {'resume' if stands else 'watch'} {row.batch}`",
    )


def _go_on(
    txn: Transaction, row: BatchRow, request: b.Resume | b.RetryFailed, context: Context
) -> Answer:
    """The batch runs again, and is expected to be claimed."""
    resumed = b.BatchResumed(
        id=_cause(row, request),
        at=txn.now,
        batch=row.batch,
        reason=request.reason,
        changes=request.changes,
    )
    answer = _steer(txn, row, request, resumed)
    held = leases.get(txn.db, row.batch)
    if held.runner is None:
        leases.put(txn.db, row.batch, held)
        context.leases.deadlines[row.batch] = context.clock + UNCLAIMED_MS / 1_000
    return answer


def cancel(txn: Transaction, request: b.Cancel, context: Context) -> Answer:
    row = _batch(txn, request.batch)
    if row.status == "cancelled":
        return _shown(txn, row)
    cause = _cause(row, request)
    finished = b.BatchFinished(
        id=cause, at=txn.now, batch=row.batch, status="cancelled", reason=request.reason
    )
    answer = _steer(txn, row, request, finished)
    _release(txn, context, row.batch)
    return answer


def _batch(txn: Transaction, name: str) -> BatchRow:
    txn.fold()
    row = load(txn.db, name)
    if row is None:
        batch_questions.find(txn.db, name)
        raise LedgerError(
            "not-found", f"there is no batch {name!r}", field="$.batch", hint="give its whole id"
        )
    return row


def _release(txn: Transaction, context: Context, batch: str) -> None:
    """Nobody holds the batch from now on, and the old fence is stale."""
    held = leases.get(txn.db, batch)
    leases.put(txn.db, batch, Lease(None, held.fence + 1, held.ttl_ms))
    context.leases.deadlines.pop(batch, None)


def _interrupt(txn: Transaction, row: BatchRow, reason: str) -> None:
    cause = derived_id("batch.interrupted", row.batch, row.seq)
    interrupted = b.BatchInterrupted(id=cause, at=txn.now, batch=row.batch, reason=reason)
    txn.conclude([interrupted, *granting.lost_calls(txn, row.batch)])


def _steer(
    txn: Transaction,
    row: BatchRow,
    request: b.Pause | b.Resume | b.RetryFailed | b.Cancel,
    event: AnyEvent,
) -> Answer:
    """Adds the event that the request asks for, once.

    Raises:
        LedgerError: `conflict`, where the batch's state doesn't allow it.
    """
    if txn.knows(event.id):
        return _shown(txn, row)
    if row.status not in states.BATCH[transition(event)]:
        asked = tag(type(request))
        raise LedgerError("conflict", f"{row.batch} is {row.status}: it can't {asked}")
    txn.conclude([event])
    return _shown(txn, row)


def _cause(row: BatchRow, request: b.Pause | b.Resume | b.RetryFailed | b.Cancel) -> UUID:
    """The id of what the request brings about: sent again, it brings it about once."""
    return derived_id(tag(type(request)), row.batch, request.id or row.seq)


def _shown(txn: Transaction, row: BatchRow) -> Answer:
    return lambda: batch_questions.show(txn.db, row.batch, txn.now)


CHANGES: dict[type[Any], Callable[[Transaction, Any, Context], Answer]] = {
    Append: append,
    Import: take_back,
    c.StartCall: start_call,
    c.Settle: settle,
    k.Reprice: reprice,
    b.Claim: claim,
    b.Renew: renew,
    b.Resign: resign,
    b.Pause: pause,
    b.Resume: resume,
    b.RetryFailed: retry,
    b.Cancel: cancel,
    AlertsShown: lambda txn, request, _: alerting.shown(txn, request),
}
