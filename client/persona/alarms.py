"""Alerts that nobody has been shown yet: on stderr, once, when a command ends."""

from typing import TYPE_CHECKING

from persona.render.values import clean, plural
from personad.contract.alerts import AlertNews, AlertsShown, AskAlertNews
from personad.contract.errors import LedgerError

if TYPE_CHECKING:
    from persona.app import App
    from persona.client import Ledger

HINTS = {"cost": "`persona cost alerts list`", "quality": "`persona quality alerts list`"}
SHOWN = 10
"""So many of the newest are said one by one."""


def tell(app: "App", ledger: "Ledger") -> None:
    """Says what was raised since anybody looked; what can't be asked now is told another time."""
    if not ledger.may_have_alerts:
        return
    try:
        news = ledger.ask(AskAlertNews(), timeout_s=2).alerts
        if not news:
            return
        found = latest(news)
        for each in found[-SHOWN:]:
            app.note(f"alert ({clean(each.level)}): {clean(each.message)}")
        if len(found) > SHOWN:
            app.note(f"  and {plural(len(found) - SHOWN, 'older alert')}")
        app.note(f"  see {' and '.join(_hints(news))}")
        ledger.ask(AlertsShown(alerts=[each.alert for each in news]), timeout_s=2)
    except LedgerError as error:
        app.detail(f"alerts can't be asked for: {error.message}")


def latest(news: list[AlertNews]) -> list[AlertNews]:
    """Of a budget's thresholds that were passed in one period only the highest."""
    found: dict[tuple[object, ...], AlertNews] = {}
    for each in news:
        is_cost = each.kind == "cost"
        key = (each.kind, each.scope, each.since) if is_cost else (each.alert,)
        known = found.get(key)
        if known is None or each.threshold >= known.threshold:
            found[key] = each
    return list(found.values())


def _hints(news: list[AlertNews]) -> list[str]:
    kinds = {each.kind.partition("-")[0] for each in news}
    return [hint for kind, hint in HINTS.items() if kind in kinds] or list(HINTS.values())[:1]
