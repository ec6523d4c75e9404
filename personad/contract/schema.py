"""Every request, and JSON Schema of the whole contract; nobody but the daemon and docs needs it."""

from typing import Any, get_args

import msgspec

from . import (
    admin,
    alerts,
    batch,
    budget,
    calls,
    cost,
    cost_rows,
    events,
    forecast,
    latency,
    optimise,
    prices,
    progress,
    quality,
)
from .base import Event, Request
from .codec import reply_type
from .errors import Failure

AnyRequest = (
    admin.Hello
    | admin.Status
    | admin.Stop
    | admin.Backup
    | admin.Rebuild
    | admin.Retention
    | events.Append
    | events.Import
    | events.Read
    | cost.StartCall
    | cost.Settle
    | budget.BudgetStatus
    | cost.Estimate
    | cost.CostHistory
    | cost.CostBreakdown
    | cost.CostOverview
    | calls.CostCalls
    | calls.CostExplain
    | cost_rows.CostRows
    | prices.PriceList
    | prices.PricesUpdate
    | calls.Repricing
    | forecast.CostForecast
    | optimise.CostOptimise
    | calls.Reprice
    | quality.QualityTrends
    | quality.QualityGoals
    | quality.QualityProviders
    | latency.Latency
    | alerts.CostAlerts
    | alerts.QualityAlerts
    | alerts.AskAlertNews
    | alerts.AlertsShown
    | batch.BatchList
    | batch.BatchShow
    | batch.Claim
    | batch.Renew
    | batch.Resign
    | batch.Pause
    | batch.Resume
    | batch.RetryFailed
    | batch.Cancel
    | progress.Progress
)

EVENTS: tuple[type[Event], ...] = get_args(events.AnyEvent)
REQUESTS: tuple[type[Request[Any]], ...] = get_args(AnyRequest)
FRAMES: tuple[type[msgspec.Struct], ...] = (
    batch.BatchFrame,
    progress.ProgressFrame,
    events.EventsFrame,
    admin.Tick,
)


def tag(kind: type[msgspec.Struct]) -> str:
    """The `type` field of a struct's messages."""
    return str(kind.__struct_config__.tag)


def replies() -> tuple[type[msgspec.Struct], ...]:
    """Every reply once, in the order of the requests."""
    found: dict[type[msgspec.Struct], None] = {}
    for request in REQUESTS:
        answer = reply_type(request)
        found.update(dict.fromkeys(get_args(answer) or (answer,)))
    return (*found, Failure)


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of every event, request, reply and live frame."""
    groups = {"events": EVENTS, "requests": REQUESTS, "replies": replies(), "frames": FRAMES}
    kinds = [kind for group in groups.values() for kind in group]
    refs, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    by_kind = dict(zip(kinds, refs, strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "persona observability",
        **{name: {tag(kind): by_kind[kind] for kind in group} for name, group in groups.items()},
        "$defs": definitions,
    }
