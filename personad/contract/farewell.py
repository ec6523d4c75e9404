"""The last thing that a program does with its output, so that its exit status is its own."""

import os
import sys


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
