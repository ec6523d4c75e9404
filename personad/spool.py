"""Taking in what producers spooled while no daemon answered."""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from itertools import count as counted
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

import msgspec
from msgspec import Struct

from personad.contract import spool
from personad.contract.codec import codec
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, check_event
from personad.contract.schema import tag

CHUNK_EVENTS = 1_000
CHUNK_BYTES = 1 << 20
SET_ASIDE = ".quarantine"
FIRST_REST_S = 1.0
"""Before a file is tried again that the ledger failed on; twice as long the next time."""
MOST_TRIES = 7
"""Within about a minute."""

_COPY_BYTES = 1 << 20
_HEADER_BYTES = 1 << 16
_EVENT = codec(AnyEvent, check_event)

Append = Callable[[list[AnyEvent]], None]
"""Puts events on disk, all or none, each once by its id; raises `LedgerError`."""


class Taken(Struct, frozen=True, kw_only=True):
    """What one pass over the spool folder did."""

    files: int = 0
    events: int = 0
    """Handed to the ledger; those it knew already are among them."""
    torn: int = 0
    """Files whose last write was cut off; nobody had been told that it was safe."""
    quarantined: int = 0
    """Pieces that were set aside because the ledger can't take them."""
    failed: int = 0
    """Files of which the ledger failed on something; they are tried again later."""


class Stubborn:
    """Files with events that the ledger failed on, without the disk being the reason.

    It may pass, as where memory ran out, or never will. So such a file is tried again, after ever
    longer, and in the end what still can't be recorded of it is set aside.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tried: dict[str, tuple[int, float]] = {}

    def is_resting(self, path: Path) -> bool:
        """Whether it is too early to try that file again."""
        return self._clock() < self._tried.get(path.name, (0, 0.0))[1]

    def gave_up_after(self, path: Path) -> int | None:
        """How often that file was tried, where it is not to be tried once more."""
        tries, _ = self._tried.get(path.name, (0, 0.0))
        if tries + 1 >= MOST_TRIES:
            return MOST_TRIES
        self._tried[path.name] = tries + 1, self._clock() + FIRST_REST_S * 2**tries
        return None

    def forget(self, path: Path) -> None:
        self._tried.pop(path.name, None)


class _Later(Exception):
    """The rest of a file stays for a later pass."""


class _Pass:
    """The counters of a pass while it goes on."""

    def __init__(self, quarantine_dir: Path, append: Append, stubborn: Stubborn) -> None:
        self.quarantine_dir = quarantine_dir
        self.append = append
        self.stubborn = stubborn
        self.files = self.events = self.torn = self.quarantined = self.failed = 0

    def result(self) -> Taken:
        return Taken(
            files=self.files,
            events=self.events,
            torn=self.torn,
            quarantined=self.quarantined,
            failed=self.failed,
        )


def take(
    spool_dir: Path, quarantine_dir: Path, append: Append, stubborn: Stubborn | None = None
) -> Taken:
    """Appends every spooled event whose producer has let go of its file, then removes the file.

    Memory is bounded by one chunk. Stopped at any moment it can be run again: what was appended is
    known by its id, and what was set aside is set aside under the same name. A file with an event
    that the ledger fails on stays from that event on, as what follows may depend on it, until
    `stubborn`, which goes from pass to pass, has it set aside; other files go on.

    Raises:
        LedgerError: `unavailable` from `append`; the file stays for the next pass.
        OSError: the folders can't be read or written.
    """
    going = _Pass(quarantine_dir, append, stubborn or Stubborn())
    for path in _files(spool_dir):
        if going.stubborn.is_resting(path):
            continue
        try:
            if not S_ISREG(path.lstat().st_mode):
                _move_aside(going, path, "no-regular-file")
                continue
            file = _opened(path)
        except FileNotFoundError:
            continue
        except PermissionError:
            _move_aside(going, path, "not-readable")
            continue
        with file:
            if _locked(file) and os.fstat(file.fileno()).st_nlink:
                try:
                    _take_file(going, path, file)
                except _Later:
                    going.failed += 1
                    continue
                path.unlink()
                going.stubborn.forget(path)
                going.files += 1
    return going.result()


def backlog(spool_dir: Path) -> int:
    """How many spooled events wait, those that are being written included; reads only file ends."""
    total = 0
    for path in _files(spool_dir):
        try:
            with _opened(path) as file:
                total += spool.count(file)
        except OSError:
            # Taken meanwhile, or one that `take` sets aside.
            continue
    return total


def quarantined(quarantine_dir: Path) -> int:
    """How many pieces lie in quarantine."""
    return len(_names(quarantine_dir, SET_ASIDE))


def reasons(quarantine_dir: Path, most: int) -> list[str]:
    """Why the newest of them lie there."""
    found = []
    for name in sorted(_names(quarantine_dir, SET_ASIDE))[-most:]:
        try:
            with _opened(quarantine_dir / name) as piece:
                found.append(str(msgspec.json.decode(piece.readline(_HEADER_BYTES))["reason"]))
        except (OSError, msgspec.DecodeError, LookupError, TypeError):
            # One that was moved here whole says why in its name.
            found.append(name)
    return found


def _opened(path: Path) -> BinaryIO:
    """A file that others have put there, which may be a pipe: one of those would be waited for.

    Raises:
        OSError: it can't be opened, or is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def _files(spool_dir: Path) -> list[Path]:
    """Oldest first: a name is a time-ordered id."""
    return [spool_dir / name for name in sorted(_names(spool_dir, spool.SUFFIX))]


