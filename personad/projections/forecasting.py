"""What costs are going to be, from the daily totals so far."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import apsw

from personad import civil, log
from personad.bulk import SUM_MAX
from personad.contract import cost as c
from personad.contract import forecast as f
from personad.contract.asking import Filter, Range
from personad.contract.base import derived_id
from personad.contract.budget import BudgetCleared, BudgetSet, ForecastRecorded
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent
from personad.kinds import microseconds
from personad.projections import batch_questions, cost_questions, forecasts

if TYPE_CHECKING:
    from personad.analytics.forecast import Past, Total

METHOD = "weekday profile × weighted levels, rolling origins, fitted spread"
HISTORY_DAYS = 400
"""Whole days that a forecast rests on, at most."""
SHOWN_DAYS = 28
_MONTHLY = "SELECT limit_nanousd FROM budget WHERE scope = 'monthly'"
_BUDGETED = ("budget.set", "budget.cleared")
_ALL = 2**31
_TODAY = 1
"""Isn't over: it is no day of the history, and the first that is forecast is tomorrow."""
_PERIODS = ((1, "Tomorrow"), (3, "Next 3 days"), (7, "Next 7 days"))


def forecast(db: apsw.Connection, request: f.CostForecast, now: datetime) -> f.CostForecastReply:
    """The coming days, and what they mean for a monthly budget.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    from personad.analytics.forecast import LEAST_DAYS, Past  # numpy: a daemon starts without it

    past = _history(db, request, now)
    today = past.range.last_day
    costs = {date.fromisoformat(row.start): row.cost_nanousd for row in past.rows}
    rows = past.rows[:-1]
    first = next((place for place, row in enumerate(rows) if row.calls), len(rows))
    daily = [row.cost_nanousd for row in rows[first:]]
    warnings = []
    if len(daily) < LEAST_DAYS:
        warnings.append(
            f"{len(daily)} whole {'day' if len(daily) == 1 else 'days'} of history: "
            f"from {LEAST_DAYS} on, a forecast has an interval"
        )
    if past.coverage.unpriced_calls:
        warnings.append(
            f"{past.coverage.unpriced_calls:,} calls have no price, and are in no figure of this"
        )
    month = {day: cost for day, cost in costs.items() if day >= today.replace(day=1)}
    del costs[today]
    known = Past(daily) if daily else None
    return f.CostForecastReply(
        method=METHOD,
        level=request.level,
        history_days=len(daily),
        as_of=today,
        timezone=past.range.timezone,
        history=daily[-SHOWN_DAYS:],
        days=_days(known, request, today) if known else [],
        periods=_periods(known, request) if known else [],
        budget=_budget(db, request, known, month, past.range.timezone),
        record=forecasts.record(db, _filters(db, request.filter), past.range.timezone, costs),
        warnings=warnings,
    )


def _history(db: apsw.Connection, request: f.CostForecast, now: datetime) -> c.CostHistoryReply:
    """The days before; what can't be is told by the field of whoever asked for a forecast."""
    span = Range(days=HISTORY_DAYS + _TODAY, timezone=request.timezone, as_of=request.as_of)
    try:
        return cost_questions.history(db, c.CostHistory(range=span, filter=request.filter), now)
    except LedgerError as error:
        field = error.field and error.field.replace("$.range.", "$.")
        raise LedgerError(error.code, error.message, field=field, hint=error.hint) from None


def worth_keeping(
    db: apsw.Connection, request: f.CostForecast, reply: f.CostForecastReply, now: datetime
) -> list[AnyEvent]:
    """What was forecast, for the record; nothing of a day that is over, nor what is there already.

    What is forecast of a past day could be chosen by what came.
    """
    if reply.as_of != _day(now, reply.timezone):
        return []
    kept = _filters(db, request.filter)
    asked = (reply.as_of, forecasts.text_of(kept), reply.timezone)
    found = [
        ForecastRecorded(
            id=derived_id("forecast.recorded", *asked, period.days),
            at=now,
            as_of=str(reply.as_of),
            filters=kept,
            horizon_days=period.days,
            level=reply.level,
            expected_nanousd=period.expected_nanousd,
            low_nanousd=period.low_nanousd,
            high_nanousd=period.high_nanousd,
            history_days=reply.history_days,
            timezone=reply.timezone,
        )
        for period in reply.periods
    ]
    return [event for event in found if not log.knows(db, event.id)]


def _day(now: datetime, zone: str) -> date:
    return civil.day_of(civil.quarter_of(microseconds(now)), civil.find_zone(zone))


