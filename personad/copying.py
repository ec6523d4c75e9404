"""A ledger as a whole in one file: copied in slices, checked, and only then given its name.

The copy is made with SQLite's backup API on the connection that writes: what that connection
changes meanwhile goes into the copy, too, while a change through any other connection makes it
begin again (under load it then never ends).
"""

import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol, TypeVar

import apsw
from msgspec import Struct

from personad.contract.errors import LedgerError
from personad.log import last_seq

T = TypeVar("T")

UNFINISHED = ".partial"
"""What a copy is called, behind its own name, until it is whole."""
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite may keep beside a database; left there by another file, it would be taken for its."""

SLICE_S = 0.008
"""What one slice aims at: an append that comes in one waits no longer than twice that."""
FEWEST_PAGES = 8
MOST_PAGES = 1_024
SYNC_PAGES = 1_024
"""After so many pages the disk is waited for, by a thread that nobody waits for: all of a large
copy brought to the disk at once would keep each commit of the ledger waiting with it."""
_SAID = {apsw.FullError: "the disk is full", apsw.IOError: "disk I/O error"}
_LOOK_EVERY = 100_000
"""Steps of SQLite's machine between two looks at whether to stop; about a millisecond."""


class Between(Protocol):
    """Runs work on the connection that writes, while nothing else uses it; gives what it gave."""

    def __call__(self, work: Callable[[apsw.Connection], T], /) -> T: ...


class Copied(Struct, frozen=True):
    size_bytes: int
    last_seq: int


def alone_on(db: apsw.Connection) -> Between:
    """For a connection that nobody else uses."""

    def between(work: Callable[[apsw.Connection], T], /) -> T:
        return work(db)

    return between


def copy(between: Between, target: Path, *, stopped: Callable[[], bool] = lambda: False) -> Copied:
    """Makes `target` a copy of the whole ledger, on disk, or leaves everything as it was.

    The copy needs no file beside it, and only its owner may read it.

    Raises:
        LedgerError: `unavailable`, where `stopped` said so, or the ledger is damaged.
        OSError, apsw.Error: the target can't be written, or the ledger not be read.
    """
    unfinished = target.with_name(target.name + UNFINISHED)
    _remove(unfinished)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(unfinished, flags, 0o600))
    try:
        with closing(_unsafe(unfinished)) as into:
            _fill(between, into, unfinished, stopped)
            _check(into, stopped)
            seq = last_seq(into)
        sync(unfinished)
        size = unfinished.stat().st_size
        os.replace(unfinished, target)
    except BaseException:
        _remove(unfinished)
        raise
    sync(target.parent)
    return Copied(size_bytes=size, last_seq=seq)


def _remove(unfinished: Path) -> None:
    for each in (unfinished, *(unfinished.with_name(unfinished.name + end) for end in BESIDE)):
        each.unlink(missing_ok=True)


def _unsafe(path: Path) -> apsw.Connection:
    """Without a journal and without waiting for the disk: until it is whole, it is nothing."""
    into = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    # A small cache, so that the last slice has little left to write.
    into.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -512")
    return into


def _fill(between: Between, into: apsw.Connection, file: Path, stopped: Callable[[], bool]) -> None:
    backup = between(lambda db: into.backup("main", db, "main"))
    pages, unsynced = FEWEST_PAGES, 0
    try:
        while not backup.done:
            if stopped():
                raise LedgerError("unavailable", "the daemon is stopping; no copy was made")
            took_s = between(lambda _, pages=pages: _step(backup, pages))  # type: ignore[misc]
            unsynced += pages
            if unsynced >= SYNC_PAGES:
                sync(file)
                unsynced = 0
            wanted = int(pages * SLICE_S / max(took_s, 1e-6))
            pages = min(max(wanted, FEWEST_PAGES), MOST_PAGES, pages * 2)
        between(lambda _: backup.finish())
    finally:
        # Whether it was finished or not, the ledger's connection has to forget it.
        try:
            between(lambda _: backup.close(True))
        except LedgerError:
            # The writer has ended, so that nobody else uses its connection any more.
            backup.close(True)


def _step(backup: apsw.Backup, pages: int) -> float:
    """Copies so many pages; the seconds it took."""
    began = time.monotonic()
    try:
        backup.step(pages)
    except apsw.Error as error:
        # SQLite's words on it are the copy's connection's, and apsw asks the other one.
        raise type(error)(_SAID.get(type(error), str(error))) from None
    return time.monotonic() - began


def _check(into: apsw.Connection, stopped: Callable[[], bool]) -> None:
    into.set_progress_handler(stopped, _LOOK_EVERY)
    try:
        # A file of its own, which a medium that can't be written to can be read from.
        into.pragma("journal_mode", "DELETE")
        found = into.execute("PRAGMA quick_check(1)").get
    except apsw.InterruptError:
        raise LedgerError("unavailable", "the daemon is stopping; no copy was made") from None
    finally:
        into.set_progress_handler(None)
    if found != "ok":
        raise apsw.CorruptError(f"a copy of it is not sound: {found}")


def sync(path: Path) -> None:
    """Brings a file, or a folder's names, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_database(path: Path) -> bool:
    """Whether the file begins as every SQLite database does. Raises OSError."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def fit_target(path: Path, database: Path) -> Path:
    """Where a copy for `path` has to be written: links followed.

    Raises:
        LedgerError: `invalid`, where something stands there that must not be overwritten.
    """
    target = Path(os.path.realpath(path))
    own = {database.name + end for end in ("", *BESIDE)}
    if target.parent == Path(os.path.realpath(database.parent)) and target.name in own:
        raise _unfit(f"{path} is the ledger itself", "name another file")
    if target.is_dir():
        raise _unfit(f"{path} is a folder", "name a file in it")
    if not target.parent.is_dir():
        raise _unfit(f"there is no folder {target.parent}", "make it, or name another file")
    with suppress(FileNotFoundError):
        is_ours = target.is_file() and (target.stat().st_size == 0 or is_database(target))
        if target.exists() and not is_ours:
            raise _unfit(f"{path} holds something else and is not overwritten", "name another file")
    for end in BESIDE:
        beside = target.with_name(target.name + end)
        if beside.exists():
            raise _unfit(f"{beside} belongs to a database in use", "name another file")
    return target


def _unfit(message: str, hint: str) -> LedgerError:
    return LedgerError("invalid", message, field="$.path", hint=hint)
