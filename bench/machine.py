"""What the figures were measured on."""

import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import apsw
from msgspec import Struct

_GB = 1_000_000_000
QUIET = 0.1
"""The share of the cores' time that others may use while something is measured."""
LOOK_S = 2.0


class Machine(Struct, frozen=True, kw_only=True):
    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    sqlite: str
    disk: str
    """The file system and device that the ledgers lie on."""
    load: float
    """Processes that wanted a core, over the last minute before the run: above 0.5, don't trust."""
    commit: str | None
    """With `+` where files differ from it."""


def machine() -> Machine:
    return Machine(
        cpu=_line("/proc/cpuinfo", "model name") or platform.processor() or "unknown",
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GB, 1),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=apsw.sqlite_lib_version(),
        disk=_disk(Path(tempfile.gettempdir())),
        load=round(os.getloadavg()[0], 2),
        commit=_commit(),
    )


def wait_until_quiet(within_s: float) -> float:
    """Waits, at most so long, for others to leave the cores alone; the share that they then use."""
    until = time.monotonic() + within_s
    while (share := _busy_share(LOOK_S)) > QUIET and time.monotonic() < until:
        pass
    return share


def _busy_share(over_s: float) -> float:
    """Of all cores' time: what was not idle, from 0 to 1."""
    before = _core_times()
    time.sleep(over_s)
    spent = [now - was for now, was in zip(_core_times(), before, strict=True)]
    return 1 - (spent[3] + spent[4]) / max(1, sum(spent))


def _core_times() -> list[int]:
    """Hundredths of a second by kind: the fourth is idle, the fifth waits for a disk."""
    return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def _line(path: str, name: str) -> str | None:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _disk(folder: Path) -> str:
    """The mount that holds `folder`: the longest of the mount points above it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [each for each in mounts if folder.resolve().is_relative_to(each[1])]
    device, _, kind, *_ = max(above, key=lambda each: len(each[1]))
    return f"{kind} on {device}"


def _commit() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    here = Path(__file__).parent
    said = subprocess.run(
        [git, "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or None
