"""What costs are going to be, from the daily totals so far."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import apsw

from personad.contract import cost as c
from personad.contract import forecast as f
from personad.contract.asking import Filter, Range
from personad.projections import cost_questions
from personad.projections.buckets import SUM_MAX

if TYPE_CHECKING:
    from personad.analytics.forecast import Total

METHOD = "weekday profile × weighted levels, rolling origins"
HISTORY_DAYS = 400
SHOWN_DAYS = 28
_MONTHLY = "SELECT limit_nanousd FROM budget WHERE scope = 'monthly'"
_TODAY = 1
"""Isn't over: the first day that is forecast is tomorrow."""
_PERIODS = ((1, "Tomorrow"), (3, "Next 3 days"), (7, "Next 7 days"))


def forecast(db: apsw.Connection, request: f.CostForecast, now: datetime) -> f.CostForecastReply:
    """The coming days, and what they mean for a monthly budget.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    from personad.analytics.forecast import LEAST_DAYS  # numpy: a daemon starts without it

    span = Range(days=HISTORY_DAYS, timezone=request.timezone, as_of=request.as_of)
    past = cost_questions.history(db, c.CostHistory(range=span, filter=request.filter), now)
    today = request.as_of or past.range.last_day
    rows = [row for row in past.rows if row.start < str(today)]
    first = next((place for place, row in enumerate(rows) if row.calls), len(rows))
    daily = [row.cost_nanousd for row in rows[first:]]
    warnings = []
    if len(daily) < LEAST_DAYS:
        warnings.append(
            f"{len(daily)} whole days of history: from {LEAST_DAYS} on, a forecast has an interval"
        )
    if past.coverage.unpriced_calls:
        warnings.append(
            f"{past.coverage.unpriced_calls:,} calls have no price, and are in no figure of this"
        )
    days = _days(daily, request, today) if daily else []
    return f.CostForecastReply(
        method=METHOD,
        level=request.level,
        history_days=len(daily),
        as_of=today,
        timezone=past.range.timezone,
        history=daily[-SHOWN_DAYS:],
        days=days,
        periods=_periods(daily, request) if daily else [],
        budget=_budget(db, request, now, today, daily) if daily else None,
        warnings=warnings,
    )


def _periods(daily: Sequence[int], request: f.CostForecast) -> list[f.ForecastPeriod]:
    from personad.analytics.forecast import total

    wanted = [(days, label) for days, label in _PERIODS if days < request.days]
    last = dict(_PERIODS).get(request.days, f"Next {request.days} days")
    found = []
    for days, label in [*wanted, (request.days, last)]:
        together = total(daily, days, _TODAY)
        low, high = _interval(together, request.level)
        found.append(
            f.ForecastPeriod(
                label=label,
                days=days,
                low_nanousd=low,
                expected_nanousd=_nanousd(together.expected),
                high_nanousd=high,
            )
        )
    return found


def _days(daily: Sequence[int], request: f.CostForecast, today: date) -> list[f.ForecastDay]:
    from personad.analytics.forecast import Total, shares, total

    together, one = total(daily, request.days, _TODAY), total(daily, 1, _TODAY)
    found = []
    for place, share in enumerate(shares(daily, request.days, _TODAY), 1):
        day = Total(together.expected * share, one.spread, one.freedom)
        low, high = _interval(day, request.level)
        found.append(
            f.ForecastDay(
                date=today + timedelta(days=place),
                low_nanousd=low,
                expected_nanousd=_nanousd(day.expected),
                high_nanousd=high,
            )
        )
    return found


def _interval(found: "Total", level: int) -> tuple[int | None, int | None]:
    outside = (1 - level / 100) / 2
    low, high = found.quantile(outside), found.quantile(1 - outside)
    return (
        None if low is None else _nanousd(low),
        None if high is None else _nanousd(high),
    )


def _nanousd(amount: float) -> int:
    return min(round(amount), SUM_MAX)


def _budget(
    db: apsw.Connection,
    request: f.CostForecast,
    now: datetime,
    today: date,
    daily: Sequence[int],
) -> f.ForecastBudget | None:
    """This month's: what was spent, and the days that are left of it."""
    from personad.analytics.forecast import shares, total

    limit = request.budget_nanousd
    if limit is None and request.filter == Filter():
        row = db.execute(_MONTHLY).fetchone()
        limit = int(row[0]) if row is not None else None
    if limit is None:
        return None
    begin = today.replace(day=1)
    end = (begin + timedelta(days=31)).replace(day=1)
    span = Range(since=str(begin), until=str(today), timezone=request.timezone, as_of=request.as_of)
    month = cost_questions.history(db, c.CostHistory(range=span, filter=request.filter), now)
    spent = month.total.cost_nanousd
    # What today will still cost belongs to it: a whole day is forecast, less what it has cost.
    of_today = month.rows[-1].cost_nanousd
    left = (end - today).days
    rest = total(daily, left)
    parts = [rest.expected * share for share in shares(daily, left)]
    parts[0] = max(0.0, parts[0] - of_today)
    expected = spent + sum(parts)
    return f.ForecastBudget(
        limit_nanousd=limit,
        spent_nanousd=spent,
        expected_month_total_nanousd=_nanousd(expected),
        over_by_nanousd=max(0, _nanousd(expected) - limit),
        probability_exceeded=1.0 if spent > limit else rest.exceeds(limit - spent + of_today),
        expected_on=_reached(limit - spent, parts, today),
    )


def _reached(left: float, parts: Sequence[float], today: date) -> date | None:
    for place, part in enumerate(parts):
        left -= part
        if left < 0:
            return today + timedelta(days=place)
    return None
