"""The first and the last thing that a program does with its output, so that its exit status is
its own."""

import os
import sys


def take_up_output() -> None:
    """Where a standard stream is closed (`2>&-`), nothing stands in its place: what is written is
    lost, as was asked, and no file or socket that is opened later gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def let_go_of_output() -> None:
    """Writes out what is left; where nobody takes it, the interpreter is kept from trying again.

    At its end the interpreter flushes once more, and on a closed terminal, a broken pipe or a full
    disk it would complain and end with a status of its own (120).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, stream.fileno())
            os.close(silence)
