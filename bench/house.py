"""A house of its own for each measurement: home, ledger, sockets and environment, all temporary.

The ledger is the usual one of that home, because that is the path that most people take.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from persona.client import Ledger

from personad.contract.paths import Paths, resolve_paths
from personad.contract.settings import load
from personad.launch import running

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "interviews"
PROGRAMS = Path(sys.executable).parent
LOOK_EVERY_S = 0.001
READY_WITHIN_S = 30.0


@dataclass(frozen=True)
class House:
    folder: Path
    environment: dict[str, str]
    """All that a process in this house sees: nothing of ours."""
    paths: Paths

    def spawn(
        self, command: list[str], *, more: dict[str, str] | None = None, **streams: int | None
    ) -> "subprocess.Popen[bytes]":
        """Starts `command` in this house; streams that aren't named lead nowhere."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | (more or {}),
            stdin=streams.get("stdin", subprocess.DEVNULL),
            stdout=streams.get("stdout", subprocess.DEVNULL),
            stderr=streams.get("stderr", subprocess.DEVNULL),
        )

    def run(self, command: list[str], *, more: dict[str, str] | None = None) -> bytes:
        """What `command` wrote; raises CalledProcessError where it failed."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | (more or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        ).stdout

    def worker(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """A module of this package as a process, in this house, spoken to through pipes."""
        return self.spawn(
            [sys.executable, "-m", *arguments],
            more={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
        )

    def ledger(self) -> Ledger:
        return Ledger(self.paths, autostart=False)


@contextmanager
def house() -> Iterator[House]:
    """A house, gone afterwards. Its path is short: a socket's may have only about 100 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    home, run = folder / "home", folder / "run"
    home.mkdir()
    run.mkdir(mode=0o700)
    environment = {
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(run),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "xterm-256color",
    }
    settings = load(environ=environment, cwd=folder, home=home).settings
    paths = resolve_paths(settings, ledger=None, environ=environment)
    try:
        yield House(folder, environment, paths)
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Daemon:
    process: "subprocess.Popen[bytes]"
    ready_s: float
    """From its spawning to its first answer."""


@contextmanager
def daemon(house: House, *, more: dict[str, str] | None = None) -> Iterator[Daemon]:
    """A daemon of this house, as `personad start` spawns it; drained and ended afterwards."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "personad", "start", "--foreground"]
    process = house.spawn(command, more=more, stderr=None)
    try:
        while running(house.paths) is None:
            if process.poll() is not None or time.perf_counter() - began > READY_WITHIN_S:
                raise RuntimeError(f"the daemon did not start: {_log(house)}")
            time.sleep(LOOK_EVERY_S)
        yield Daemon(process, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


def _log(house: House) -> str:
    log = house.paths.log_file
    return log.read_text(encoding="utf-8") if log.exists() else "it has written no log"
