"""A long file that is written whole or not at all, without ever being held whole in memory."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .files import LEFTOVER, sync_folder
from .signals import ended_in_order


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """What is written becomes `path` when the block ends; if it fails, `path` is as it was.

    So it is where a signal ends the process, but for SIGKILL. A link is followed; into a device or
    a pipe the bytes go straight. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        with open(target, "wb") as stream:
            yield stream
        return
    unfinished = target.with_name(LEFTOVER.replace("*", secrets.token_hex(8)))
    with ended_in_order():
        try:
            with open(unfinished, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        except BaseException as error:
            if isinstance(error, OSError) and error.filename in (None, str(unfinished)):
                # Who is told of it knows this name, not the unfinished file's, and a full disk
                # tells none.
                error.filename = str(path)
                del error.filename2  # set to None, it would be told as a name
            with suppress(FileNotFoundError):
                unfinished.unlink()
            raise
    sync_folder(target.parent)
