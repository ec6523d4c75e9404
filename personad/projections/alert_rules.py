"""Which alerts are on: by the newest command, else by the configuration.

What is set (a budget, a metric's threshold) is on from then on, also where the rest is off, until a
later command switches all of its kind off.
"""

from typing import NamedTuple

import apsw

from personad import news
from personad.contract.alerts import SetBy

_RULES = "SELECT metric, enabled, threshold, seq FROM alert_rule WHERE kind = ?"
_NEWEST_BUDGET = "SELECT coalesce(max(seq), 0) FROM budget"
COST, QUALITY = "cost", "quality"
ALL = ""
"""As a rule's metric: it is about the whole kind."""


class Switch(NamedTuple):
    """Whether alerts of a kind are on, and since when."""

    enabled: bool
    by: SetBy
    seq: int
    """Of the command; 0 where it is the configuration."""


class Rule(NamedTuple):
    """A metric's threshold, and whether it is watched."""

    threshold: float
    enabled: bool
    by: SetBy


class QualityRules(NamedTuple):
    switch: Switch
    drift: bool
    """Whether the charts' drops are told."""
    metrics: dict[str, Rule]
    cooldown_h: float

    @property
    def watched(self) -> dict[str, float]:
        return {metric: rule.threshold for metric, rule in self.metrics.items() if rule.enabled}


def of_cost(db: apsw.Connection) -> Switch:
    """The switch that every budget has of itself until it is set anew."""
    for metric, enabled, _, seq in db.execute(_RULES, (COST,)):
        if metric == ALL:
            return Switch(bool(enabled), "command", seq)
    return Switch(news.configured(db).cost_enabled, "configuration", 0)


def shown_of_cost(db: apsw.Connection) -> Switch:
    """The same with budgets: setting one is a command, too."""
    switch = of_cost(db)
    newest = int(db.execute(_NEWEST_BUDGET).get)
    return Switch(True, "command", newest) if newest > switch.seq else switch


def of_quality(db: apsw.Connection) -> QualityRules:
    said = news.configured(db)
    switch = Switch(said.quality_enabled, "configuration", 0)
    found: dict[str, tuple[bool, float | None, int]] = {}
    for metric, enabled, threshold, seq in db.execute(_RULES, (QUALITY,)):
        if metric == ALL:
            switch = Switch(bool(enabled), "command", seq)
        else:
            found[metric] = (bool(enabled), threshold, seq)
    rules = {
        metric: Rule(least, switch.enabled, "configuration")
        for metric, least in said.least.items()
        if least > 0
    }
    for metric, (enabled, threshold, seq) in found.items():
        least = threshold if threshold is not None else said.least.get(metric)
        if least is not None:
            is_on = enabled and (switch.enabled or seq > switch.seq)
            by: SetBy = "configuration" if threshold is None else "command"
            rules[metric] = Rule(least, is_on, by)
    # A threshold that is set is watched alone: the charts are switched with all of the kind.
    drift = said.drift and switch.enabled
    newest = max((seq for enabled, _, seq in found.values() if enabled), default=0)
    if newest > switch.seq:
        switch = Switch(True, "command", newest)
    return QualityRules(switch, drift, dict(sorted(rules.items())), said.quality_cooldown_h)
