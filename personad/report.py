"""How `personad status` is shown."""

import sys
import time
from typing import TYPE_CHECKING

import msgspec

from personad.contract.admin import Retained, StatusReply

if TYPE_CHECKING:
    from personad.verify import Verified

_LABELS = {
    "version": "version",
    "pid": "pid",
    "mode": "mode",
    "uptime": "up for",
    "database": "database",
    "api_socket": "requests",
    "live_socket": "live",
    "last_seq": "last seq",
    "events_per_s": "events/s",
    "open_batches": "open batches",
    "watchers": "watchers",
    "spool_backlog": "spooled",
    "quarantined": "quarantined",
    "anomalies": "anomalies",
    "last_retention": "retention",
    "last_backup": "last backup",
}


def status_json(status: StatusReply) -> str:
    """One JSON document: the reply, with the uptime in seconds."""
    fields = msgspec.to_builtins(status)
    fields.pop("type")
    uptime_ms = fields.pop("uptime_ms")
    ordered = {"version": fields["version"], "pid": fields["pid"], "uptime_s": uptime_ms / 1_000}
    return msgspec.json.encode({**ordered, **fields}).decode()


def status_text(status: StatusReply, columns: int | None = None) -> str:
    """A line a figure; what is wider than `columns` characters stands below its label, whole."""
    shown: dict[str, object] = {
        **msgspec.to_builtins(status),
        "uptime": f"{status.uptime_ms / 1_000:,.0f} s",
        "database": f"{status.database} ({status.size_bytes / (1 << 20):.1f} MiB)",
        "last_seq": f"{status.last_seq:,}",
        "events_per_s": f"{status.events_per_s:.1f}",
    }
    for name in ("last_backup", "last_retention"):
        moment = getattr(status, name)
        shown[name] = f"{moment:%F %T} UTC" if moment else "never"
    if status.retention_held:
        shown["last_retention"] = f"{shown['last_retention']}; held back: {status.retention_held}"
    if status.log_held:
        shown["database"] = f"{shown['database']}; {status.log_held}"
    if status.mode_reason:
        shown["mode"] = f"{status.mode}: {status.mode_reason}"
    lines = [(label, f"{label:<13} {shown[name]}") for name, label in _LABELS.items()]
    return "\n".join(
        line if columns is None or len(line) <= columns else f"{label}\n  {line[14:]}"
        for label, line in lines
    )


def verified_text(found: "Verified") -> str:
    """What `personad verify` says."""
    from personad.projections.call_places import TABLES

    if found.damage is None:
        return f"sound: {found.events:,} events, {found.rows:,} rows in {found.tables} tables"
    restore = "`personad restore FILE` puts a backup in"
    what = found.damage.what
    if what in TABLES:
        mend = "`personad rebuild calls` has it noted anew where calls lie"
    elif what in ("file", "batch_key"):
        # A rebuild leaves the pages of the file as they are, and names.
        mend = f"{restore} its place; the old one is kept"
    else:
        mend = (
            "`personad rebuild` makes the tables anew from the events; "
            f"where events are damaged, {restore} their place"
        )
    return f"damaged: {what}: {found.damage.message}\n  {mend}"


def retained_text(done: Retained) -> str:
    """What `personad retention` says: a line a kind, then what all of it came to."""
    lines = [f"{'tier':<10} {'kind':<20} {'events':>11} {'about':>10}  {'oldest':<10}  kept for"]
    for each in done.kinds:
        if each.kept_days is None:
            continue
        oldest = f"{each.oldest:%F}" if each.oldest else "-"
        lines.append(
            f"{each.tier:<10} {each.kind:<20} {each.events:>11,} {_mib(each.size_bytes):>10}  "
            f"{oldest:<10}  {each.kept_days:,} days"
        )
    lines.append("everything else, and every total, is kept for ever")
    events = sum(each.events for each in done.kinds)
    verb = "would drop" if done.dry_run else "dropped"
    last = f"{verb} {events:,} events from before {done.before:%F %T} UTC"
    if not done.dry_run:
        last += f", gave {_mib(done.freed_bytes)} back, in {done.duration_ms / 1_000:.2f} s"
    held = [f"held back: {done.held}"] if done.held else []
    return "\n".join([*lines, last, *held])


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"


class Bar:
    """A progress bar on stderr, where somebody looks at it."""

    WIDTH = 30

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._next_at = 0.0

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self, what: str, done: int, whole: int) -> None:
        """`done` of `whole`, at most ten times a second."""
        now = time.monotonic()
        if not self._is_shown or (now < self._next_at and done < whole):
            return
        self._next_at = now + 0.1
        share = done / whole if whole else 1.0
        filled = round(share * self.WIDTH)
        bar = "#" * filled + "-" * (self.WIDTH - filled)
        sys.stderr.write(f"\r\x1b[K{what:<9} [{bar}] {share:>4.0%}  {done:,} of {whole:,}")
        sys.stderr.flush()
