"""How far the goals are that stand."""

from datetime import date, datetime, timedelta

import apsw

from personad.contract import quality as q
from personad.contract.asking import Filter, Range
from personad.projections import quality_questions
from personad.projections.asked import resolve

_GOALS = "SELECT metric, target FROM goal ORDER BY metric"
_UNIT = 10_000
DAYS = 30
_FARTHEST_DAYS = 3_650
"""What a trend would take longer for, it won't reach."""


def goals(db: apsw.Connection, request: q.QualityGoals, now: datetime) -> q.QualityGoalsReply:
    """Each goal against the last 30 days.

    Raises:
        LedgerError: `invalid`, a zone that doesn't exist.
    """
    asked = resolve(db, Range(days=DAYS, timezone=request.timezone), Filter(), now)
    targets: dict[str, int] = dict(db.execute(_GOALS))
    newest: dict[str, q.QualityTrend] = {}
    # Where there is no goal, nothing need be known of any metric.
    for row in quality_questions.of_metrics(db, asked, targets) if targets else ():
        known = newest.get(row.metric)
        if row.n and (known is None or _last_day(row) >= _last_day(known)):
            newest[row.metric] = row
    today = asked.period.last_day
    return q.QualityGoalsReply(
        goals=[
            _goal(metric, target / _UNIT, newest.get(metric), today)
            for metric, target in targets.items()
        ]
    )


def _last_day(row: q.QualityTrend) -> date:
    return max(day.start for day in row.series if day.n)


def _goal(metric: str, target: float, row: q.QualityTrend | None, today: date) -> q.Goal:
    current = None if row is None else row.avg_7d if row.avg_7d is not None else row.avg_30d
    status: q.GoalStatus = "in progress"
    if current is not None and current >= target:
        status = "achieved"
    elif row is not None and row.significant and (row.trend_percent or 0) < 0:
        status = "slipping"
    return q.Goal(
        metric=metric,
        target=target,
        current=current,
        progress=None if current is None else min(1.0, current / target) if target else 1.0,
        status=status,
        expected_on=_expected(target, current, row, today) if status == "in progress" else None,
    )


def _expected(
    target: float, current: float | None, row: q.QualityTrend | None, today: date
) -> date | None:
    """Where the trend leads on, day by day."""
    if row is None or current is None or row.mean is None or not row.significant:
        return None
    days = [day.start for day in row.series if day.n]
    a_day = (row.trend_percent or 0.0) / 100 * row.mean / max(1, (days[-1] - days[0]).days)
    if a_day <= 0:
        return None
    needed = (target - current) / a_day
    return today + timedelta(days=round(needed)) if needed <= _FARTHEST_DAYS else None
