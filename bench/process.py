"""What Linux tells of a process: its memory and its time on a core."""

import os
import threading
import time
from pathlib import Path

_KB = 1_024
_MB = 1_000_000
SAMPLE_EVERY_S = 0.01
_SCHEDULED = 2
"""The clock of what the scheduler gave, in a process's clock id (CPUCLOCK_SCHED)."""


def resident_mb(pid: int) -> float:
    """Memory that it holds now."""
    return _status(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most memory that it ever held."""
    return _status(pid, "VmHWM")


def family(pid: int) -> list[int]:
    """It, and the processes that its threads have begun and that still run."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        found += map(int, _proc(pid, f"task/{task}/children").split())
    return found


def _status(pid: int, name: str) -> float:
    """A size from /proc; raises ProcessLookupError where the process has ended."""
    for line in _proc(pid, "status").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * _KB / _MB
    raise ProcessLookupError(f"process {pid} has no memory any more")


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise ProcessLookupError(f"process {pid} has ended") from None


def cpu_s(pid: int) -> float:
    """Time on a core, user and system, of all threads that there are and were, to the nanosecond.

    By the process's own clock, as clock_getcpuclockid(3) finds it: what `/proc` tells of threads
    leaves out those that have ended.
    """
    try:
        return time.clock_gettime(~pid << 3 | _SCHEDULED)
    except OSError:
        raise ProcessLookupError(f"process {pid} has ended") from None


def process_with(argument: str, variable: str) -> int | None:
    """Our process whose command line has `argument` and whose environment has `variable`."""
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            command = _proc(int(entry), "cmdline").split("\0")
            if argument in command and variable in _proc(int(entry), "environ").split("\0"):
                return int(entry)
        except (ProcessLookupError, PermissionError):
            continue
    return None


class Peaks:
    """Looks at the peak memory of processes until they end; a thread of its own."""

    def __init__(self) -> None:
        self.mb: dict[str, float] = {}
        self._wanted: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def follow(self, name: str, pid: int) -> None:
        self._wanted[name] = pid

    @property
    def following(self) -> bool:
        """Whether any of them still runs."""
        return bool(self._wanted)

    def __enter__(self) -> "Peaks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_EVERY_S):
            for name, pid in list(self._wanted.items()):
                try:
                    self.mb[name] = peak_mb(pid)
                except ProcessLookupError:
                    del self._wanted[name]
