"""What costs are going to be."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from .asking import Filter
from .base import Count, Finite, Name, NanoUsd, Positive, Reply, Request

HORIZON_DAYS_MAX = 92


class ForecastDay(Struct, frozen=True, kw_only=True):
    date: date
    low_nanousd: NanoUsd | None
    expected_nanousd: NanoUsd
    high_nanousd: NanoUsd | None


class ForecastPeriod(Struct, frozen=True, kw_only=True):
    """The first so many of the coming days, together."""

    label: str
    days: Count
    low_nanousd: NanoUsd | None
    """null where nothing is known of how far a forecast errs."""
    expected_nanousd: NanoUsd
    high_nanousd: NanoUsd | None


class ForecastBudget(Struct, frozen=True, kw_only=True):
    """What a monthly budget comes to."""

    limit_nanousd: NanoUsd
    spent_nanousd: NanoUsd
    """This month, today included."""
    expected_month_total_nanousd: NanoUsd | None
    """null where there is no whole day to forecast from."""
    over_by_nanousd: NanoUsd
    """That the expected total is over the limit, or what was spent already; 0 if it isn't."""
    probability_exceeded: Finite | None
    """By the distribution that the intervals are of; at the expected total it need not be a half,
    since more totals may come under it than over it. null where nothing is known of how far a
    forecast errs."""
    expected_on: date | None
    """The day of this month on which the limit was crossed, or is expected to be."""


class ForecastRecord(Struct, frozen=True, kw_only=True):
    """How earlier forecasts of the same fared, of those whose days are over."""

    forecasts: Count
    hit_rate: Finite | None
    """The share of them whose interval held what came; null without any."""
    level: Count | None
    """What it was to be, in percent: the mean of their levels."""


class CostForecastReply(Reply, frozen=True, kw_only=True, tag="cost-forecast"):
    method: str
    level: Count
    """Percent of the intervals."""
    history_days: Count
    """Whole days, from the first one that cost anything."""
    as_of: date
    """The day before the first one that is forecast; it isn't over, and is in no figure."""
    timezone: Name
    history: list[NanoUsd]
    """The last 28 whole days."""
    days: list[ForecastDay]
    periods: list[ForecastPeriod]
    budget: ForecastBudget | None
    record: ForecastRecord
    warnings: list[str]


class CostForecast(Request[CostForecastReply], frozen=True, tag="cost-forecast"):
    """The coming days' costs, with intervals, and what they mean for a monthly budget."""

    days: Annotated[int, Meta(ge=1, le=HORIZON_DAYS_MAX)] = 7
    filter: Filter = Filter()
    level: Annotated[int, Meta(ge=50, le=99)] = 80
    budget_nanousd: Positive | None = None
    """A month's; the monthly budget that is set, if not given and nothing is filtered."""
    timezone: Name | None = None
    as_of: date | None = None
    """As if it were that day, with today's knowledge of what happened before."""
