"""Budgets, prices, alerts and forecasts."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .base import Count, Event, Finite, Moment, Name, NanoUsd, Positive, Reply, Request, Text

Percent = Annotated[int, Meta(ge=1, le=1_000)]
Action = Literal["log", "warn", "stop"]
BudgetState = Literal["ok", "warning", "reached"]


class Prices(Struct, frozen=True, kw_only=True):
    """Nano-dollars per million tokens."""

    input_nanousd: NanoUsd
    output_nanousd: NanoUsd
    cache_read_nanousd: NanoUsd | None = None
    cache_write_nanousd: NanoUsd | None = None


class BudgetSet(Event, frozen=True, kw_only=True, tag="budget.set"):
    scope: Name
    """`daily`, `weekly`, `monthly`, `experiment:<name>` or `batch:<id>`."""
    limit_nanousd: Positive
    action: Action
    """`stop`: no call is granted that could cross the limit. The others only tell."""
    thresholds: list[Percent]
    """Ascending."""
    timezone: Name
    """Whose days, weeks and months they are."""


class BudgetCleared(Event, frozen=True, kw_only=True, tag="budget.cleared"):
    scope: Name


class Budget(Struct, frozen=True, kw_only=True):
    """A budget and what stands against it now."""

    scope: Name
    limit_nanousd: NanoUsd
    spent_nanousd: NanoUsd
    """By calls whose cost is known."""
    reserved_nanousd: NanoUsd
    """For calls in flight, at their maximum."""
    unresolved_nanousd: NanoUsd
    """For calls whose answer never came, at their maximum, until they are settled."""
    used: Finite
    """All three, as a share of the limit; over 1 where it was crossed."""
    projected_nanousd: NanoUsd | None
    """Spent by the end of the period at the pace so far; null where there is no end to go by."""
    action: Action
    thresholds: list[Percent]
    status: BudgetState
    """`warning`: a threshold below 100 is passed; `reached`: nothing of the limit is left."""
    timezone: Name | None
    since: Moment | None
    """Where the period begins; null for those without one."""
    until: Moment | None
    """Not included any more."""
    exhausted_at: Moment | None = None
    """When the limit will have been spent at that pace; null where it is already, or will not be in
    this period."""


class BudgetStatusReply(Reply, frozen=True, kw_only=True, tag="budget-status"):
    budgets: list[Budget]
    """All that were set, and those of batches that are going on."""
    unresolved_calls: Count
    timezone: Name
    """The ledger's own."""


class BudgetStatus(Request[BudgetStatusReply], frozen=True, tag="budget-status"):
    """What is left of each budget."""


class PriceSet(Event, frozen=True, kw_only=True, tag="price.set"):
    provider: Name
    model: Name
    prices: Prices
    effective_from: Moment


class AlertConfigured(Event, frozen=True, kw_only=True, tag="alert.configured"):
    kind: Name
    """`cost` or `quality`."""
    enabled: bool
    metric: Name | None = None
    """This one's alerts alone; all of the kind, if not given."""
    threshold: Finite | None = None


class AlertRaised(Event, frozen=True, kw_only=True, tag="alert.raised"):
    DAEMON_ONLY = True

    alert: Name
    kind: Name
    """`cost`, `quality` (below a threshold) or `quality-drift` (below the limit of a chart)."""
    scope: Name
    """A budget's, or provider and model."""
    level: Name
    value: Finite
    threshold: Finite
    """Both as shares of the limit, or as scores."""
    message: Text
    metric: Name | None = None
    since: Moment | None = None
    """Of a budget with periods: where this one begins."""
    spent_nanousd: NanoUsd | None = None
    limit_nanousd: NanoUsd | None = None
    n: Count | None = None
    """Scores that the value is made of."""
    baseline: Finite | None = None
    """Of a drift: the mean that the value was held against."""


class AlertAcknowledged(Event, frozen=True, kw_only=True, tag="alert.acknowledged"):
    alert: Name


class ForecastRecorded(Event, frozen=True, kw_only=True, tag="forecast.recorded"):
    """Once per as-of day, filter, horizon and zone, so that its hit rate can be told later."""

    DAEMON_ONLY = True

    as_of: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$(?!\n)")]
    filters: dict[str, list[str]]
    horizon_days: Positive
    """Of the days after `as_of`, together."""
    level: Annotated[int, Meta(ge=1, le=99)]
    expected_nanousd: NanoUsd
    low_nanousd: NanoUsd | None
    """null where nothing was known of how far a forecast errs."""
    high_nanousd: NanoUsd | None
    history_days: Count = 0
    timezone: Name | None = None
    """Whose days they are."""
