"""Files that the daemon writes beside its database: whole, or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LEFTOVER = ".personad-*.tmp"
"""What a daemon that was killed while it wrote may leave beside the file that it was writing."""


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """What is written becomes `path` when the block ends; if it fails, `path` is as it was.

    Raises OSError.
    """
    unfinished = path.with_name(LEFTOVER.replace("*", secrets.token_hex(8)))
    try:
        with open(unfinished, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with suppress(FileNotFoundError):
            unfinished.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(folder: Path) -> None:
    """Removes what was left unfinished. Raises OSError."""
    for each in folder.glob(LEFTOVER):
        each.unlink(missing_ok=True)
