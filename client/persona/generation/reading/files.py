"""Which files a path stands for."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

MARKER = ".batch"
"""What `generate` puts into an output folder of its own."""


class Candidate(Struct, frozen=True):
    """A file to read: `name` is relative to what was asked for, with `/`."""

    name: str
    path: Path


class LeftOut(Struct, frozen=True):
    name: str
    reason: str


def walk(root: Path) -> Iterator[Candidate | LeftOut]:
    """Every file below a folder in the order of its names, or the file itself.

    Hidden files and folders are passed over without a word, and so are folders that `generate` has
    written its results into: they are no research, and change while a batch goes on. Links that
    are broken, leave the folder or come to something that was already seen are named.
    """
    if not root.is_dir():
        yield Candidate(root.name, root)
        return
    real = root.resolve()
    seen = {_identity(real)}
    yield from _walk_folder(real, real, seen)


def _walk_folder(
    folder: Path, root: Path, seen: set[tuple[int, int]]
) -> Iterator[Candidate | LeftOut]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        yield LeftOut(_relative(folder, root), f"the folder can't be opened: {error.strerror}")
        return
    for entry in entries:
        if not entry.name.startswith("."):
            yield from _walk_entry(entry, root, seen)


def _walk_entry(
    entry: Path, root: Path, seen: set[tuple[int, int]]
) -> Iterator[Candidate | LeftOut]:
    name = _relative(entry, root)
    try:
        found = entry.stat()
    except OSError as error:
        missing = entry.is_symlink() and isinstance(error, FileNotFoundError)
        yield LeftOut(
            name, "a link to nothing" if missing else f"it can't be opened: {error.strerror}"
        )
        return
    if entry.is_symlink() and not entry.resolve().is_relative_to(root):
        yield LeftOut(name, "a link out of the folder; copy the file into it to have it read")
        return
    identity = (found.st_dev, found.st_ino)
    if identity in seen:
        yield LeftOut(name, "the same file or folder as one already read, through a link")
        return
    seen.add(identity)
    if stat.S_ISDIR(found.st_mode):
        if not (entry / MARKER).is_file():
            yield from _walk_folder(entry, root, seen)
    else:
        yield Candidate(name, entry)


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _relative(path: Path, root: Path) -> str:
    # A name that is no valid Unicode would fail wherever it is shown or stored.
    name = path.relative_to(root).as_posix()
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
