"""Putting a backup in the ledger's place, so that a kill at any moment leaves one or the other.

The backup is first copied into the ledger's folder and checked, under a name of its own. Once it
has the name `<ledger>.restored` it *is* the ledger, and whoever opens the ledger next first does
what may be left to do: put the old one aside, with its write-ahead log, and give the new its name.
"""

import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw
from msgspec import Struct

from personad import log
from personad.contract.base import VERSION
from personad.contract.errors import LedgerError
from personad.contract.paths import Paths, private_directory
from personad.copying import alone_on, copy, is_database, sync
from personad.locks import Held, lock
from personad.mark import mark_file
from personad.migrations import FORMAT, format_of, too_new
from personad.store import ledger_id

RESTORED = ".restored"
ASIDE = ".before-restore-"

_WAIT_S = 3.0
_TABLES = "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'event') AND type = 'table'"
_ID_AT = "SELECT id FROM event WHERE seq = ?"
_NAME_ONE = "name a file that `personad backup` made"


class Unfit(Exception):
    """A file that no ledger can be made from; the message names it and says why."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Restored(Struct, frozen=True):
    ledger: str
    last_seq: int
    aside: Path | None
    """Where the ledger is that was there before."""


class _Held(Struct, frozen=True):
    """What a file holds: enough to tell which of two ledgers is ahead."""

    ledger: str
    last_seq: int
    newest: bytes | None
    """The id of the event at `last_seq`, where retention has left it there."""


def restore(paths: Paths, file: Path, *, force: bool) -> Restored:
    """Puts the backup in `file` in the ledger's place, and keeps what was there.

    Raises:
        Unfit: the file is no ledger, is damaged, or is of a newer format.
        LedgerError: a daemon runs, or the ledger there holds what the backup doesn't.
        OSError: the disk; nothing was changed.
    """
    private_directory(paths.data_dir)
    try:
        with lock(paths.life_lock, wait_s=_WAIT_S):
            return _restore(paths.database, file, force=force)
    except Held:
        raise LedgerError(
            "conflict",
            f"a daemon has the ledger {paths.data_dir}",
            hint="`personad stop`, then restore",
        ) from None
    except apsw.Error as error:
        raise LedgerError(
            "unavailable",
            f"{file} could not be put in the ledger's place: {error}",
            hint="make as much room as it takes itself; nothing was changed",
        ) from None


def _restore(database: Path, file: Path, *, force: bool) -> Restored:
    complete(database)
    candidate = database.with_name(f"{database.name}.candidate")
    try:
        found = _copied(file, candidate)
        if not force:
            _refuse_to_lose(database, found, candidate)
        os.replace(candidate, database.with_name(database.name + RESTORED))
    finally:
        candidate.unlink(missing_ok=True)
    sync(database.parent)
    return Restored(found.ledger, found.last_seq, complete(database))


def complete(database: Path) -> Path | None:
    """Does what a restore has left to do; where the old ledger is then. Raises OSError.

    Only for who holds the life lock. The order doesn't matter: as long as the restored file has
    its own name, all of this is done again.
    """
    restored = database.with_name(database.name + RESTORED)
    if not restored.exists():
        return None
    stamp = datetime.fromtimestamp(restored.stat().st_mtime, UTC)
    aside = database.with_name(f"{database.name}{ASIDE}{stamp:%Y%m%dT%H%M%S%fZ}")
    for end in ("", "-wal"):
        old = database.with_name(database.name + end)
        if old.exists():
            os.replace(old, aside.with_name(aside.name + end))
    database.with_name(f"{database.name}-shm").unlink(missing_ok=True)
    mark_file(database).unlink(missing_ok=True)
    sync(database.parent)
    os.replace(restored, database)
    sync(database.parent)
    return aside if aside.exists() else None


def _copied(file: Path, candidate: Path) -> _Held:
    """What the backup holds, once a copy of it was made and found sound."""
    try:
        if not file.is_file():
            what = "is no file" if file.exists() else "is not there"
            raise Unfit(f"{file} {what}", _NAME_ONE)
        if not is_database(file):
            raise Unfit(f"{file} is not a ledger", _NAME_ONE)
    except PermissionError:
        raise Unfit(f"{file} may not be read by you", "see that you may read it") from None
    try:
        with closing(_look_into(file)) as db:
            _check_kind(db, file)
            copy(alone_on(db), candidate)
        with closing(_look_into(candidate)) as db:
            if (said := db.execute("PRAGMA integrity_check(1)").get) != "ok":
                raise _damaged(file, str(said))
            return _held(db)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise _damaged(file, str(error)) from None


def _look_into(file: Path) -> apsw.Connection:
    return apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)


def _check_kind(db: apsw.Connection, file: Path) -> None:
    found = format_of(db)
    if found == 0 or db.execute(_TABLES).get != 2:
        raise Unfit(f"{file} is not a ledger", _NAME_ONE)
    if found > FORMAT:
        error = too_new(db, str(file), found)
        raise Unfit(error.message, error.hint or f"this is personad {VERSION}")


def _damaged(file: Path, why: str) -> Unfit:
    return Unfit(f"{file} is damaged: {why}", "name another backup; nothing was changed")


def _held(db: apsw.Connection) -> _Held:
    seq = log.last_seq(db)
    row = db.execute(_ID_AT, (seq,)).fetchone()
    return _Held(ledger_id(db), seq, bytes(row[0]) if row else None)


def _refuse_to_lose(database: Path, backup: _Held, candidate: Path) -> None:
    """Raises `conflict` where the ledger holds what the backup doesn't.

    A ledger that can't be read needs no `--force`: that is what backups are for, and it is kept.
    """
    if not database.exists():
        return
    try:
        with closing(_look_into(database)) as db:
            there = _held(db)
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError):
        return
    if there.ledger != backup.ledger:
        why = f"is another ledger ({there.ledger}) than the backup ({backup.ledger})"
    elif there.last_seq > backup.last_seq:
        why = f"is at seq {there.last_seq:,}, and the backup ends at {backup.last_seq:,}"
    elif not _knows(candidate, there):
        why = f"has gone another way than the backup: they differ at seq {there.last_seq:,}"
    else:
        return
    raise LedgerError(
        "conflict", f"the ledger {database} {why}", hint="--force replaces it, and keeps it aside"
    )


def _knows(candidate: Path, there: _Held) -> bool:
    """Whether the backup has the ledger's newest event at its place, or either let go of it."""
    with closing(_look_into(candidate)) as db:
        row = db.execute(_ID_AT, (there.last_seq,)).fetchone()
    return row is None or there.newest is None or bytes(row[0]) == there.newest
