"""The ledger itself: who it is, what it holds, and looking after it."""

from typing import Literal

from msgspec import Struct

from .base import (
    PROTOCOL,
    VERSION,
    Count,
    Done,
    Milliseconds,
    Moment,
    Name,
    Path,
    Positive,
    Reply,
    Request,
)

Mode = Literal["normal", "read-only", "draining"]


class Welcome(Reply, frozen=True, tag="welcome"):
    protocol: int
    version: str
    pid: Positive
    ledger: str
    """The ledger's own id, made when it was created."""
    last_seq: Count
    autostarted: bool
    """Started by a client rather than by a person or systemd: a newer client may replace it."""
    mode: Mode = "normal"
    """A draining daemon answers until it is gone, and takes nothing more."""
    alerts: Count = 0
    """Raised, and not shown to anybody yet."""


class Hello(Request[Welcome], frozen=True, tag="hello"):
    """First on every connection; a protocol that doesn't fit is refused, naming both."""

    protocol: int = PROTOCOL
    version: Name = VERSION


class StatusReply(Reply, frozen=True, tag="status"):
    version: str
    pid: Positive
    uptime_ms: Count
    api_socket: str
    live_socket: str
    database: str
    size_bytes: Count
    last_seq: Count
    events_per_s: float
    """Over the last ten seconds."""
    open_batches: Count
    watchers: Count
    spool_backlog: Count
    """Events in spool files that are not taken in yet."""
    quarantined: Count
    anomalies: Count
    last_retention: Moment | None
    last_backup: Moment | None
    mode: Mode
    mode_reason: str | None = None
    retention_held: str | None = None
    """Why nothing is dropped until somebody says that the clock is right."""
    log_held: str | None = None
    """Why the write-ahead log only grows until the daemon is started anew."""


class Status(Request[StatusReply], frozen=True, tag="status"):
    pass


class Stop(Request[Done], frozen=True, tag="stop"):
    """Drain: no new appends, everything in flight committed and acknowledged, then out."""


class BackedUp(Reply, frozen=True, tag="backed-up"):
    """The file is whole, checked, and on disk."""

    path: str
    size_bytes: Count
    last_seq: Count
    """The newest event in it."""
    duration_ms: Milliseconds


class Backup(Request[BackedUp], frozen=True, tag="backup"):
    """Copy the whole ledger, while appends and questions go on; one at a time.

    Answered when the file is there, which may take minutes.
    """

    path: Path
    """Absolute, as the daemon sees it; a backup that is there is replaced, anything else is not."""


class Rebuilt(Reply, frozen=True, tag="rebuilt"):
    rows: Count
    last_seq: Count
    duration_ms: Count


class Rebuild(Request[Rebuilt], frozen=True, tag="rebuild"):
    """Exchange projections for freshly folded ones, while appends and questions go on.

    What `personad rebuild` asks once it has folded them. Answered when it is done.
    """

    path: Path
    """The database that they were folded into; it lies in the ledger's own folder."""
    projections: list[Name] = []
    """None: all."""


class RetainedKind(Struct, frozen=True, kw_only=True):
    """What retention dropped of a kind of event, or would drop."""

    tier: str
    kind: str
    events: Count
    size_bytes: Count
    """About, without what indexes take."""
    oldest: Moment | None
    """Of those that were dropped."""
    kept_days: Count | None
    """None: for ever."""


class Retained(Reply, frozen=True, kw_only=True, tag="retained"):
    dry_run: bool
    before: Moment
    """What happened earlier, and is not kept for ever, is dropped."""
    kinds: list[RetainedKind]
    """Every kind of event."""
    freed_bytes: Count
    """By so much the file has shrunk."""
    duration_ms: Milliseconds
    held: str | None = None
    """Of a dry run: why nothing will be dropped until somebody says that the clock is right."""


class Retention(Request[Retained], frozen=True, tag="retention"):
    """Drop the single events that are old enough, while appends and questions go on.

    No total changes. The daemon does it once a day by itself. Answered when it is done, which may
    take minutes.
    """

    dry_run: bool = False
    """Only tell what would be dropped."""
    clock_is_right: bool = False
    """Drop also where so much time seems to have passed, of which the ledger has no witness, that
    it would be a `conflict` otherwise."""


class Tick(Struct, frozen=True, kw_only=True, tag_field="type", tag="tick"):
    """Topic `tick/`: once a second while a batch is open, so that a lost last frame is noticed."""

    last_seq: Count
    batches: dict[str, Count]
    """Each open batch's newest seq."""
