"""What alerts are switched on, and which were raised; those that somebody has seen are marked."""

from collections.abc import Sequence

from personad.contract.base import Event
from personad.contract.budget import AlertAcknowledged, AlertConfigured, AlertRaised
from personad.kinds import microseconds
from personad.log import Entry
from personad.projections.book import Book

NAME = "alerts"
VERSION = 2
SCHEMA = """
CREATE TABLE alert_rule (
  kind TEXT NOT NULL,
  metric TEXT NOT NULL,               -- '' is all of the kind
  enabled INTEGER NOT NULL,
  threshold REAL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (kind, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (
  alert TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  scope TEXT NOT NULL,
  level TEXT NOT NULL,
  value REAL NOT NULL,
  threshold REAL NOT NULL,
  message TEXT NOT NULL,
  acknowledged_at INTEGER,
  seq INTEGER NOT NULL,
  metric TEXT,
  since INTEGER,                      -- microseconds since 1970
  spent_nanousd INTEGER,
  limit_nanousd INTEGER,
  n INTEGER,
  baseline REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_by_time ON alert (at);
"""
ADDED = (
    "metric TEXT",
    "since INTEGER",
    "spent_nanousd INTEGER",
    "limit_nanousd INTEGER",
    "n INTEGER",
    "baseline REAL",
)
"""Columns that version 1 had not."""
TABLES: tuple[str, ...] = ("alert_rule", "alert")
WANTS: tuple[type[Event], ...] = (AlertConfigured, AlertRaised, AlertAcknowledged)

_RULE = """
INSERT INTO alert_rule (kind, metric, enabled, threshold, seq) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET enabled = excluded.enabled,
  threshold = coalesce(excluded.threshold, threshold), seq = excluded.seq
"""
_RAISE = """
INSERT INTO alert (alert, at, kind, scope, level, value, threshold, message, seq, metric, since,
  spent_nanousd, limit_nanousd, n, baseline)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_KNOWN = "SELECT 1 FROM alert WHERE alert = ?"
_ACKNOWLEDGE = """
UPDATE alert SET acknowledged_at = ? WHERE alert = ? AND acknowledged_at IS NULL
"""


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; gives those that don't fit, by seq, with the reason."""
    anomalies = []
    db = book.db
    for seq, at, event, _ in entries:
        match event:
            case AlertConfigured(kind=kind, metric=metric, threshold=threshold):
                book.cost_alerts_off = None
                threshold = None if threshold is None else float(threshold)
                db.execute(_RULE, (kind, metric or "", int(event.enabled), threshold, seq))
            case AlertRaised():
                db.execute(_RAISE, _row(seq, at, event))
            case AlertAcknowledged(alert=alert):
                if db.execute(_KNOWN, (alert,)).fetchone() is None:
                    anomalies.append((seq, f"there is no alert {alert}"))
                db.execute(_ACKNOWLEDGE, (at, alert))
            case _:
                raise AssertionError(f"{type(event)} is none of {NAME}'s")
    return anomalies


def _row(seq: int, at: int, event: AlertRaised) -> tuple[str | float | None, ...]:
    return (
        event.alert,
        at,
        event.kind,
        event.scope,
        event.level,
        float(event.value),
        float(event.threshold),
        event.message,
        seq,
        event.metric,
        None if event.since is None else microseconds(event.since),
        event.spent_nanousd,
        event.limit_nanousd,
        event.n,
        None if event.baseline is None else float(event.baseline),
    )
