"""What alerts were raised, what they are raised by, and who has been shown them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .base import (
    MAX_APPEND_EVENTS,
    Count,
    Done,
    Finite,
    Moment,
    Name,
    NanoUsd,
    Reply,
    Request,
    Score,
    Text,
)

SetBy = Literal["command", "configuration"]
DRIFT = "quality-drift"
"""The kind of an alert that a chart has raised, and no threshold."""
MAX_ALERTS = 10_000


class CostAlert(Struct, frozen=True, kw_only=True):
    """A budget was used up to one of its thresholds."""

    id: Name
    at: Moment
    scope: Name
    """The budget's: `daily`, `experiment:tone`, …"""
    percent: Count
    """The threshold."""
    level: Name
    """`log`, `warn` or `stop`."""
    message: Text
    acknowledged: bool
    spent_nanousd: NanoUsd | None
    """Of the limit, when it was raised, with calls whose answer never came at their maximum."""
    limit_nanousd: NanoUsd | None
    since: Moment | None
    """Where the budget's period begins; null for those without one."""


class CostAlertsReply(Reply, frozen=True, kw_only=True, tag="cost-alerts"):
    enabled: bool
    enabled_by: SetBy
    """What that holds by: a command (or a budget that was set), or the configuration."""
    webhook: bool
    """Whether there is one that alerts are sent to."""
    unsent: Count
    """Alerts that it has not taken yet."""
    alerts: list[CostAlert]
    """The newest first."""


class CostAlerts(Request[CostAlertsReply], frozen=True, tag="cost-alerts"):
    """The alerts on budgets."""

    limit: Annotated[int, Meta(ge=1, le=MAX_ALERTS)] = 100


class QualityRule(Struct, frozen=True, kw_only=True):
    """Below what a metric's level is told."""

    metric: Name
    threshold: Score
    enabled: bool
    """Whether it is watched now."""
    set_by: SetBy


class QualityAlert(Struct, frozen=True, kw_only=True):
    """A model's personas became worse."""

    id: Name
    at: Moment
    metric: Name
    value: Finite
    """The level: the mean of the newest scores, each newer one counting more."""
    threshold: Finite
    """What it fell below: the one that was set, or the lower limit of the chart."""
    where: Name
    """Provider and model."""
    cause: Literal["threshold", "drift"]
    level: Name
    message: Text
    acknowledged: bool
    n: Count | None
    """Scores that the level is made of."""
    baseline: Finite | None
    """Of a drift: the mean that it was held against."""


class QualityAlertsReply(Reply, frozen=True, kw_only=True, tag="quality-alerts"):
    enabled: bool
    enabled_by: SetBy
    drift: bool
    """Whether drops beyond chance are told, too, without a threshold."""
    rules: list[QualityRule]
    alerts: list[QualityAlert]
    """The newest first."""


class QualityAlerts(Request[QualityAlertsReply], frozen=True, tag="quality-alerts"):
    """The alerts on what personas are worth, and the rules that raise them."""

    limit: Annotated[int, Meta(ge=1, le=MAX_ALERTS)] = 100


class AlertNews(Struct, frozen=True, kw_only=True):
    """An alert that nobody has been shown."""

    alert: Name
    at: Moment
    kind: Name
    scope: Name
    level: Name
    threshold: Finite
    message: Text
    since: Moment | None


class AlertNewsReply(Reply, frozen=True, kw_only=True, tag="alert-news"):
    alerts: list[AlertNews]
    """The oldest first."""


class AlertPosted(Struct, frozen=True, kw_only=True, tag_field="type", tag="alert.raised"):
    """What is sent to the webhook, as JSON."""

    id: Name
    """The same whenever it is sent again."""
    at: Moment
    kind: Name
    scope: Name
    level: Name
    metric: Name | None
    value: Finite
    threshold: Finite
    message: Text
    since: Moment | None
    spent_nanousd: NanoUsd | None
    limit_nanousd: NanoUsd | None
    n: Count | None
    baseline: Finite | None
    ledger: Name = "?"
    """Which ledger it comes from, by its id."""
    sent_at: Moment | None = None
    """Signed with the rest: an old message that somebody sends again can be told."""


class AskAlertNews(Request[AlertNewsReply], frozen=True, tag="alert-news"):
    """What was raised and neither shown nor acknowledged; what is only logged is left out."""


class AlertsShown(Request[Done], frozen=True, kw_only=True, tag="alerts-shown"):
    """Somebody has been shown these. Sent again, it changes nothing more."""

    alerts: Annotated[list[Name], Meta(max_length=MAX_APPEND_EVENTS)]
