"""Backups, while appends and questions go on."""

import errno
import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw

from personad.contract.admin import BackedUp, Backup
from personad.contract.base import Reply
from personad.contract.errors import Failure, LedgerError
from personad.contract.paths import Paths
from personad.copying import Between, alone_on, copy, fit_target
from personad.locks import Held, lock
from personad.restore import complete
from personad.store import open_for_writing
from personad.trouble import Health, naming_damage

_REMEMBER = "INSERT OR REPLACE INTO meta (name, value) VALUES ('last_backup', ?)"
_LAST = "SELECT value FROM meta WHERE name = 'last_backup'"

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

logger = logging.getLogger(__name__)


class Backups:
    """Makes one backup at a time, in a thread of its own."""

    def __init__(self, between: Between, database: Path, health: Health) -> None:
        self._between = between
        self._database = database
        self._health = health
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def take(self, request: Backup, answer: Callable[[Reply], None]) -> None:
        """Begins one; it is answered when the file is on disk, or will not be.

        Raises:
            LedgerError: `conflict`, where one is being made.
        """
        with self._lock:
            if self._closing.is_set():
                raise LedgerError("unavailable", "the daemon is stopping")
            if self._thread is not None and self._thread.is_alive():
                hint = "wait until it is done"
                raise LedgerError("conflict", "a backup is being made already", hint=hint)
            self._thread = threading.Thread(
                target=lambda: answer(self._answer(Path(request.path))), name="backup"
            )
            self._thread.start()

    def close(self) -> None:
        """Leaves off the one that is being made; returns once it is answered."""
        with self._lock:
            self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _answer(self, path: Path) -> Reply:
        try:
            made = back_up(self._between, path, self._database, stopped=self._closing.is_set)
        except LedgerError as error:
            return error.failure()
        except (apsw.CorruptError, apsw.NotADBError) as error:
            return self._health.unreadable(error) or _unwritten(path, error)
        except (apsw.Error, OSError, ValueError) as error:
            logger.warning("no backup was made: %s", error)
            return _unwritten(path, error)
        logger.info("backed up %d bytes, up to seq %d, to %s", made.size_bytes, made.last_seq, path)
        return made


def back_up(
    between: Between,
    path: Path,
    database: Path,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> BackedUp:
    """Writes the whole ledger to `path`, and remembers when.

    Raises:
        LedgerError: the path can't be used, or it was left off.
        OSError, apsw.Error: the file can't be written, or the ledger not be read.
        ValueError: no file can have that name.
    """
    if not path.is_absolute():
        raise LedgerError(
            "invalid", f"{path} is not an absolute path", field="$.path", hint="begin it with a /"
        )
    began = time.monotonic()
    copied = copy(between, fit_target(path, database), stopped=stopped)
    try:
        between(lambda db: db.execute(_REMEMBER, (datetime.now(UTC).isoformat(),)))
    except apsw.Error as error:
        # The file is there, and that is what was asked for: a full disk is why one makes backups.
        logger.warning("when the last backup was made could not be written down: %s", error)
    return BackedUp(
        path=str(path),
        size_bytes=copied.size_bytes,
        last_seq=copied.last_seq,
        duration_ms=round((time.monotonic() - began) * 1_000),
    )


def last_backup(db: apsw.Connection) -> datetime | None:
    """When the newest backup was made that this ledger knows of."""
    row = db.execute(_LAST).fetchone()
    return datetime.fromisoformat(str(row[0])) if row else None


def back_up_alone(paths: Paths, path: Path) -> BackedUp:
    """The same without a daemon, and keeping one from starting meanwhile.

    Raises:
        LedgerError: there is no ledger, or no backup could be made.
    """
    if not paths.database.exists():
        hint = "`personad start` makes one; `--ledger DIR` names another"
        raise LedgerError("not-found", f"there is no ledger at {paths.database}", hint=hint)
    try:
        with lock(paths.life_lock), naming_damage(paths.database):
            complete(paths.database)
            with closing(open_for_writing(str(paths.database))) as db:
                return back_up(alone_on(db), path, paths.database)
    except Held:
        hint = "run the same command again"
        raise LedgerError("unavailable", "a daemon is just starting", hint=hint) from None
    except (apsw.Error, OSError, ValueError) as error:
        raise LedgerError.of(_unwritten(path, error)) from None


def _unwritten(path: Path, error: Exception) -> Failure:
    message = f"no backup was made at {path}: {error}"
    has_room = not isinstance(error, OSError) or error.errno not in _NO_ROOM
    if has_room and not isinstance(error, apsw.Error):
        hint = "name a file in a folder that you may write to"
        return Failure(code="invalid", message=message, field="$.path", hint=hint)
    hint = "make room there, or name a file on another disk; what lay there is as it was"
    return Failure(code="unavailable", message=message, hint=hint)
