"""`rebuild` as it is asked for: the fold beside the ledger, then the exchange, with a daemon or
without."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from stat import S_ISREG

import apsw

from personad import launch
from personad.catching_up import WithBook
from personad.contract.admin import Rebuild, Rebuilt
from personad.contract.base import Reply
from personad.contract.errors import Failure, LedgerError
from personad.contract.paths import Paths
from personad.halves import to_the_end
from personad.locks import Held, lock
from personad.projections.book import Book
from personad.rebuild import CALLS, adopt, chosen, clear
from personad.refold import beside, refold, sweep
from personad.store import ledger_zone, open_for_writing
from personad.trouble import Health, to_fold_afresh

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told how far it is, and how far it goes."""


class Rebuilds:
    """Makes one exchange at a time, in a thread of its own."""

    def __init__(self, with_book: WithBook, folder: Path, health: Health) -> None:
        self._with_book = with_book
        self._folder = folder
        self._health = health
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._clearing = threading.Thread(target=self._clear, name="rebuild clearing")

    def start(self) -> None:
        """Clears away what a killed one has left; it may be as large as the tables."""
        self._clearing.start()

    def take(self, request: Rebuild, answer: Callable[[Reply], None]) -> None:
        """Begins one; it is answered when it is done, or will not be.

        Raises:
            LedgerError: `conflict`, where one is going on; `invalid`; `unavailable`, where the
                ledger is damaged: the damaged pages would stay in the file.
        """
        chosen(request.projections)
        if (refused := self._health.refuses(request)) is not None:
            raise LedgerError.of(refused)
        path = Path(request.path)
        if path.parent != self._folder or not path.name.startswith(".refold-"):
            hint = "`personad rebuild` makes it there"
            raise LedgerError("invalid", f"{path} is none of ours", field="$.path", hint=hint)
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise LedgerError("conflict", "a rebuild is going on already", hint="wait for it")
            self._thread = threading.Thread(
                target=lambda: self._make(path, request.projections, answer), name="rebuild"
            )
            self._thread.start()

    def _make(self, path: Path, names: Sequence[str], answer: Callable[[Reply], None]) -> None:
        self._clearing.join()
        done = self._answer(path, names)
        # The old tables are cleared away while nobody waits for it any more, and before the next.
        self._clearing = threading.Thread(target=self._clear, name="rebuild clearing")
        self._clearing.start()
        answer(done)

    def _clear(self) -> None:
        try:
            sweep(self._folder)
            clear(self._with_book)
        except (LedgerError, apsw.Error, OSError) as error:
            logger.info("what an unfinished rebuild has left stays for now: %s", error)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._clearing.join()

    def _answer(self, path: Path, names: Sequence[str]) -> Reply:
        try:
            return exchanged(self._with_book, path, names)
        except LedgerError as error:
            return error.failure()
        except (apsw.Error, OSError, LookupError, TypeError, ValueError) as error:
            logger.exception("the rebuild was left off")
            return Failure(
                code="unavailable",
                message=f"the tables were not exchanged: {error}",
                hint="everything is as it was; `personad logs` has the details",
            )


def exchanged(with_book: WithBook, path: Path, names: Sequence[str]) -> Rebuilt:
    began = time.monotonic()
    for each in (path, *([beside(path)] if beside(path).exists() else [])):
        if not S_ISREG(each.lstat().st_mode):
            raise LedgerError("invalid", f"{each} is no regular file", field="$.path")
    done = adopt(with_book, path, chosen(names), places_anew=CALLS in names)
    took_ms = round((time.monotonic() - began) * 1_000)
    logger.info("rebuilt %s: %d rows in %d ms", ", ".join(names) or "all", done.rows, took_ms)
    return Rebuilt(rows=done.rows, last_seq=done.last_seq, duration_ms=took_ms)


def rebuild(
    paths: Paths, names: Sequence[str], progress: Progress, waiting: Callable[[], None]
) -> Rebuilt:
    """Folds the log afresh and has the tables exchanged.

    Args:
        paths: the ledger's.
        names: of projections; none are all.
        progress: of the fold.
        waiting: called once the exchange begins.

    Raises:
        LedgerError: no such projection, no ledger, no room.
    """
    chosen(names)
    if not paths.database.exists():
        hint = "`personad start` makes one; `--ledger DIR` names another"
        raise LedgerError("not-found", f"there is no ledger at {paths.database}", hint=hint)
    with to_fold_afresh(paths.database) as live:
        with refold(live, paths.data_dir, ledger_zone(live)) as fresh:
            last = int(live.execute("SELECT coalesce(max(seq), 0) FROM event").get)
            to_the_end(fresh, lambda seq: progress(seq, max(seq, last)), with_sums=True)
            fresh.finish()
            waiting()
            if launch.lives(paths):
                request = Rebuild(path=str(fresh.path), projections=list(names))
                return launch.ask(paths, request, go_on=lambda: launch.lives(paths))
            return _alone(paths, fresh.path, names)


def _alone(paths: Paths, path: Path, names: Sequence[str]) -> Rebuilt:
    try:
        with lock(paths.life_lock), closing(open_for_writing(str(paths.database))) as db:
            book = Book(db, ledger_zone(db))
            done = exchanged(lambda work: work(book), path, names)
            clear(lambda work: work(book))
            return done
    except Held:
        hint = "run the same command again"
        raise LedgerError("unavailable", "a daemon is just starting", hint=hint) from None
