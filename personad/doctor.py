"""`personad doctor`: one line a finding, each with its mend."""

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import apsw
from msgspec import Struct

from personad import fetched_prices, log, price_data, quarantine
from personad.contract.admin import Status
from personad.contract.alerts import CostAlerts
from personad.contract.errors import LedgerError
from personad.contract.events import Recorded
from personad.contract.paths import MAX_SOCKET_PATH_BYTES, Paths
from personad.kinds import moment_of
from personad.launch import ask
from personad.migrations import FORMAT
from personad.retention import SAY_SO
from personad.spool import backlog, quarantined, reasons
from personad.store import open_for_reading
from personad.trouble import MEND_DAMAGE, naming_damage

Verdict = Literal["ok", "warning", "failed"]

DISK_WARNING_BYTES = 1 << 30
DISK_FAILED_BYTES = 64 << 20
CLOCK_FLOOR = datetime(2026, 1, 1, tzinfo=UTC)
SQLITE_FLOOR = (3, 38, 0)
REASONS = 3
LOOK_S = 5.0
"""How long the database is looked through; a gigabyte takes about as long."""


class Finding(Struct, frozen=True):
    what: str
    verdict: Verdict
    message: str
    mend: str | None = None


def examine(paths: Paths) -> Iterator[Finding]:
    """Looks at everything in turn; changes nothing and starts nothing."""
    for check in CHECKS:
        try:
            yield check(paths)
        except (apsw.Error, OSError) as error:
            what = check.__name__.strip("_")
            yield Finding(
                what, "failed", f"it can't be looked at: {error}", "see that you may read it"
            )


def _permissions(paths: Paths) -> Finding:
    what = "permissions"
    for path in (paths.data_dir, paths.runtime_dir, paths.database):
        if not path.exists():
            continue
        found = path.stat()
        wanted = 0o600 if path == paths.database else 0o700
        if stat.S_ISDIR(found.st_mode) == (path == paths.database):
            kind = "file" if path == paths.database else "folder"
            return Finding(what, "failed", f"{path} is no {kind}", "move it away")
        if found.st_uid != os.getuid():
            return Finding(what, "failed", f"{path} belongs to user {found.st_uid}", "chown it")
        if stat.S_IMODE(found.st_mode) & 0o077:
            mend = f"chmod {wanted:o} '{path}'"
            return Finding(what, "failed", f"others may read {path}", mend)
    return Finding(what, "ok", f"only you can enter {paths.data_dir}")


def _disk(paths: Paths) -> Finding:
    folder = _existing(paths.data_dir)
    free = shutil.disk_usage(folder).free
    message = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free < DISK_FAILED_BYTES:
        return Finding("disk room", "failed", message, "make room: the ledger can't grow")
    if free < DISK_WARNING_BYTES:
        return Finding("disk room", "warning", message, "make room soon")
    return Finding("disk room", "ok", message)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _clock(paths: Paths) -> Finding:
    now = datetime.now(UTC)
    if now < CLOCK_FLOOR:
        return Finding("clock", "failed", f"it says {now:%F %T} UTC", "set it, or let NTP do it")
    if paths.database.exists():
        with closing(open_for_reading(str(paths.database))) as db:
            newest = max((each.recorded_at for each in _newest(db)), default=now)
        if newest > now:
            ahead = f"the newest event was recorded at {newest:%F %T} UTC, which is yet to come"
            return Finding("clock", "warning", ahead, "set the clock; order is kept by seq")
    return Finding("clock", "ok", f"{now:%F %T} UTC, local zone {time.tzname[0]}")


def _newest(db: apsw.Connection) -> Iterator[Recorded]:
    return log.read(db, after=max(0, log.last_seq(db) - 1), limit=1)


def _sqlite(_: Paths) -> Finding:
    version = apsw.sqlite_lib_version()
    if tuple(map(int, version.split("."))) < SQLITE_FLOOR:
        mend = "pip install --upgrade apsw"
        return Finding("SQLite", "failed", f"{version} is too old", mend)
    return Finding("SQLite", "ok", version)


def _schema(paths: Paths) -> Finding:
    if not paths.database.exists():
        return Finding("schema", "ok", "no ledger yet; the first start makes one")
    with closing(open_for_reading(str(paths.database))) as db:
        found = db.pragma("user_version")
    if found != FORMAT:
        mend = "install the version of personad that made it"
        return Finding("schema", "failed", f"format {found}, known: {FORMAT}", mend)
    return Finding("schema", "ok", f"format {found}")


def _soundness(paths: Paths) -> Finding:
    what = "soundness"
    if not paths.database.exists():
        return Finding(what, "ok", "no ledger yet")
    until = time.monotonic() + LOOK_S
    try:
        with naming_damage(paths.database):
            with closing(open_for_reading(str(paths.database))) as db:
                db.set_progress_handler(lambda: time.monotonic() > until, 100_000)
                found = str(db.execute("PRAGMA quick_check(1)").get)
    except apsw.InterruptError:
        looked = f"nothing found in {LOOK_S:g} s; `personad verify` looks at all of it"
        return Finding(what, "ok", looked)
    except LedgerError as error:
        return Finding(what, "failed", error.message, error.hint)
    if found != "ok":
        return Finding(what, "failed", f"the ledger is damaged: {found}", MEND_DAMAGE)
    return Finding(what, "ok", "every page is as it should be")


