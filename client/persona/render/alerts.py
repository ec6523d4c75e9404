"""How alerts look, and what raises them."""

from collections.abc import Sequence

from personad.contract.alerts import (
    CostAlert,
    CostAlertsReply,
    QualityAlert,
    QualityAlertsReply,
    QualityRule,
    SetBy,
)

from . import values
from .tables import SCORE, SCORE_BESIDE, WHEN, YES_NO, Column, Fact, Facts, Table, View

_STYLES = {"warn": "yellow", "stop": "red"}
_BY: dict[SetBy, str] = {"command": "by a command", "configuration": "by the configuration"}

COST_COLUMNS: tuple[Column[CostAlert], ...] = (
    Column("When", lambda row: row.at, WHEN),
    Column("Scope", lambda row: row.scope),
    Column("Level", lambda row: _level(row), style=lambda row: _style(row)),
    Column("Message", lambda row: row.message),
    Column("ID", lambda row: row.id),
)
QUALITY_COLUMNS: tuple[Column[QualityAlert], ...] = (
    Column("When", lambda row: row.at, WHEN),
    Column("Metric", lambda row: row.metric, style=lambda row: _style(row)),
    Column("Value", lambda row: (row.value, row.threshold), SCORE_BESIDE),
    Column("Threshold", lambda row: (row.threshold, row.value), SCORE_BESIDE),
    Column("Where", lambda row: row.where),
    Column("Cause", lambda row: f"{row.cause} (seen)" if row.acknowledged else row.cause),
    Column("ID", lambda row: row.id),
)
_NARROW_QUALITY: tuple[Column[QualityAlert], ...] = (
    QUALITY_COLUMNS[0],
    Column("Metric", lambda row: _below(row), style=lambda row: _style(row)),
    *QUALITY_COLUMNS[-3:],
)
_RULES: tuple[Column[QualityRule], ...] = (
    Column("Watched metric", lambda row: row.metric),
    Column("Threshold", lambda row: row.threshold, SCORE),
    Column("On", lambda row: row.enabled, YES_NO),
    Column("Set", lambda row: _BY[row.set_by]),
)


def _level(row: CostAlert) -> str:
    return f"{row.level} (seen)" if row.acknowledged else row.level


def _style(row: CostAlert | QualityAlert) -> str:
    return "dim" if row.acknowledged else _STYLES.get(row.level, "")


def _switch(enabled: bool, by: SetBy, enable: str) -> str:
    return f"on, {_BY[by]}" if enabled else f"off, {_BY[by]}; `{enable}` switches them on"


def of_cost(reply: CostAlertsReply) -> View:
    empty = "no budget was used up to a threshold; `persona cost budget set` sets a budget"
    on = _switch(reply.enabled, reply.enabled_by, "persona cost alerts enable")
    facts = [Fact("alerts", on)]
    if reply.webhook:
        facts.append(Fact("webhook", _sent(reply.unsent), "yellow" if reply.unsent else ""))
    return (Table(COST_COLUMNS, reply.alerts, empty), Facts(facts))


def _sent(unsent: int) -> str:
    if not unsent:
        return "has taken every alert"
    return f"has not taken {values.plural(unsent, 'alert')} yet; `personad logs` says why"


def of_quality(reply: QualityAlertsReply) -> View:
    facts = [
        Fact(
            "alerts",
            _switch(reply.enabled, reply.enabled_by, "persona quality alerts enable"),
        ),
        Fact("drops beyond chance", "told, of composites" if reply.drift else "not told"),
    ]
    rules = Table(_RULES, reply.rules, "no metric has a threshold")
    return (quality_table(reply.alerts), rules, Facts(facts))


def quality_table(found: Sequence[QualityAlert]) -> Table[QualityAlert]:
    """A row an alert."""
    return Table(QUALITY_COLUMNS, found, "quality has raised no alert", _NARROW_QUALITY)


def _below(row: QualityAlert) -> str:
    value, limit = (
        values.score_beside(row.value, row.threshold),
        values.score_beside(row.threshold, row.value),
    )
    return f"{row.metric} {value}, below {limit}"
