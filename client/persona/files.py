"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from persona.chance import bits64

LEFTOVER = ".persona-*.tmp"
"""What a process that was killed while it wrote may leave beside the file it was writing."""

_CANNOT_SYNC_A_FOLDER = frozenset({errno.EINVAL, errno.ENOTSUP})
"""Some network file systems can't, and have written the name already."""


def write_whole(path: Path, data: bytes, *, mode: int = 0o644, synced: bool = True) -> None:
    """Make `path` hold exactly `data`, on disk, or leave everything as it was.

    The bytes go into a new file of the same folder, which then takes the name: who reads sees the
    old file or the new one, also after a loss of power. `mode` is subject to the umask. A link is
    followed; into a device or a pipe (`/dev/stdout`) the bytes go straight. What is not `synced` is
    whole or not at all for whoever reads it, and on the disk only after `sync_all`: a loss of power
    may leave an empty file.

    Raises OSError (no room, no right, no such folder, …) with nothing left behind.
    """
    # Plain names: a path object takes as long to be made into another as the file to be written.
    target = os.fspath(path)
    kind = _kind(target, follow=False)
    if stat.S_ISLNK(kind):
        kind, target = _kind(target, follow=True), os.path.realpath(target)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind and not stat.S_ISREG(kind):
        with open(path, "wb", buffering=0) as stream:
            _write_all(stream.fileno(), data)
        return
    folder = os.path.dirname(target)
    unfinished = os.path.join(folder, LEFTOVER.replace("*", f"{bits64():016x}"))
    try:
        _write_new(unfinished, data, mode, synced=synced)
        os.replace(unfinished, target)
    except BaseException as error:
        if isinstance(error, OSError):
            # Who is told of it knows this name, not the unfinished file's.
            error.filename = str(path)
            del error.filename2  # set to None, it would be told as a name
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise
    if synced:
        sync_folder(folder or os.curdir)


def sync_folder(folder: str | Path) -> None:
    """Bring the names in `folder` to disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_A_FOLDER:
            raise
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Bring everything that was written where `folder` lies to disk: its whole file system, since
    a sync for each of many files takes seconds. Raises OSError."""
    import ctypes

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def _kind(path: str, *, follow: bool) -> int:
    """Of what stands there; 0 where nothing does."""
    try:
        return os.stat(path, follow_symlinks=follow).st_mode
    except FileNotFoundError:
        return 0


def _write_new(path: str, data: bytes, mode: int, *, synced: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    try:
        _write_all(descriptor, data)
        if synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    """`os.write` may take only a part, and does so just before the disk is full."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
