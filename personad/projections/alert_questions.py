"""Which alerts were raised, and what raises them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import apsw

from personad import news
from personad.contract import alerts as a
from personad.kinds import moment_of
from personad.projections import alert_rules

THRESHOLD_MAX = 10
"""Of a budget, as a share of its limit. What is taken back from another's export may say more."""

_OF = """
SELECT alert, at, kind, scope, level, value, threshold, message, acknowledged_at, metric, since,
  spent_nanousd, limit_nanousd, n, baseline
FROM alert WHERE (kind IN ('quality', 'quality-drift')) = ? ORDER BY seq DESC LIMIT ?
"""


def _rows(db: apsw.Connection, limit: int, *, is_quality: bool) -> Iterator[dict[str, Any]]:
    cursor = db.execute(_OF, (is_quality, limit))
    for row in cursor:
        names = [name for name, _ in cursor.get_description()]
        found = dict(zip(names, row, strict=True))
        yield found | {
            "id": found["alert"],
            "at": moment_of(found["at"]),
            "since": None if found["since"] is None else moment_of(found["since"]),
            "acknowledged": found["acknowledged_at"] is not None,
        }


def of_cost(db: apsw.Connection, request: a.CostAlerts, now: datetime) -> a.CostAlertsReply:
    switch = alert_rules.shown_of_cost(db)
    fields = [each for each in a.CostAlert.__struct_fields__ if each != "percent"]
    return a.CostAlertsReply(
        enabled=switch.enabled,
        enabled_by=switch.by,
        webhook=news.configured(db).webhook,
        unsent=news.count_owed(db),
        alerts=[
            a.CostAlert(
                percent=round(100 * min(max(row["threshold"], 0), THRESHOLD_MAX)),
                **{field: row[field] for field in fields},
            )
            for row in _rows(db, request.limit, is_quality=False)
        ],
    )


def of_quality(
    db: apsw.Connection, request: a.QualityAlerts, now: datetime
) -> a.QualityAlertsReply:
    rules = alert_rules.of_quality(db)
    return a.QualityAlertsReply(
        enabled=rules.switch.enabled,
        enabled_by=rules.switch.by,
        drift=rules.drift,
        rules=[
            a.QualityRule(
                metric=metric, threshold=rule.threshold, enabled=rule.enabled, set_by=rule.by
            )
            for metric, rule in rules.metrics.items()
        ],
        alerts=[_quality(row) for row in _rows(db, request.limit, is_quality=True)],
    )


def _quality(row: dict[str, Any]) -> a.QualityAlert:
    cause: Literal["threshold", "drift"] = "drift" if row["kind"] == a.DRIFT else "threshold"
    same = ("id", "at", "value", "threshold", "level", "message", "acknowledged", "n", "baseline")
    return a.QualityAlert(
        metric=row["metric"] or "composite",
        where=row["scope"],
        cause=cause,
        **{field: row[field] for field in same},
    )


def unshown(db: apsw.Connection, request: a.AskAlertNews, now: datetime) -> a.AlertNewsReply:
    return news.unshown(db)