def _socket(paths: Paths) -> Finding:
    size = len(os.fsencode(paths.live_socket))
    if size > MAX_SOCKET_PATH_BYTES:
        mend = "set daemon.runtime_dir to a short folder"
        return Finding("socket", "failed", f"its path has {size} bytes", mend)
    try:
        status = ask(paths, Status())
    except LedgerError as error:
        return Finding("daemon", "warning", error.message, error.hint)
    if status.mode != "normal":
        is_damaged = "damaged" in (status.mode_reason or "")
        mend = MEND_DAMAGE if is_damaged else "see `personad logs`"
        return Finding("daemon", "failed", f"{status.mode}: {status.mode_reason}", mend)
    if status.log_held:
        return Finding("daemon", "warning", status.log_held, "look at its disk, too")
    if status.anomalies:
        message = f"pid {status.pid}; {status.anomalies} events fit nowhere and are not counted"
        return Finding("daemon", "warning", message, "`persona events export` shows which")
    return Finding("daemon", "ok", f"pid {status.pid} answers, version {status.version}")


def _retention(paths: Paths) -> Finding:
    """The daemon knows how long events are kept."""
    try:
        held = ask(paths, Status()).retention_held
    except LedgerError:
        return Finding("retention", "ok", "a running daemon sees to it")
    if held is not None:
        return Finding("retention", "warning", f"held back: {held}", SAY_SO)
    return Finding("retention", "ok", "old events are dropped once a day")


def _spool(paths: Paths) -> Finding:
    waiting = backlog(paths.spool_dir) if paths.spool_dir.exists() else 0
    if waiting:
        mend = "a running daemon takes them in within a second"
        return Finding("spool", "warning", f"{waiting} events wait to be taken in", mend)
    return Finding("spool", "ok", "empty")


def _quarantine(paths: Paths) -> Finding:
    found = quarantined(paths.quarantine_dir)
    if found:
        mend = f"look at {paths.quarantine_dir}; `persona events import` takes mended ones"
        told = "; ".join(dict.fromkeys(reasons(paths.quarantine_dir, REASONS)))
        return Finding("quarantine", "warning", f"{found} pieces could not be taken: {told}", mend)
    if paths.database.exists():
        with closing(open_for_reading(str(paths.database))) as db:
            return _too_old(db)
    return Finding("quarantine", "ok", "empty")


def _too_old(db: apsw.Connection) -> Finding:
    """Events from before what retention has dropped."""
    found, before = quarantine.count(db), quarantine.pruned_before(db)
    if not found or before is None:
        return Finding("quarantine", "ok", "empty")
    message = f"{found} events from before {moment_of(before):%F} came too late to be counted"
    mend = (
        "see that their producer's clock is right; old history can be counted in a ledger of its "
        "own: `persona --ledger DIR events import FILE`"
    )
    return Finding("quarantine", "warning", message, mend)


def _webhook(paths: Paths) -> Finding:
    """The daemon knows which alerts are still to be sent."""
    try:
        told = ask(paths, CostAlerts(limit=1))
    except LedgerError:
        return Finding("webhook", "ok", "a running daemon sees to it")
    if not told.webhook:
        return Finding("webhook", "ok", "alerts are sent nowhere")
    if told.unsent:
        message = f"{told.unsent} alert{'s' * (told.unsent > 1)} not taken yet"
        return Finding("webhook", "warning", message, "`personad logs` says why")
    return Finding("webhook", "ok", "every alert was taken")


def _prices(paths: Paths) -> Finding:
    """The list by which calls are priced that don't say their cost."""
    what, kept = "price list", paths.data_dir / fetched_prices.FILE
    try:
        fetched_prices.kept(kept)
    except fetched_prices.BadList as error:
        mend = "`persona cost prices update` fetches it anew; until then the installed list counts"
        return Finding(what, "warning", f"{kept} can't be used: {error}", mend)
    price_data.look_at(kept)
    found = price_data.catalogue()
    age = found.age_days(datetime.now(UTC))
    message = f"{found.source}, {age} days old"
    if age > price_data.STALE_AFTER_DAYS:
        return Finding(what, "warning", message, "`persona cost prices update` fetches a newer one")
    return Finding(what, "ok", message)


def _systemd(_: Paths) -> Finding:
    unit = Path.home() / ".config/systemd/user/personad.service"
    if unit.exists():
        return Finding("systemd", "ok", f"{unit} is installed")
    return Finding("systemd", "ok", "no user unit: the daemon starts when it is needed")


CHECKS: tuple[Callable[[Paths], Finding], ...] = (
    _permissions,
    _disk,
    _clock,
    _sqlite,
    _schema,
    _soundness,
    _socket,
    _retention,
    _spool,
    _quarantine,
    _webhook,
    _prices,
    _systemd,
)
