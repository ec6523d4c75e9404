"""What a disk can do to the ledger, and what follows from it.

Three kinds. On a *full* disk the ballast is let go of and nothing is taken that makes the ledger
grow, until there is room again. A disk that *can't be written* is tried again once a second. A
*damaged* ledger is not written any more at all, until it is replaced by a backup. Whatever can be
read is answered all the while, and what can't is named.
"""

import errno
import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import apsw
from msgspec import Struct

from personad import ballast, migrations
from personad.contract.base import Request
from personad.contract.cost import StartCall
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Append, Import
from personad.copying import is_database
from personad.log import last_seq
from personad.mark import Marker, read_mark
from personad.store import open_for_reading, open_for_writing

Kind = Literal["full", "unwritable", "damaged"]

GROWING = (Append, Import, StartCall)
"""What is not even tried on a full disk: the room that was let go of is for what is small, and no
call that costs may begin where its cost could not be written down."""

_DAMAGED = (apsw.CorruptError, apsw.NotADBError)
_UNWRITABLE = (
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.BusyError,
    apsw.PermissionsError,
)
"""What a lost mount, a disk that is read-only or another writer look like; all of it may pass."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
"""SQLite calls only the first by its name."""

MEND_DAMAGE = "`personad restore FILE` puts a backup in its place; the old one is kept"

logger = logging.getLogger(__name__)


class Trouble(Struct, frozen=True):
    kind: Kind
    reason: str


class Health:
    """What is wrong with the ledger, for every thread to ask and to tell."""

    def __init__(self, database: Path | None = None, ballast_file: Path | None = None) -> None:
        """Without files, a ledger in a test has neither ballast nor mark."""
        self._database = database
        self._ballast = ballast_file
        self._marker: Marker | None = None
        self._lock = threading.Lock()
        self._trouble: Trouble | None = None

    def begin(self, db: apsw.Connection, ledger: str) -> None:
        """Looks whether the ledger is as far as it was, and holds the ballast. Raises OSError."""
        if self._database is None:
            return
        if self._ballast is not None and not ballast.hold(self._ballast) and not self._has_room():
            self._turn("full", "the ledger's disk is nearly full")
        mark, seq = read_mark(self._database), last_seq(db)
        if mark is not None and mark.ledger == ledger and mark.last_seq > seq:
            self._turn("damaged", _cut_short(self._database, seq, mark.last_seq))
            return
        try:
            self._marker = Marker(self._database, ledger)
        except OSError as error:
            # A disk that has no room for it has room for questions.
            logger.warning("how far the ledger has come is not written down: %s", error)
        else:
            self._marker.set(seq)

    def close(self) -> None:
        if self._marker is not None:
            self._marker.close()

    @property
    def reason(self) -> str | None:
        """Why the ledger can't be written, for people."""
        trouble = self._trouble
        return None if trouble is None else trouble.reason

    def refuses(self, request: Any) -> Failure | None:
        """What to answer a change without having tried it; None: try it."""
        match self._trouble:
            case None:
                return None
            case Trouble("damaged") as trouble:
                return _failure(trouble)
            case Trouble("full") as trouble if not self._is_tried(request):
                return _failure(trouble)
        return None

    def _is_tried(self, request: Any) -> bool:
        """On a full disk. What the daemon asks of itself, once a second, would use up the room that
        was let go of, if it were tried before there is more."""
        if isinstance(request, Request):
            return not isinstance(request, GROWING)
        return self._has_room()

    def unwritten(self, error: Exception, system_errno: int = 0) -> Failure | None:
        """What to answer a change that failed of the disk; None where that wasn't the reason."""
        if isinstance(error, _DAMAGED):
            return self._turn("damaged", f"the ledger is damaged: {error}")
        unwritten = f"the ledger can't be written: {error}"
        if isinstance(error, apsw.FullError) or (
            isinstance(error, apsw.IOError) and system_errno in _FULL
        ):
            return self._turn("full", unwritten)
        if isinstance(error, _UNWRITABLE):
            return self._turn("unwritable", unwritten)
        return None

    def unreadable(self, error: Exception) -> Failure | None:
        """What to answer a question that failed of the disk; None where that wasn't the reason."""
        if isinstance(error, _DAMAGED):
            return self._turn("damaged", f"the ledger is damaged: {error}")
        if isinstance(error, apsw.IOError):
            logger.error("the ledger can't be read: %s", error)
            return Failure(
                code="unavailable",
                message=f"the ledger can't be read: {error}",
                hint="look at its disk; `personad doctor` looks at the file",
            )
        return None

    def committed(self, seq: int, *, tried: bool) -> None:
        """After a commit that wrote something; `tried`: it was there to see whether one can."""
        if self._marker is not None:
            self._marker.set(seq)
        trouble = self._trouble
        if trouble is None or trouble.kind == "damaged":
            return
        if trouble.kind == "full" and not (tried and self._has_room()):
            return
        with self._lock:
            if self._trouble is trouble:
                self._trouble = None
        logger.info("the ledger can be written again")
        if self._ballast is not None:
            ballast.hold(self._ballast)

    def _has_room(self) -> bool:
        try:
            return self._ballast is None or ballast.has_room(self._ballast.parent)
        except OSError as error:
            logger.error("the disk's room can't be told: %s", error)
            return False

    def _turn(self, kind: Kind, reason: str) -> Failure:
        """Damage is never taken for something that passes."""
        with self._lock:
            before = self._trouble
            if before is None or before.kind != "damaged":
                self._trouble = Trouble(kind, reason)
            trouble = self._trouble or Trouble(kind, reason)
        if before is None or before.kind != trouble.kind:
            logger.error("read-only: %s", trouble.reason)
            if kind == "full" and self._ballast is not None:
                self._let_go(self._ballast)
        return _failure(trouble)

    def _let_go(self, path: Path) -> None:
        try:
            ballast.let_go(path)
        except OSError as error:
            logger.error("the ballast could not be let go of: %s", error)


