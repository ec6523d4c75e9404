"""Budgets, prices, alerts and forecasts."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .base import Count, Event, Finite, Moment, Name, NanoUsd, Positive, Text

Percent = Annotated[int, Meta(ge=1, le=1_000)]


class Prices(Struct, frozen=True, kw_only=True):
    """Nano-dollars per million tokens."""

    input_nanousd: NanoUsd
    output_nanousd: NanoUsd
    cache_read_nanousd: NanoUsd | None = None
    cache_write_nanousd: NanoUsd | None = None


class BudgetSet(Event, frozen=True, kw_only=True, tag="budget.set"):
    scope: Name
    """`daily`, `weekly`, `monthly`, `experiment:<name>` or `batch:<id>`."""
    limit_nanousd: NanoUsd
    action: Literal["log", "warn", "stop"]
    thresholds: list[Percent]
    timezone: Name


class BudgetCleared(Event, frozen=True, kw_only=True, tag="budget.cleared"):
    scope: Name


class PriceSet(Event, frozen=True, kw_only=True, tag="price.set"):
    provider: Name
    model: Name
    prices: Prices
    effective_from: Moment


class AlertConfigured(Event, frozen=True, kw_only=True, tag="alert.configured"):
    kind: Name
    enabled: bool
    metric: Name | None = None
    threshold: Finite | None = None


class AlertRaised(Event, frozen=True, kw_only=True, tag="alert.raised"):
    DAEMON_ONLY = True

    alert: Name
    kind: Name
    scope: Name
    level: Name
    value: Finite
    threshold: Finite
    message: Text


class AlertAcknowledged(Event, frozen=True, kw_only=True, tag="alert.acknowledged"):
    alert: Name


class ForecastRecorded(Event, frozen=True, kw_only=True, tag="forecast.recorded"):
    """Once per as-of day, filter and horizon, so that its hit rate can be told later."""

    DAEMON_ONLY = True

    as_of: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$(?!\n)")]
    filters: dict[str, list[str]]
    horizon_days: Positive
    level: Annotated[int, Meta(ge=1, le=99)]
    expected_nanousd: NanoUsd
    low_nanousd: NanoUsd
    high_nanousd: NanoUsd
    history_days: Count = 0
