"""What the ledger answers without being changed: one function a question, on a reader's connection.

`ANSWERS` is the whole list of them. What an answer leaves in the ledger all the same (`KEEPS`) is
written by whoever answers, after it was made.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import apsw

from personad import log
from personad.contract import alerts as a
from personad.contract import batch as b
from personad.contract import calls as k
from personad.contract import cost as c
from personad.contract import forecast as f
from personad.contract import optimise as o
from personad.contract import prices as p
from personad.contract.base import MAX_MESSAGE_BYTES, Reply
from personad.contract.budget import BudgetStatus
from personad.contract.codec import encode
from personad.contract.cost_rows import CostRows
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Read, ReadReply, Recorded
from personad.contract.latency import Latency
from personad.contract.quality import QualityGoals, QualityProviders, QualityTrends
from personad.kinds import KINDS, microseconds
from personad.projections import (
    alert_questions,
    batch_questions,
    breakdown_questions,
    budget_questions,
    call_questions,
    cost_questions,
    estimates,
    explaining,
    forecasting,
    goal_questions,
    latency_questions,
    optimise_questions,
    price_questions,
    provider_questions,
    quality_questions,
    repricing,
    row_questions,
)


def read(db: apsw.Connection, request: Read, now: datetime) -> ReadReply:
    """A page of events, cut so that it fits a message."""
    unknown = [kind for kind in request.types if kind not in KINDS]
    if unknown:
        raise LedgerError(
            "invalid",
            f"there is no event type {unknown[0]!r}",
            field="$.types",
            hint=f"the types are {', '.join(KINDS)}",
        )
    last_seq = log.last_seq(db)
    batch = request.batch
    if batch is not None and not log.has_batch(db, batch):
        batch = batch_questions.find(db, batch)
    after = request.after_seq
    if request.since is not None:
        after = max(after, log.first_seq(db, microseconds(request.since)) - 1)
    page: list[Recorded] = []
    room = MAX_MESSAGE_BYTES // 2
    more = False
    for each in log.read(
        db,
        after=after,
        kinds=request.types,
        batch=batch,
        limit=request.limit + 1,
    ):
        room -= len(encode(each, "json"))
        if len(page) == request.limit or (room < 0 and page):
            more = True
            break
        page.append(each)
    next_seq = page[-1].seq if more else max(last_seq, request.after_seq)
    return ReadReply(events=page, last_seq=last_seq, next_seq=next_seq, more=more)


def batch_list(db: apsw.Connection, request: b.BatchList, now: datetime) -> b.BatchListReply:
    return batch_questions.list_batches(db, request)


def batch_show(db: apsw.Connection, request: b.BatchShow, now: datetime) -> b.BatchState:
    return batch_questions.show(db, batch_questions.find(db, request.batch), now)


ANSWERS: dict[type[Any], Callable[[apsw.Connection, Any, datetime], Reply]] = {
    Read: read,
    b.BatchList: batch_list,
    b.BatchShow: batch_show,
    c.Estimate: estimates.estimate,
    c.CostHistory: cost_questions.history,
    c.CostBreakdown: breakdown_questions.breakdown,
    c.CostOverview: cost_questions.overview,
    k.CostCalls: call_questions.calls,
    k.CostExplain: explaining.explain,
    CostRows: row_questions.rows,
    p.PriceList: price_questions.price_list,
    k.Repricing: repricing.repricing,
    f.CostForecast: forecasting.forecast,
    o.CostOptimise: optimise_questions.optimise,
    BudgetStatus: budget_questions.status,
    QualityTrends: quality_questions.trends,
    QualityGoals: goal_questions.goals,
    QualityProviders: provider_questions.providers,
    a.CostAlerts: alert_questions.of_cost,
    a.QualityAlerts: alert_questions.of_quality,
    a.AskAlertNews: alert_questions.unshown,
    Latency: latency_questions.latency,
}

KEEPS: dict[type[Any], Callable[[apsw.Connection, Any, Any, datetime], list[AnyEvent]]] = {
    f.CostForecast: forecasting.worth_keeping,
}
"""What of an answer goes into the ledger, of the few where something does."""
