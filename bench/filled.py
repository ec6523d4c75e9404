"""A ledger of any size, made as fast as it can be: `python -m bench.filled DATABASE SHAPE CACHE`.

A process of its own, so that what it loads and takes stays out of what is measured. It fills a new
database by the daemon's own transactions, in large groups and without waiting for the disk, and
writes what it made as JSON. What was made before by the same code is copied from the cache: a
ledger's key is a digest of all modules that took part in making it.
"""

import gc
import hashlib
import os
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from personad.projections.book import Book
from personad.store import open_for_writing
from personad.tidy import all_at_once, rezone
from personad.transaction import transaction

from .history import Shape
from .stream import groups

_OURS = ("bench.", "persona.", "personad.")


UTC = ZoneInfo("UTC")


class Filled(Struct, frozen=True, kw_only=True):
    """What a ledger was filled with."""

    events: int
    days: int
    until: datetime
    experiments: int | None
    batches: int | None
    json_bytes: int
    """Of the same events as JSON lines."""
    took_s: float


def fill(database: Path, shape: Shape) -> Filled:
    """Makes a ledger of that shape at `database`, where there is none."""
    began = time.monotonic()
    json_bytes = 0
    # Nothing in here is a cycle, and looking for some takes a tenth of the time.
    gc.disable()
    db = open_for_writing(str(database))
    try:
        db.execute("PRAGMA synchronous = OFF")
        rezone(db, UTC)
        book = Book(db, UTC)
        last_seq = 0
        for group in groups(shape):
            with transaction(book, last_seq, group.events[-1].at) as txn:
                txn.add(group.events)
            last_seq = txn.last_seq
            json_bytes += group.json_bytes
        all_at_once(book)
    finally:
        db.close()
        gc.enable()
    _onto_disk(database)
    return Filled(
        events=last_seq,
        days=shape.days,
        until=shape.until,
        experiments=shape.experiments,
        batches=shape.batches,
        json_bytes=json_bytes,
        took_s=time.monotonic() - began,
    )


def _onto_disk(file: Path) -> None:
    """So that what is measured next doesn't wait for it."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(shape: Shape) -> str:
    """Of all that a ledger of this shape follows from, but for when it ends."""
    found = hashlib.sha256(repr([part for part in shape if part != shape.until]).encode())
    for name, module in sorted(sys.modules.items()):
        if f"{name}.".startswith(_OURS) and getattr(module, "__file__", None):
            found.update(name.encode() + Path(str(module.__file__)).read_bytes())
    found.update(Path(__file__).read_bytes())
    return found.hexdigest()[:16]


def from_cache(cache: Path, database: Path, shape: Shape) -> Filled:
    """A copy of what the cache has, or what is made now and kept; older ones of this size go."""
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"ledger-{shape.events}-{digest(shape)}.db"
    told = kept.with_suffix(".json")
    if not told.exists():
        for old in cache.glob(f"ledger-{shape.events}-*"):
            old.unlink()
        filled = fill(kept, shape)
        told.write_bytes(msgspec.json.encode(filled))
    shutil.copyfile(kept, database)
    _onto_disk(database)
    return msgspec.json.decode(told.read_bytes(), type=Filled)


def _main(database: Path, shape: Shape, cache: Path) -> Filled:
    database.parent.mkdir(mode=0o700, parents=True)
    return from_cache(cache, database, shape)


if __name__ == "__main__":
    path, made_of, kept_in = sys.argv[1:]
    wanted = msgspec.json.decode(made_of, type=Shape)
    sys.stdout.buffer.write(msgspec.json.encode(_main(Path(path), wanted, Path(kept_in))))
