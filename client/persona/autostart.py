"""Starting a daemon where none answers, without handing it anything that is not its business."""

import fcntl
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from personad.contract.environment import daemon_environment
from personad.contract.errors import LedgerError
from personad.contract.paths import Paths

_BAD_CONFIGURATION = 78


class DaemonUnreachable(LedgerError):
    """No daemon answers, and none could be started."""

    EXIT_CODE = 69

    def __init__(self, message: str, *, hint: str, exit_code: int = EXIT_CODE) -> None:
        super().__init__("unavailable", message, hint=hint)
        self.EXIT_CODE = exit_code


def command() -> list[str]:
    """What starts a daemon and returns once it answers; its environment says of which ledger."""
    # -P: a folder with somebody's data may hold a msgspec.py.
    return [sys.executable, "-P", "-m", "personad", "start", "--autostarted"]


def command_for_people(paths: Paths, verb: str = "start") -> str:
    return f"personad --ledger {shlex.quote(str(paths.data_dir))} {verb}"


def start(paths: Paths, environ: Mapping[str, str], wait_s: float) -> None:
    """Returns once the daemon answers, this one or one that somebody else started meanwhile.

    Raises:
        DaemonUnreachable: it did not start, with its reason, or not within `wait_s`.
    """
    # A file and no pipe: whoever inherits the end of a pipe keeps its reader waiting.
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            command(),
            env=daemon_environment(environ, paths),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            # Ctrl-C is for the one who waits, not for a start that is half done.
            start_new_session=True,
        ) as starting:
            try:
                status = starting.wait(wait_s)
            except subprocess.TimeoutExpired:
                raise _too_slow(paths, wait_s) from None
            finally:
                # Only the one who waits for the daemon; the daemon itself goes on.
                starting.kill()
        said.seek(0)
        reason = said.read(10_000).decode(errors="replace").strip().removeprefix("personad: ")
    if status:
        its_log = f"its log is {paths.log_file}"
        raise DaemonUnreachable(
            # Where the log is, is said below, too.
            reason.removesuffix(its_log).rstrip()
            or f"personad could not be started: status {status}",
            hint=f"{its_log}; {command_for_people(paths, 'doctor')} looks closer",
            exit_code=_BAD_CONFIGURATION
            if status == _BAD_CONFIGURATION
            else DaemonUnreachable.EXIT_CODE,
        )


def _too_slow(paths: Paths, wait_s: float) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"personad was started and does not answer at {paths.api_socket} after {wait_s:g} s",
        hint=f"it may still be at work (after an upgrade it makes a backup first): its log is "
        f"{paths.log_file}; run the same command again in a moment",
    )


def wait_until_released(paths: Paths, wait_s: float) -> bool:
    """Whether a daemon that has stopped answering lets go of the ledger in `wait_s`, too."""
    if not paths.life_lock.exists():
        return True
    until = time.monotonic() + wait_s
    with paths.life_lock.open("rb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(0.01)
            else:
                return True
