"""A thread for what takes long and is not urgent: it asks the writer for slice after slice."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import apsw

from personad.contract.errors import LedgerError
from personad.tidy import Tidier
from personad.writer import Writer

LOOK_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class Keeper:
    """Tidies up once a second, where anything has happened since."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._tidier = Tidier(writer.with_book)
        self._closing = threading.Event()
        self._seen: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._run, name="keeper")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(LOOK_EVERY_S):
            self._quietly(self._tidy)

    def _quietly(self, work: Callable[[], None]) -> None:
        """What can't be done now can be done later."""
        try:
            work()
        except LedgerError as error:
            logger.info("left for later: %s", error)
        except (apsw.Error, ArithmeticError, LookupError, TypeError, ValueError):
            logger.exception("something could not be tidied up")

    def _tidy(self) -> None:
        now = datetime.now(UTC)
        seen = self._writer.last_seq, now.toordinal()
        if seen == self._seen and not self._writer.book.touched:
            return
        # What was touched lately is left for the next time, so there has to be one.
        self._seen = None if self._writer.book.touched else seen
        self._tidier.tidy(now)
