"""A fold afresh of a large ledger by two processes: one for what calls cost and what personas are
worth, one for all the rest.

`python -m personad.halves DATABASE FILE ZONE UNTIL [sums]` is the other process. It writes how far
it is, a line a slice; so it ends by itself where nobody reads that any more.
"""

import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from zoneinfo import ZoneInfo

from personad.projections import PROJECTIONS
from personad.refold import BESIDE, Refold, beside
from personad.store import open_for_reading

FROM_EVENTS = 100_000
"""From so many on it pays to have another process."""
SUMS_SHARE = 0.2
"""Of the other one's time, what adding up hours and days takes."""

logger = logging.getLogger(__name__)


def to_the_end(fresh: Refold, progress: Callable[[int], None], *, with_sums: bool = False) -> None:
    """Folds until nothing is left; `progress` is told the seq that was reached. `with_sums` has the
    other process, if there is one, add up hours and days, too."""
    last = int(fresh.live.execute("SELECT coalesce(max(seq), 0) FROM event").get)
    count = last - int(fresh.live.execute("SELECT coalesce(min(seq), 0) FROM event").get)
    if fresh.seq == 0 and count >= FROM_EVENTS and (os.cpu_count() or 1) > 1:
        _together(fresh, last, progress, with_sums=with_sums)
    while fresh.advance():
        progress(fresh.seq)


def _together(
    fresh: Refold, until: int, progress: Callable[[int], None], *, with_sums: bool
) -> None:
    path = beside(fresh.path)
    path.unlink(missing_ok=True)
    other = _Other(fresh, path, until, with_sums=with_sums)
    try:
        fresh.narrow([each for each in PROJECTIONS if each not in BESIDE])
        while fresh.advance(until):
            progress(min(fresh.seq, other.seq))
        for _ in other.wait():
            progress(min(fresh.seq, other.seq))
    finally:
        other.close()
    unfit = fresh.unfit()
    if other.failed or unfit is not None:
        logger.info("what %s holds is folded in this process", path)
        path.unlink(missing_ok=True)
        _here(fresh, path, until, unfit, progress)
        with_sums = False
    fresh.join(path, is_summed=with_sums)


def _here(
    fresh: Refold,
    path: Path,
    until: int,
    unfit: list[int] | None,
    progress: Callable[[int], None],
) -> None:
    """The other half in this process: other `batch.interrupted` fit than are marked, or the other
    process broke, and what broke it is to be said."""
    half = Refold(fresh.live, path, fresh.book.zone, BESIDE, unfit)
    with closing(half):
        try:
            while half.advance(until):
                progress(half.seq)
        except (ValueError, KeyError, TypeError):
            fresh.seq = half.seq
            raise
        half.finish_half(None)


class _Other:
    """The other process."""

    def __init__(self, fresh: Refold, path: Path, until: int, *, with_sums: bool) -> None:
        self.seq = 0
        self.failed = False
        command = [sys.executable, "-P", "-m", "personad.halves", fresh.live.filename, str(path)]
        command += [fresh.book.zone.key, str(until), *(["sums"] * with_sums)]
        # What breaks it breaks this one, too, and is said then.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = Thread(target=self._read, name="other half")
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self.seq = int(line)

    def wait(self) -> Iterator[None]:
        """Gives the word once in a while until it has ended."""
        while self._thread.is_alive():
            self._thread.join(0.2)
            yield
        self.failed = self._process.wait() != 0

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()


def _main(database: str, path: Path, zone: ZoneInfo, until: int, *, with_sums: bool) -> None:
    # Whoever began this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    share = 1 - SUMS_SHARE if with_sums else 1.0

    def told(seq: float) -> None:
        sys.stdout.write(f"{round(seq)}\n")
        sys.stdout.flush()

    def summed(done: int, of: int) -> None:
        told(until * (share + SUMS_SHARE * done / of))

    with closing(open_for_reading(database)) as live:
        half = Refold(live, path, zone, BESIDE)
        try:
            told(0)
            while half.advance(until):
                told(half.seq * share)
            half.finish_half(summed if with_sums else None)
        except BaseException:
            # Nobody may be left who would.
            path.unlink(missing_ok=True)
            raise


if __name__ == "__main__":
    _database, _file, _zone, _until, *_more = sys.argv[1:]
    _main(_database, Path(_file), ZoneInfo(_zone), int(_until), with_sums=_more == ["sums"])
