"""Where a run is made, and of which commit."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from personad.contract.base import VERSION

from .baseline_file import Environment

_GB = 1_000_000_000
_GIT_WITHIN_S = 10.0


def environment() -> Environment:
    """Of this machine and this installation."""
    return Environment(
        python_version=platform.python_version(),
        platform=platform.platform(),
        os=platform.system(),
        arch=platform.machine(),
        cpu=_cpu() or platform.processor() or "unknown",
        cores=_cores(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GB, 1),
        persona_version=VERSION,
    )


def commit(folder: Path) -> str | None:
    """Of the repository that `folder` is in, with `+` where files differ; None where it is none."""
    return git(folder, "describe", "--always", "--dirty=+", "--exclude=*")


def git(folder: Path, *arguments: str) -> str | None:
    """What git says, in one line; None where it isn't there, or fails."""
    program = shutil.which("git")
    if program is None:
        return None
    try:
        said = subprocess.run(
            [program, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        return None
    return said.stdout.strip() or None if said.returncode == 0 else None


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return None
