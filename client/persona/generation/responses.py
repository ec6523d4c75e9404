"""Responses that were received, kept until the personas made from them are on the disk.

A response is paid for, so its bytes reach the disk before anything else is done with them. A runner
that follows a dead one finds them here, and asks nobody twice.

Each run appends to one file of its own, `calls/<uuid7>.kept`, under a lock: so two runs never write
to the same one, and what a dead run left half-written stands at its file's end, where nothing
follows it. The framing is a spool's (`personad.contract.spool`). The records are responses,
documents made of them, and calls that are done with; who waits for the disk shares one sync with
all who do. Documents are kept as well because their own files are synced only once, at the run's
end: what the ledger calls completed can be written again until then, byte for byte.

An earlier version kept each response in a file of its own, `<call>.response`: those are still read.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.files import LEFTOVER, sync_folder
from persona.generation.providers.base import Ending, Usage
from persona.identity import event_id
from personad.contract import spool

FOLDER = "calls"
KEPT_BYTES_MAX = 4 << 20
"""Of a response's body, or a document: with what is said about it, it has to fit one record."""
_SUFFIX = ".kept"
_ALONE = ".response"

logger = logging.getLogger(__name__)


class Saved(Struct, frozen=True, kw_only=True, tag="response"):
    """One response, with all that its `cost.recorded` says."""

    call: str
    persona: str
    attempt: int
    body: bytes
    usage: Usage
    duration_ms: int
    request_id: str | None = None
    ttft_ms: int | None = None
    ending: Ending = "whole"
    operation: str = "generation"
    prompt_digest: str | None = None
    """Of what was asked."""


class Document(Struct, frozen=True, kw_only=True, tag="document"):
    """The document that was made for a persona; its file may not be on the disk yet."""

    persona: str
    index: int
    data: bytes


class Forgotten(Struct, frozen=True, kw_only=True, tag="forgotten"):
    """A call whose response is no longer needed: the ledger has all that came of it."""

    call: str


Record = Saved | Document | Forgotten


class Found(Struct, frozen=True):
    """What earlier runs, and this one, have left."""

    saved: tuple[Saved, ...]
    """Responses that nothing has come of yet, in the order of their calls."""
    documents: tuple[Document, ...]
    """The last one of each persona."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


_alone = msgspec.msgpack.Decoder(Saved)
"""What stands alone has no tag, and needs none."""


class _File:
    """One that is being appended to."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        path = folder / f"{event_id()}{_SUFFIX}"
        try:
            self.descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            sync_folder(folder)
        except OSError:
            os.close(self.descriptor)
            raise
        self.size = 0
        self.synced = 0
        self.records = 0
        self.broken: OSError | None = None

    def append(self, payloads: Iterable[bytes]) -> None:
        """All of them or none. Raises OSError."""
        first = self.records + 1
        framed = [spool.record(n, payload) for n, payload in enumerate(payloads, first)]
        block = b"".join(framed)
        try:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        except OSError as error:
            # Nobody was told that what there is of it is safe, and what follows has to be found.
            try:
                os.ftruncate(self.descriptor, self.size)
            except OSError:
                self.broken = error
            raise
        self.size += len(block)
        self.records += len(framed)


class Responses:
    """One run's way to keep what it receives. Any number of threads may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: _File | None = None
        self._broken: list[_File] = []
        """Kept open until the end: somebody may still wait for one."""
        self._done: list[str] = []
        """Calls that are done with; written with the next response, or at the end."""
        self._appending = threading.Lock()
        self._syncing = threading.Lock()

    def keep(self, records: Iterable[Record]) -> None:
        """On the disk, all of them, when it returns.

        Raises OSError; a later runner may then find them, or not.
        """
        with self._appending:
            file, covered = self._append(records)
        with self._syncing:
            # Whoever waited here had his records synced by the one he waited for, mostly.
            if file.broken is None and file.synced < covered:
                reached = file.size
                try:
                    os.fdatasync(file.descriptor)
                except OSError as error:
                    # Nobody knows what the disk has of it: what follows gets a new file.
                    file.broken = error
                else:
                    file.synced = reached
        if file.synced < covered:
            assert file.broken is not None
            raise OSError(file.broken.errno, file.broken.strerror)

    def forget(self, call: str) -> None:
        """Nothing more is to be made of the call's response; its bytes may stay for a while."""
        with self._appending:
            self._done.append(call)

    def close(self) -> None:
        """Writes down what is done with, and lets go of the file."""
        with self._syncing, self._appending:
            try:
                if self._file is not None and self._done:
                    self._append(())
            except OSError as error:
                # Their costs are recorded once more then, which counts once.
                logger.warning("what is done with was not written down: %s", error)
            for file in (*self._broken, *([self._file] if self._file is not None else ())):
                os.close(file.descriptor)
            self._broken, self._file = [], None

    def found(self) -> Found:
        """All that lies in the folder and is needed. Raises OSError."""
        with self._appending:
            done = frozenset(self._done)
        found = load(self.folder)
        return Found(tuple(each for each in found.saved if each.call not in done), found.documents)

    def drop(self) -> None:
        """Removes what there is, once every document is on the disk. Raises OSError."""
        self.close()
        with self._appending:
            self._done.clear()
        for path in self.folder.glob(f"*{_ALONE}"):
            path.unlink(missing_ok=True)
        # The oldest first: what is done with is said in the same file, or in a later one.
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            _remove(path)

    def _append(self, records: Iterable[Record]) -> tuple[_File, int]:
        """The file, and its size once they stand in it."""
        if self._file is not None and self._file.broken is not None:
            self._broken.append(self._file)
            self._file = None
        if self._file is None:
            self._file = _File(self.folder)
        file = self._file
        done = [Forgotten(call=call) for call in self._done]
        file.append([_encoder.encode(each) for each in (*done, *records)])
        self._done.clear()
        return file, file.size


def _remove(path: Path) -> None:
    """A file that nobody writes to any more; a runner that lost its hold may yet be at it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("%s is another runner's still", path)
        else:
            path.unlink()


def load(folder: Path) -> Found:
    """What lies in a batch's folder. Raises OSError.

    A record that was being written when its runner died is passed over: nobody was told that it was
    safe. So is a damaged one, which only a disk error makes: its call counts as one without an
    answer.
    """
    saved: dict[str, Saved] = {}
    documents: dict[str, Document] = {}
    for unfinished in folder.glob(LEFTOVER):
        unfinished.unlink(missing_ok=True)
    for path in sorted(folder.glob(f"*{_ALONE}")):
        try:
            alone = _alone.decode(path.read_bytes())
        except msgspec.DecodeError:
            path.rename(path.with_suffix(".damaged"))
        else:
            saved[alone.call] = alone
    done: set[str] = set()
    for record in _records(folder):
        match record:
            case Saved():
                saved[record.call] = record
            case Document():
                documents[record.persona] = record
            case Forgotten():
                done.add(record.call)
                saved.pop(record.call, None)
    waiting = tuple(saved[call] for call in sorted(saved.keys() - done))
    return Found(waiting, tuple(documents.values()))


def _records(folder: Path) -> Iterator[Record]:
    """In the order in which they were written."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with path.open("rb") as file:
            for each in spool.scan(file):
                match each:
                    case spool.Record():
                        try:
                            yield _decoder.decode(each.payload)
                        except msgspec.DecodeError as error:
                            logger.warning("%s: a record of another version: %s", path, error)
                    case spool.Damage():
                        logger.warning("%s: %s bytes of it are damaged", path, each.size)
                    case spool.Torn():
                        logger.info("%s: its last record was never finished", path)
