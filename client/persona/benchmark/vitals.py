"""What a process takes while something runs in it: time, time on a core, memory.

On Linux the peak is exact: the kernel's own high-water mark, set back before (`5` into
`/proc/self/clear_refs`). Elsewhere it is the greatest that the process ever held (`ru_maxrss`).
"""

import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

SAMPLE_EVERY_S = 0.01
_MB = 1_000_000
_PROC = Path("/proc/self")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Vitals(Struct):
    """Filled in when what is measured has ended."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    """User and system, all threads of this process."""
    memory_peak_mb: float = 0.0
    memory_average_mb: float | None = None
    """None where nobody can look, or nobody was asked to."""


@contextmanager
def measured(*, memory: bool = True) -> Iterator[Vitals]:
    """Measures what runs inside of it; without `memory`, only clocks are read."""
    found = Vitals()
    exact = memory and _set_back_peak()
    sampler = _Sampler() if memory and (_PROC / "statm").exists() else None
    if sampler is not None:
        sampler.start()
    cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
    try:
        yield found
    finally:
        found.wall_ms = (time.perf_counter_ns() - wall_ns) / 1e6
        found.cpu_ms = (time.process_time_ns() - cpu_ns) / 1e6
        if sampler is not None:
            found.memory_average_mb = sampler.stop()
        if memory:
            found.memory_peak_mb = _peak_mb() if exact else _greatest_mb()


def _set_back_peak() -> bool:
    try:
        (_PROC / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_mb() -> float:
    for line in (_PROC / "status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1_024 / _MB
    return _greatest_mb()


def _greatest_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MB


class _Sampler(threading.Thread):
    """Looks at the memory held every 10 ms."""

    def __init__(self) -> None:
        super().__init__(name="memory", daemon=True)
        self._done = threading.Event()
        self._sum, self._looks = 0, 0

    def run(self) -> None:
        with open(_PROC / "statm", "rb", buffering=0) as statm:
            while True:
                statm.seek(0)
                self._sum += int(statm.read(128).split()[1])
                self._looks += 1
                if self._done.wait(SAMPLE_EVERY_S):
                    return

    def stop(self) -> float:
        self._done.set()
        self.join()
        return self._sum / self._looks * _PAGE_BYTES / _MB
