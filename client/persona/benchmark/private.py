"""A ledger of a run's own: database, sockets and daemon in a temporary folder, gone afterwards.

A benchmark's batches are no history of the user's, and their daemon's load is not measured with it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from persona.client import Ledger
from persona.signals import ended_in_order
from personad.contract.environment import daemon_environment
from personad.contract.paths import Paths, resolve_paths
from personad.contract.requester import Gone, Requester, Silent
from personad.contract.settings import load

READY_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.01
_KNOCK_S = 1.0
_OURS = ("PERSONA_", "PERSONAD_")


_UNTIL_WE_END = (
    "import ctypes, os, signal, sys; "
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)
"""Has Linux end a daemon when whoever started it is killed: nobody else knows of it."""


class PrivateFailed(Exception):
    """No daemon could be started."""

    EXIT_CODE = 3


class Private(Struct, frozen=True, kw_only=True):
    """Where it is."""

    folder: Path
    environment: dict[str, str]
    """For processes that are to use it."""
    paths: Paths
    daemon_pid: int


@contextmanager
def private_ledger(
    python: str = sys.executable, environ: Mapping[str, str] | None = None
) -> Iterator[Private]:
    """A running daemon of the installation that `python` belongs to.

    Args:
        environ: what processes are to see besides; this process's environment if it isn't given.
            Settings of ours in it don't count, apart from the simulated provider's.

    Raises:
        PrivateFailed: the daemon doesn't answer.
        OSError: no room or no right for a temporary folder.
    """
    # Short: the path of a socket may have about 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pbm-"))
    with ended_in_order(), ExitStack() as after:
        after.callback(shutil.rmtree, folder, ignore_errors=True)
        environment = _environment(folder, os.environ if environ is None else environ)
        settings = load(environ=environment, cwd=None, home=environment["HOME"]).settings
        paths = resolve_paths(settings, ledger=None, environ=environment)
        log = (folder / "daemon.out").open("wb")
        with log:
            process = subprocess.Popen(
                [*_with_us(), python, "-P", "-m", "personad", "start", "--foreground"],
                # Keys are for the workers alone.
                env=daemon_environment(environment, paths),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait_until_ready(process, paths.api_socket, log.name)
            yield Private(
                folder=folder, environment=environment, paths=paths, daemon_pid=process.pid
            )
        finally:
            process.terminate()
            process.wait()


def _with_us() -> list[str]:
    """What a command is begun by so that it ends when this process does."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-P", "-c", _UNTIL_WE_END, str(os.getpid())]


def _environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_OURS) or name.startswith("PERSONA_SIMULATED_")
    }
    for name in ("home", "run", "data"):
        (folder / name).mkdir(mode=0o700)
    return kept | {
        "HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "home"),
        "PERSONAD_DATA_DIR": str(folder / "data"),
        "PERSONAD_RUNTIME_DIR": str(folder / "run"),
        "PERSONA_AUTOSTART": "0",
    }


def _wait_until_ready(process: "subprocess.Popen[bytes]", socket: Path, log: str) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while not _is_heard(socket):
        if process.poll() is not None or time.monotonic() > until:
            said = Path(log).read_text(encoding="utf-8", errors="replace").strip()
            raise PrivateFailed(f"the benchmark's own daemon does not start: {said or 'no word'}")
        time.sleep(_LOOK_EVERY_S)


def _is_heard(socket: Path) -> bool:
    """Whether somebody answers there: the file is there a moment before that."""
    try:
        Requester(socket, _KNOCK_S).close()
    except (Gone, Silent):
        return False
    return True


@contextmanager
def ledger_of(private: Private) -> Iterator[Ledger]:
    """A client of the private daemon."""
    ledger = Ledger(private.paths, autostart=False)
    try:
        yield ledger
    finally:
        ledger.close()
