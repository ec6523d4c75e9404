"""What was committed, carried from the write-ahead log into the database file.

In place of SQLite's own way, by which the commit that makes the log too long has to wait for all of
it. Most of it another thread carries over, while commits go on; what has come meanwhile the writer
then carries himself, between two groups and in a moment, so that the log can begin anew.
"""

import logging
import threading

import apsw

PAGES = 4_000
"""So many are carried at once."""
_READ_SOMETHING = "SELECT 1 FROM sqlite_schema LIMIT 1"

logger = logging.getLogger(__name__)


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
        db.set_wal_hook(self._committed)

    def start(self) -> None:
        """From now on another thread helps; without, the writer carries all by himself."""
        try:
            flags = apsw.SQLITE_OPEN_READWRITE
            beside = apsw.Connection(self._db.filename, flags=flags, vfs=self._db.open_vfs)
            # One that has read nothing yet doesn't know that there is a log, and carries nothing.
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
        if self._pages < self._due_at:
            return
        if self._thread is None and self._beside is not None:
            self._thread = threading.Thread(
                target=self._carry, args=(self._beside,), name="carrier"
            )
            self._thread.start()
        elif self._thread is None or not self._thread.is_alive():
            self._thread = None
            self._due_at = self._pages + PAGES
            self._carry(self._db)

    def close(self) -> None:
        """Returns once the other thread has ended."""
        if self._thread is not None:
            self._thread.join()
        if self._beside is not None:
            self._beside.close()

    def _carry(self, db: apsw.Connection) -> None:
        try:
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._could_carry = True
        except apsw.BusyError:
            pass  # Somebody else is doing it.
        except apsw.Error as error:
            self._failed(error)

    def _failed(self, error: apsw.Error) -> None:
        if self._could_carry:
            logger.warning("the write-ahead log can't be carried over: %s", error)
        self._could_carry = False
