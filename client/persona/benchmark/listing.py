"""The baselines that a folder holds."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from .baseline_file import Baseline, BaselineError, load

SUFFIX = ".yaml"


class Listed(Struct, frozen=True, kw_only=True):
    """One baseline, as `persona benchmark list` tells of it."""

    name: str
    """Its file's, by which `compare` and `clean` find it: a copy may say another's inside."""
    captured_at: datetime
    version: str
    workloads: list[str]
    size_bytes: int


class Listing(Struct, frozen=True, kw_only=True):
    """All that can be read, the newest first."""

    baselines: list[Listed]


def baselines(folder: Path) -> Iterator[tuple[Path, Baseline | BaselineError]]:
    """Every baseline's file in a folder, with what is in it or why it can't be read."""
    if not folder.is_dir():
        return
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            yield path, load(path)
        except BaselineError as error:
            yield path, error


def newest_first(folder: Path) -> tuple[list[tuple[Path, Baseline]], list[BaselineError]]:
    """By the moment of capture; and what is wrong with those that can't be read."""
    good: list[tuple[Path, Baseline]] = []
    bad = []
    for path, found in baselines(folder):
        if isinstance(found, BaselineError):
            bad.append(found)
        else:
            good.append((path, found))
    good.sort(key=lambda each: each[1].captured_at, reverse=True)
    return good, bad


def listed(path: Path, baseline: Baseline) -> Listed:
    return Listed(
        name=path.stem,
        captured_at=baseline.captured_at,
        version=baseline.version,
        workloads=list(baseline.workloads),
        size_bytes=path.stat().st_size,
    )


def named(folder: Path, name: str) -> Path:
    """Where the baseline `name` is, which may be a path; raises BaselineError where it isn't."""
    for path in (Path(name), folder / name, folder / f"{name}{SUFFIX}"):
        if path.is_file():
            return path
    raise BaselineError(
        name,
        f"there is no such baseline, neither as a file nor in {folder}{os.sep}",
        "`persona benchmark list` shows those there are; `persona benchmark capture` makes one",
    )
