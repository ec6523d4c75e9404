"""A disk with a script of faults, and what is left on it when the power goes.

It stands between SQLite and the real files as a VFS. What was written and not synced is known, so
that a power cut can lose it; what was written before a sync that failed is lost at a coin's toss
and counts as clean, as it does to the kernel, which won't write it again. Whoever else has the file
open then is told so by its next sync, as Linux does it: what it wrote may be among it.

Checkpoints are made by hand (`checkpoint`): SQLite makes light of one that fails after a commit,
and apsw would raise it out of the commit that had succeeded.
"""

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import apsw

from personad import carrying

NAME = "faulty"
SECTOR = 512

Operation = Literal["write", "sync", "read"]
Kind = Literal["full", "short", "broken", "lying"]
"""No room for any of it, or for half of it; an error; or a sync that only says that it was done."""


@dataclass(frozen=True)
class Fault:
    """The `nth` operation of this kind from now on fails, and `times - 1` after it."""

    operation: Operation
    nth: int
    kind: Kind = "broken"
    times: int = 1

    def __str__(self) -> str:
        times = f" x{self.times}" if self.times > 1 else ""
        return f"{self.kind} {self.operation} {self.nth}{times}"


@dataclass
class Image:
    """What of a file is safe, and what was done to it since."""

    durable: bytearray
    unsynced: list[tuple[int, bytes] | int] = field(default_factory=list)
    """Writes (offset and bytes), and lengths that it was cut to."""
    failures: int = 0
    """How many syncs of it have failed."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Two threads may have it open: who commits, and who carries the write-ahead log over."""

    def do(self, change: tuple[int, bytes] | int) -> None:
        with self.lock:
            self.unsynced.append(change)

    def sync(self, told_of: int, rng: random.Random | None) -> int:
        """Makes safe what was done; with `rng` each piece of it only perhaps, and it has failed.
        How many have by now: for whoever knew of fewer, this one has."""
        with self.lock:
            self.failures += rng is not None
            if rng is not None or told_of == self.failures:
                self._settle(rng)
            return self.failures

    def left(self, rng: random.Random) -> bytearray:
        """What is there after a power cut."""
        with self.lock:
            found = Image(bytearray(self.durable), list(self.unsynced))
        found._settle(rng)
        return found.durable

    def _settle(self, rng: random.Random | None) -> None:
        for change in self.unsynced:
            if rng is None:
                _apply(self.durable, change)
            elif rng.random() < 0.5:
                _apply(self.durable, _torn(change, rng))
        self.unsynced.clear()


def _apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        content.extend(bytes(max(0, change - len(content))))
        del content[change:]
        return
    offset, data = change
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _torn(change: tuple[int, bytes] | int, rng: random.Random) -> tuple[int, bytes] | int:
    if isinstance(change, int) or rng.random() < 0.5:
        return change
    offset, data = change
    return offset, data[: rng.randrange(len(data) // SECTOR + 1) * SECTOR]


class Disk(apsw.VFS):
    """What every database that is opened meanwhile lies on; see `faulty`."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(NAME, "unix")
        self.rng = rng
        self.images: dict[str, Image] = {}
        self.failed: list[Fault] = []
        """The faults that happened."""
        self._script: list[Fault] = []
        self._done: Counter[str] = Counter()

    def plan(self, script: Sequence[Fault]) -> None:
        """Forgets earlier faults; counts operations from here."""
        self._script = list(script)
        self._done.clear()

    def meets(self, operation: Operation) -> Fault | None:
        """The fault that the next operation of this kind meets."""
        self._done[operation] += 1
        number = self._done[operation]
        for fault in self._script:
            if fault.operation == operation and 0 <= number - fault.nth < fault.times:
                self.failed.append(fault)
                return fault
        return None

    def cut_power(self, folder: Path) -> None:
        """What would be found after it, as files in `folder`; here everything goes on."""
        folder.mkdir()
        for name, image in [*self.images.items()]:
            (folder / Path(name).name).write_bytes(image.left(self.rng))

    def xOpen(self, name: Any, flags: list[int]) -> "File":  # noqa: N802 - SQLite's name
        path = name if isinstance(name, str) else name.filename() if name is not None else None
        return File(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        super().xDelete(filename, syncdir)
        self.images.pop(filename, None)


class File(apsw.VFSFile):
    """One that is open."""

    def __init__(self, disk: Disk, path: str | None, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        there = Path(path).read_bytes() if path is not None and Path(path).exists() else b""
        image = Image(bytearray(there))
        self._image = image if path is None else disk.images.setdefault(path, image)
        self._told_of = self._image.failures

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        fault = self._disk.meets("write")
        written = bytes(data)
        if fault is not None:
            written = written[: len(written) // 2] if fault.kind == "short" else b""
        if written:
            super().xWrite(written, offset)
            self._image.do((offset, written))
        if fault is not None and fault.kind == "broken":
            raise _io_error(apsw.SQLITE_IOERR_WRITE)
        if fault is not None:
            raise apsw.FullError("the disk is full")

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        # The real one isn't waited for: what is safe is kept in the image.
        fault = self._disk.meets("sync")
        known, rng = self._told_of, self._disk.rng if fault is not None else None
        self._told_of = self._image.sync(known, rng)
        if known < self._told_of and (fault is None or fault.kind != "lying"):
            raise _io_error(apsw.SQLITE_IOERR_FSYNC)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        self._image.do(newsize)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        if self._disk.meets("read"):
            raise _io_error(apsw.SQLITE_IOERR_READ)
        return super().xRead(amount, offset)


def _io_error(extended: int) -> apsw.IOError:
    error = apsw.IOError("disk I/O error")
    error.extendedresult = extended
    return error


@contextmanager
def faulty(rng: random.Random) -> Iterator[Disk]:
    """Whatever is opened meanwhile lies on such a disk."""
    disk = Disk(rng)
    apsw.set_default_vfs(NAME)
    try:
        yield disk
    finally:
        apsw.set_default_vfs("unix")
        disk.unregister()


def checkpoint(db: apsw.Connection) -> None:
    """One that may fail, as SQLite makes them after a commit."""
    with suppress(apsw.Error):
        carrying.checkpoint(db)
