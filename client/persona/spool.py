"""Where a producer's events go while no daemon takes them: a file of its own, under its own lock.

Nothing is lost or counted twice, whenever the producer is killed: what was acknowledged is on the
disk, the kernel lets go of a dead producer's lock, and the daemon knows an event by its id. A
producer's events stay in order, because it appends directly only while all its files are taken.
"""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from personad.contract import spool
from personad.contract.base import MAX_MESSAGE_BYTES
from personad.contract.codec import codec, encode, too_large
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Appended, Fence, check_event

from .identity import event_id

_TAKEN_POLL_S = 0.02
_RETRY_MIN_S = 1.0
_RETRY_MAX_S = 30.0
_EVENT = codec(AnyEvent, check_event)


class Spooled(Struct, frozen=True, kw_only=True):
    """On this machine's disk; the ledger takes it when it is back."""

    events: int
    file: Path


class Spool:
    """One producer's spool files, oldest first; only the newest may be open. One per thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []
        self._descriptor: int | None = None
        self._size = 0
        self._ordinal = 0

    @property
    def empty(self) -> bool:
        """Whether the daemon has taken all that was written here."""
        self._files = [file for file in self._files if file.exists()]
        return not self._files

    def write(self, events: Sequence[AnyEvent]) -> Spooled:
        """Appends `events`; they are on the disk when it returns.

        Raises:
            LedgerError: `invalid` or `too-large` where the ledger would refuse them, too;
                `unavailable` where the disk doesn't take them. Nothing was written then.
        """
        payloads = [_payload(event) for event in events]
        try:
            descriptor = self._opened()
            first = self._ordinal + 1
            block = b"".join(spool.record(n, body) for n, body in enumerate(payloads, first))
            self._append(descriptor, block)
        except OSError as error:
            raise LedgerError(
                "unavailable",
                f"no ledger answers, and its spool {self._folder} takes nothing: {error.strerror}",
                hint="make room or mend the folder's rights, then run the same command again",
            ) from None
        self._ordinal += len(payloads)
        return Spooled(events=len(payloads), file=self._files[-1])

    def close(self) -> None:
        """Lets go of the lock, so that the daemon may take what was written."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, descriptor: int, block: bytes) -> None:
        try:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            # After a failed fsync nobody knows what the disk has: what follows gets a new file.
            try:
                os.ftruncate(descriptor, self._size)
            finally:
                self.close()
            raise
        self._size += len(block)

    def _opened(self) -> int:
        if self._descriptor is None:
            self._make_folder()
            while self._descriptor is None:
                self._create(self._folder / f"{event_id()}{spool.SUFFIX}")
        return self._descriptor

    def _make_folder(self) -> None:
        """The folder, and the ledger's own around it, which must not be open to others either."""
        self._folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _create(self, file: Path) -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Between the two calls above, the daemon may have taken the empty file away.
            if not os.fstat(descriptor).st_nlink:
                os.close(descriptor)
                return
            _sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self._size, self._ordinal = descriptor, 0, 0
        self._files.append(file)


def _sync_folder(folder: Path) -> None:
    """Makes a new file's name durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _payload(event: AnyEvent) -> bytes:
    if event.DAEMON_ONLY:
        raise LedgerError("invalid", f"only the daemon writes {type(event).__name__}")
    body = encode(event)
    if len(body) > MAX_MESSAGE_BYTES:
        raise too_large(len(body))
    _EVENT.decode(body)
    return body


class Appends(Protocol):
    """The part of a `Ledger` that a recorder needs."""

    def append(self, events: Sequence[AnyEvent], *, fence: Fence | None = None) -> Appended: ...


class Recorder:
    """Events to the ledger, or to the spool while the ledger is away. One per thread.

    Args:
        taken_s: How long `record` waits for its spool to be taken before it spools on.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        ledger: Appends,
        spool: Spool,
        *,
        taken_s: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._taken_s = taken_s
        self._clock = clock
        self._pause_s = _RETRY_MIN_S
        self._retry_at = float("-inf")

    def record(
        self, events: Sequence[AnyEvent], *, fence: Fence | None = None
    ) -> Appended | Spooled:
        """Puts `events` where they are safe, in the order of the calls.

        While the ledger is away it is tried again after 1 s, then after 2, 4, … up to 30 s. What
        is spooled loses its fence: a fact stays one, also when another runner has the batch.

        Raises:
            LedgerError: the ledger refuses the events (`conflict`, `invalid`, `too-large`), or
                neither ledger nor spool takes them (`unavailable`).
        """
        if self._clock() < self._retry_at:
            return self._spool.write(events)
        try:
            if self.settle():
                appended = self._ledger.append(events, fence=fence)
                self._pause_s = _RETRY_MIN_S
                return appended
        except LedgerError as error:
            if error.code != "unavailable":
                raise
        self._retry_at = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _RETRY_MAX_S)
        return self._spool.write(events)

    def settle(self) -> bool:
        """Whether all that was spooled is in the ledger, after waiting for it a moment.

        Raises:
            LedgerError: `unavailable`: there is no daemon to take it.
        """
        self._spool.close()
        if self._spool.empty:
            return True
        self._ledger.append([])
        until = self._clock() + self._taken_s
        while not self._spool.empty:
            if self._clock() >= until:
                return False
            time.sleep(_TAKEN_POLL_S)
        return True

    def close(self) -> None:
        """Leaves what is spooled to the daemon."""
        self._spool.close()
