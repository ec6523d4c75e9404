"""What was committed, carried from the write-ahead log into the database file.

In place of SQLite's own way, by which the commit that makes the log too long has to wait for all of
it. Most of it another thread carries over, while commits go on; what has come meanwhile the writer
then carries himself, between two groups and in a moment, so that the log can begin anew.

What was carried while commits went on counts as carried, but is made safe only together with the
rest. Where a disk then fails to do that, it may have lost all of it, and SQLite would carry no more
than the rest again, and begin the log anew. So after that nothing is carried, by anybody, until the
process ends: the log has everything, and the next one carries all of it.
"""

import logging
import threading
from typing import NamedTuple

import apsw

PAGES = 4_000
"""So many are carried at once."""
REST_PAGES = 6_000
"""So many the writer carries at most, in some 40 ms, as long as the other thread keeps up."""
_READ_SOMETHING = "SELECT 1 FROM sqlite_schema LIMIT 1"

logger = logging.getLogger(__name__)

_LOST: set[str] = set()
"""Database files that a disk has failed to make safe."""


HELD = (
    "the disk has failed to keep what was written: nothing is carried over from the write-ahead "
    "log until `personad restart`, and the log has everything"
)


def held(db: apsw.Connection) -> str | None:
    """Why nothing is carried over from this ledger's log any more, for people."""
    return HELD if db.filename in _LOST else None


class Carried(NamedTuple):
    """How much of the log is in the database file."""

    pages: int
    of: int

    @property
    def is_all(self) -> bool:
        """If not, somebody reads an old state, for which the rest has to stay where it is."""
        return self.pages == self.of


def checkpoint(db: apsw.Connection) -> Carried:
    """Carries what was committed into the database file, waiting for nobody; nothing of nothing
    where somebody else is just doing it, or nobody may any more.

    Raises:
        apsw.Error: it failed; all of it is still in the log.
    """
    if db.filename in _LOST:
        return Carried(0, 0)
    try:
        of, pages = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if of < 0:
            # A connection that has read nothing yet doesn't know that there is a log.
            db.execute(_READ_SOMETHING).fetchall()
            of, pages = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return Carried(pages, of)
    except apsw.BusyError:
        return Carried(0, 0)
    except apsw.IOError as error:
        if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_FSYNC:
            _LOST.add(db.filename)
            logger.error(HELD)
        raise


class Carrying:
    """For the one thread that commits; the other thread is there only while it has to."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._beside: apsw.Connection | None = None
        """The other thread's. It stays open: closed beside another, it would keep its file open."""
        self._pages = 0
        """In the write-ahead log."""
        self._due_at = PAGES
        """With so many it is to be carried; more where whoever reads an old state has kept it from
        beginning anew."""
        self._thread: threading.Thread | None = None
        self._could_carry = True
        self._carried = Carried(0, 0)
        """By the other thread, when it last did."""
        self._rest: int | None = None
        """So many pages it had left by then, of which it carries most in another round."""
        db.set_wal_hook(self._committed)

    def start(self) -> None:
        """From now on another thread helps; without, the writer carries all by himself."""
        try:
            flags = apsw.SQLITE_OPEN_READWRITE
            beside = apsw.Connection(self._db.filename, flags=flags, vfs=self._db.open_vfs)
            # From here on it has all the files open that it ever will.
            beside.execute(_READ_SOMETHING).fetchall()
            self._beside = beside
        except apsw.Error as error:
            self._failed(error)

    def _committed(self, _: apsw.Connection, __: str, pages: int) -> int:
        if pages < self._pages:
            self._due_at = PAGES
        self._pages = pages
        return apsw.SQLITE_OK

    def carry(self) -> None:
        """What there is to do between two groups. Where it fails, all of it is still in the
        write-ahead log."""
        if self._pages < self._due_at or self._db.filename in _LOST:
            return
        if self._beside is None:
            self._due_at = self._pages + PAGES
            self._carry(self._db)
        elif self._thread is None:
            self._thread = threading.Thread(
                target=self._carry, args=(self._beside,), name="carrier"
            )
            self._thread.start()
        elif not self._thread.is_alive():
            self._thread = None
            self._carry_rest()

    def _carry_rest(self) -> None:
        """What the other thread has left: commits wait for it, so it may only be little, unless
        more and more comes than that thread can carry."""
        self._due_at = self._pages + PAGES
        before, self._rest = self._rest, None
        if not self._carried.is_all:
            return  # Once nobody reads an old state any more, it is for the other thread.
        rest = self._pages - self._carried.pages
        if rest > REST_PAGES and (before is None or rest < before):
            self._rest, self._due_at = rest, self._pages
        else:
            self._carry(self._db)

    def close(self) -> None:
        """Returns once the other thread has ended."""
        if self._thread is not None:
            self._thread.join()
        if self._db.filename in _LOST:
            # Else the last one carries the rest over, and deletes the log.
            for each in (self._db, self._beside):
                if each is not None:
                    each.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if self._beside is not None:
            self._beside.close()

    def _carry(self, db: apsw.Connection) -> None:
        self._carried = Carried(0, 0)
        try:
            self._carried = checkpoint(db)
            self._could_carry = True
        except apsw.Error as error:
            self._failed(error)

    def _failed(self, error: apsw.Error) -> None:
        if self._could_carry:
            logger.warning("the write-ahead log can't be carried over: %s", error)
        self._could_carry = False
