"""Alerts by name, and marking them as seen; the same for all kinds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import click

from persona.app import Stopped
from personad.contract.alerts import AlertsShown
from personad.contract.budget import AlertAcknowledged

if TYPE_CHECKING:
    from persona.app import App

LAST = "last"
SHOWN_AT_ONCE = 3


class Alert(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def acknowledged(self) -> bool: ...


def acknowledge(
    app: "App", alerts: Sequence[Alert], names: Sequence[str], *, everything: bool
) -> None:
    """Marks alerts as seen; `alerts` are all that there are, the newest first.

    Raises:
        click.UsageError: neither names nor `everything`, or both.
        Stopped: no alert is called so, or several are.
    """
    from persona.identity import event_id, now

    if bool(names) == everything:
        raise click.UsageError("say which: an ID, or --all")
    meant = list(alerts) if everything else [_named(alerts, name) for name in names]
    open_ = {each.id for each in meant if not each.acknowledged}
    if not open_:
        app.note("nothing was left to acknowledge")
        return
    at = now()
    app.ledger.append([AlertAcknowledged(id=event_id(), at=at, alert=name) for name in open_])
    app.note(f"acknowledged: {', '.join(sorted(open_))}")


def _named(alerts: Sequence[Alert], name: str) -> Alert:
    if name == LAST and alerts:
        return alerts[0]
    found = [each for each in alerts if each.id == name]
    found = found or [each for each in alerts if name and each.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(each.id for each in found[:SHOWN_AT_ONCE])
        raise Stopped(f"several alerts begin with {name!r}: {listed}", code=64)
    from difflib import get_close_matches

    near = get_close_matches(name, [each.id for each in alerts], SHOWN_AT_ONCE, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else None
    raise Stopped(f"there is no alert {name!r}", code=64, hint=hint or "`alerts list` shows all")


def have_been_shown(app: "App", alerts: Sequence[Alert]) -> None:
    """They were listed: nobody needs to be told of them once more."""
    if names := [each.id for each in alerts if not each.acknowledged]:
        app.ledger.ask(AlertsShown(alerts=names))
