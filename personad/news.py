"""What became of alerts after they were raised: who was shown them, and whether they were sent on.

None of it follows from the log: an export tells what happened, not who has heard of it. Here, too,
lies what was out of bounds at the newest look, so that it is told once and not with every event;
and what the configuration says, where the writer and those who answer find it.
"""

from typing import Any

import apsw
import msgspec
from msgspec import Struct

from personad.contract.alerts import AlertNews, AlertNewsReply, AlertPosted
from personad.contract.options import Settings
from personad.kinds import moment_of

SCHEMA = """
CREATE TABLE alert_news (
  alert TEXT PRIMARY KEY,
  shown_at INTEGER,
  owed INTEGER NOT NULL,              -- whether it is still to be sent to the webhook
  sent_at INTEGER
) STRICT, WITHOUT ROWID;

-- What is below its threshold now.
CREATE TABLE alert_watch (
  kind TEXT NOT NULL,
  metric TEXT NOT NULL,
  place TEXT NOT NULL,
  cause BLOB NOT NULL,                -- id of the event that brought it there
  told INTEGER NOT NULL,
  PRIMARY KEY (kind, metric, place)
) STRICT, WITHOUT ROWID;
"""

_CONFIGURED = "SELECT value FROM meta WHERE name = 'alerts'"
_CONFIGURE = "INSERT OR REPLACE INTO meta (name, value) VALUES ('alerts', ?)"
_ADD = "INSERT OR IGNORE INTO alert_news (alert, owed) VALUES (?, ?)"
_UNSHOWN = """
FROM alert_news JOIN alert USING (alert)
WHERE shown_at IS NULL AND acknowledged_at IS NULL AND level <> 'log'
"""
_COUNT = f"SELECT count(*) {_UNSHOWN}"
_LIST = f"""
SELECT alert, at, kind, scope, level, alert.threshold, message, since {_UNSHOWN}
ORDER BY seq LIMIT 100
"""
_SHOWN = "UPDATE alert_news SET shown_at = ? WHERE alert = ? AND shown_at IS NULL"
_OWED = """
SELECT alert, at, kind, scope, level, metric, value, alert.threshold, message, since,
  spent_nanousd, limit_nanousd, n, baseline
FROM alert_news JOIN alert USING (alert) WHERE owed ORDER BY seq LIMIT 100
"""
_COUNT_OWED = "SELECT count(*) FROM alert_news WHERE owed"
_SENT = "UPDATE alert_news SET owed = 0, sent_at = ? WHERE alert = ?"


class Configured(Struct, frozen=True, kw_only=True):
    """What the configuration says of alerts, as far as the ledger has to know."""

    cost_enabled: bool = False
    cost_cooldown_h: float = 24
    thresholds: tuple[int, ...] = (50, 80, 100)
    webhook: bool = False
    quality_enabled: bool = False
    quality_cooldown_h: float = 24
    drift: bool = True
    least: dict[str, float] = {}


def configured_by(settings: Settings) -> Configured:
    cost, quality = settings.cost.alerts, settings.quality.alerts
    return Configured(
        cost_enabled=cost.enabled,
        cost_cooldown_h=cost.cooldown_h,
        thresholds=cost.thresholds,
        webhook=cost.webhook_url is not None,
        quality_enabled=quality.enabled,
        quality_cooldown_h=quality.cooldown_h,
        drift=quality.ewma,
        least={
            metric: getattr(quality, metric)
            for metric in ("coherence", "faithfulness", "composite")
        },
    )


def configure(db: apsw.Connection, settings: Settings) -> None:
    """From now on that holds, wherever the ledger is asked."""
    told = msgspec.json.encode(configured_by(settings)).decode()
    if db.execute(_CONFIGURED).get != told:
        db.execute(_CONFIGURE, (told,))


def configured(db: apsw.Connection) -> Configured:
    row = db.execute(_CONFIGURED).fetchone()
    if row is None:
        return configured_by(Settings())
    return msgspec.json.decode(str(row[0]), type=Configured)


def add(db: apsw.Connection, alert: str, *, owed: bool) -> None:
    """The alert was raised here, just now."""
    db.execute(_ADD, (alert, int(owed)))


def count(db: apsw.Connection) -> int:
    """How many nobody was shown, of those that are to be."""
    return int(db.execute(_COUNT).get)


def unshown(db: apsw.Connection) -> AlertNewsReply:
    return AlertNewsReply(
        alerts=[
            AlertNews(
                alert=alert,
                at=moment_of(at),
                kind=kind,
                scope=scope,
                level=level,
                threshold=threshold,
                message=message,
                since=None if since is None else moment_of(since),
            )
            for alert, at, kind, scope, level, threshold, message, since in db.execute(_LIST)
        ]
    )


def show(db: apsw.Connection, alerts: list[str], now_us: int) -> None:
    """Somebody has been shown these."""
    db.executemany(_SHOWN, [(now_us, alert) for alert in alerts])


def owed(db: apsw.Connection) -> list[AlertPosted]:
    """The first that are still to be sent to the webhook."""
    return [_posted(*row) for row in db.execute(_OWED)]


def count_owed(db: apsw.Connection) -> int:
    return int(db.execute(_COUNT_OWED).get)


def _posted(alert: str, at: int, *rest: Any) -> AlertPosted:
    kind, scope, level, metric, value, threshold, message, since, spent, limit, n, mean = rest
    return AlertPosted(
        id=alert,
        at=moment_of(at),
        kind=kind,
        scope=scope,
        level=level,
        metric=metric,
        value=value,
        threshold=threshold,
        message=message,
        since=None if since is None else moment_of(since),
        spent_nanousd=spent,
        limit_nanousd=limit,
        n=n,
        baseline=mean,
    )


def sent(db: apsw.Connection, alert: str, now_us: int | None) -> None:
    """It needs no more sending; at None it was given up."""
    db.execute(_SENT, (now_us, alert))