def _filters(db: apsw.Connection, asked: Filter) -> dict[str, list[str]]:
    """With whole ids of batches, in order."""
    batches = [
        name if log.has_batch(db, name) else batch_questions.find(db, name)
        for name in asked.batches
    ]
    named = {
        "provider": asked.providers,
        "model": asked.models,
        "experiment": asked.experiments,
        "batch": batches,
    }
    return {name: sorted(set(values)) for name, values in named.items() if values}


def _periods(past: "Past", request: f.CostForecast) -> list[f.ForecastPeriod]:
    wanted = [(days, label) for days, label in _PERIODS if days < request.days]
    last = dict(_PERIODS).get(request.days, f"Next {request.days} days")
    found = []
    for days, label in [*wanted, (request.days, last)]:
        low, expected, high = _told(past.total(days, _TODAY), request.level)
        found.append(
            f.ForecastPeriod(
                label=label,
                days=days,
                low_nanousd=low,
                expected_nanousd=expected,
                high_nanousd=high,
            )
        )
    return found


def _days(past: "Past", request: f.CostForecast, today: date) -> list[f.ForecastDay]:
    found = []
    for ahead in range(_TODAY, _TODAY + request.days):
        low, expected, high = _told(past.total(1, ahead), request.level)
        found.append(
            f.ForecastDay(
                date=today + timedelta(days=ahead),
                low_nanousd=low,
                expected_nanousd=expected,
                high_nanousd=high,
            )
        )
    return found


def _told(found: "Total", level: int) -> tuple[int | None, int, int | None]:
    """Low, expected and high; a float has fewer digits than nine million dollars in nano-dollars,
    so the bounds are held to what they surround."""
    outside = (1 - level / 100) / 2
    expected = _nanousd(found.expected)
    low, high = found.quantile(outside), found.quantile(1 - outside)
    return (
        None if low is None else min(_nanousd(low), expected),
        expected,
        None if high is None else max(_nanousd(high), expected),
    )


def _nanousd(amount: float) -> int:
    return min(round(amount), SUM_MAX)


def _budget(
    db: apsw.Connection,
    request: f.CostForecast,
    past: "Past | None",
    month: dict[date, int],
    zone: str,
) -> f.ForecastBudget | None:
    """This month's: what its days cost so far, today the last, and those that are left of it."""
    limit = request.budget_nanousd
    if limit is None and request.filter == Filter():
        limit = _monthly(db, request.as_of, zone)
    if limit is None:
        return None
    spent = min(sum(month.values()), SUM_MAX)
    rest, parts = _rest(past, month) if past else (None, [])
    expected = None if rest is None else _nanousd(spent + rest.expected)
    chance = None if rest is None else rest.exceeds(limit - spent)
    return f.ForecastBudget(
        limit_nanousd=limit,
        spent_nanousd=spent,
        expected_month_total_nanousd=expected,
        over_by_nanousd=max(0, (spent if expected is None else expected) - limit),
        probability_exceeded=1.0 if spent > limit else chance,
        expected_on=_crossed(limit, month, parts),
    )


def _monthly(db: apsw.Connection, as_of: date | None, zone: str) -> int | None:
    """What is set; as of a day, what was set when that ended."""
    if as_of is None:
        row = db.execute(_MONTHLY).fetchone()
        return None if row is None else int(row[0])
    end_us = civil.day_start(as_of + timedelta(days=1), civil.find_zone(zone)) * civil.QUARTER_US
    limit = None
    for item in log.read(db, kinds=_BUDGETED, limit=_ALL):
        match item.event:
            case BudgetSet(scope="monthly") | BudgetCleared(scope="monthly") as said:
                if microseconds(said.at) < end_us:
                    limit = said.limit_nanousd if isinstance(said, BudgetSet) else None
            case _:
                pass
    return limit


def _rest(past: "Past", month: dict[date, int]) -> "tuple[Total, list[float]]":
    """What is still to come of a month, and its days, of which the first is today."""
    today = max(month)
    end = (today.replace(day=1) + timedelta(days=31)).replace(day=1)
    left = (end - today).days
    whole = past.total(left)
    parts = [whole.expected * share for share in past.shares(left)]
    # A whole day is forecast, less what it has cost; who spent more than that gets nothing back.
    parts[0] = max(0.0, parts[0] - month[today])
    return whole._replace(expected=sum(parts)), parts


def _crossed(limit: int, month: dict[date, int], parts: Sequence[float]) -> date | None:
    left: float = limit
    for day, cost in month.items():
        left -= cost
        if left < 0:
            return day
    for place, part in enumerate(parts):
        left -= part
        if left < 0:
            return max(month) + timedelta(days=place)
    return None