def _names(folder: Path, suffix: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(suffix)]
    except FileNotFoundError:
        return []


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take_file(going: _Pass, path: Path, file: BinaryIO) -> None:
    for chunk in _chunks(going, path, file):
        events = [event for _, event in chunk]
        try:
            going.append(events)
            going.events += len(events)
        except LedgerError as error:
            if error.code == "unavailable":
                raise
            _take_singly(going, path, file, chunk)


def _take_singly(
    going: _Pass, path: Path, file: BinaryIO, chunk: list[tuple[spool.Record, AnyEvent]]
) -> None:
    """One refused event must not keep the others out."""
    for found, event in chunk:
        try:
            going.append([event])
            going.events += 1
        except LedgerError as error:
            if error.code == "unavailable":
                raise
            reason = error.message
            if error.code == "internal":
                tries = going.stubborn.gave_up_after(path)
                if tries is None:
                    raise _Later from None
                reason = f"{tag(type(event))} could not be recorded, tried {tries} times: {reason}"
            _copy_aside(going, path, file, found.offset, found.size, reason)


def _chunks(
    going: _Pass, path: Path, file: BinaryIO
) -> Iterator[list[tuple[spool.Record, AnyEvent]]]:
    chunk: list[tuple[spool.Record, AnyEvent]] = []
    size = 0
    for piece in spool.scan(file):
        match piece:
            case spool.Torn():
                going.torn += 1
            case spool.Damage(offset, length):
                _copy_aside(going, path, file, offset, length, "damaged: no checksum fits")
            case spool.Record():
                event = _event_of(going, path, file, piece)
                if event is not None:
                    chunk.append((piece, event))
                    size += piece.size
        if len(chunk) >= CHUNK_EVENTS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _event_of(going: _Pass, path: Path, file: BinaryIO, found: spool.Record) -> AnyEvent | None:
    """The event in a record, or None where the record was set aside."""
    try:
        event: AnyEvent = _EVENT.decode(found.payload)
    except LedgerError as error:
        _copy_aside(going, path, file, found.offset, found.size, error.message)
        return None
    if event.DAEMON_ONLY:
        reason = f"only the daemon writes {type(event).__name__}"
        _copy_aside(going, path, file, found.offset, found.size, reason)
        return None
    return event


def _copy_aside(
    going: _Pass, path: Path, file: BinaryIO, offset: int, size: int, reason: str
) -> None:
    """Keeps bytes that can't be taken: a line of JSON that says why, then they as they were."""
    # Bytes that are no text, in a file's name, can't be said in JSON.
    name = os.fsencode(path.name).decode(errors="backslashreplace")
    header = {"file": name, "offset": offset, "size_bytes": size, "reason": reason}
    target = going.quarantine_dir / f"{path.name}.{offset}{SET_ASIDE}"
    going.quarantine_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy:
        copy.write(msgspec.json.encode(header) + b"\n")
        file.seek(offset)
        while size:
            block = file.read(min(size, _COPY_BYTES))
            copy.write(block)
            size -= len(block)
        copy.flush()
        os.fsync(copy.fileno())
    os.replace(partial, target)
    _sync_folder(going.quarantine_dir)
    going.quarantined += 1


def _move_aside(going: _Pass, path: Path, reason: str) -> None:
    """Takes what isn't even a readable file out of the way, whole."""
    going.quarantine_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in counted():
        target = going.quarantine_dir / f"{path.name}.{reason}.{number}{SET_ASIDE}"
        if not target.exists():
            path.rename(target)
            break
    going.quarantined += 1


def _sync_folder(folder: Path) -> None:
    """Makes a new name durable before the spool file that it was copied from goes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