def _failure(trouble: Trouble) -> Failure:
    match trouble.kind:
        case "full":
            hint = "make room on its disk; it goes on by itself then, and nothing was lost"
        case "unwritable":
            hint = "make room on its disk, or mend its permissions; nothing was lost"
        case "damaged":
            hint = MEND_DAMAGE
    return Failure(code="unavailable", message=trouble.reason, hint=hint)


def _cut_short(database: Path, found: int, marked: int) -> str:
    return (
        f"the ledger is damaged: it ends at seq {found:,}, and was at {marked:,} before: its "
        f"write-ahead log was cut short, or an older file put in its place; to go on without what "
        f"is missing: `personad restore {database}`"
    )


def open_letting_go(database: Path, ballast_file: Path) -> apsw.Connection:
    """The ledger for writing; on a full disk, where even that needs room, without the ballast.

    Raises:
        LedgerError: it can't be used.
        apsw.CorruptError: it is damaged.
        OSError: the ballast can't be let go of.
    """
    try:
        return open_for_writing(str(database))
    except LedgerError as error:
        if error.code != "unavailable" or not ballast.let_go(ballast_file):
            raise
    return open_for_writing(str(database))


@contextmanager
def naming_damage(database: Path) -> Iterator[None]:
    """Around opening the ledger: what can't be opened for damage is said to be damaged.

    Raises:
        LedgerError: `unavailable`.
        OSError: the file can't be read.
    """
    mark = read_mark(database)
    if mark is not None and mark.last_seq and database.exists() and not is_database(database):
        raise _damaged(database, f"its beginning is gone; it held {mark.last_seq:,} events")
    try:
        yield
    except _DAMAGED as error:
        raise _damaged(database, str(error)) from None


@contextmanager
def to_fold_afresh(database: Path) -> Iterator[apsw.Connection]:
    """A reader of the ledger, around all that is done to fold it afresh beside itself: tables of
    another format than this program's differ from what it folds, and are no less sound for it.

    Raises:
        LedgerError: it is damaged or of another format, or it or its disk can't be used.
        OSError: the file can't be read.
    """
    with naming_damage(database):
        try:
            with closing(open_for_reading(str(database))) as db:
                migrations.check_format(db, str(database))
                yield db
        except (*_UNWRITABLE, apsw.FullError) as error:
            raise LedgerError(
                "unavailable",
                f"the ledger {database} can't be folded afresh: {error}",
                hint="its folder has to be writable, with room for a file as large as its tables",
            ) from None


def _damaged(database: Path, why: str) -> LedgerError:
    return LedgerError("unavailable", f"the ledger {database} is damaged: {why}", hint=MEND_DAMAGE)
