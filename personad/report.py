"""How `personad status` is shown."""

import msgspec

from personad.contract.admin import StatusReply

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
    shown["last_backup"] = f"{status.last_backup:%F %T} UTC" if status.last_backup else "never"
    if status.mode_reason:
        shown["mode"] = f"{status.mode}: {status.mode_reason}"
    lines = [(label, f"{label:<13} {shown[name]}") for name, label in _LABELS.items()]
    return "\n".join(
        line if columns is None or len(line) <= columns else f"{label}\n  {line[14:]}"
        for label, line in lines
    )
