"""Another version of this program, set up aside so that it can be run in turn with this one.

A commit or a folder is used as it lies, a wheel unpacked, both with the libraries that this version
runs on: so nothing but our own code differs. Where it needs other libraries, it is installed with
its own into an environment that is thrown away.
"""

import io
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from .environment import git

MERGE_BASE = "merge-base"
_INTO = "GITHUB_BASE_REF"
"""GitHub names the branch in it that a pull request is to go into."""
_MAIN_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_PROBE = "import persona.benchmark.worker, personad.daemon"
_LACKS_OURS = re.compile(r"No module named '(persona|personad)\b")
_INSTALL_WITHIN_S = 900.0


class NotInstallable(Exception):
    """The other version can't be run here; the message says why."""

    EXIT_CODE = 3

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Installation(Struct, frozen=True, kw_only=True):
    """A version that can be run."""

    label: str
    python: str
    environment: dict[str, str]
    """What its processes need to see besides."""


THIS = Installation(label="this version", python=sys.executable, environment={})


def set_up(against: str, folder: Path, repository: Path) -> Installation:
    """The version that `against` names.

    Args:
        against: a folder, a wheel, a git reference, or `merge-base`.
        folder: an empty one, for what has to be unpacked; thrown away by the caller.
        repository: where git references are looked up.

    Raises:
        NotInstallable: there is no such version, or it doesn't run here.
    """
    path = Path(against)
    if path.is_dir():
        label, root = against, path.resolve()
    elif path.suffix == ".whl":
        label, root = path.name, _unpacked_wheel(path, folder / "version")
    else:
        label, root = _commit(against, folder / "version", repository)
    paths = [each for each in (root / "client", root) if (each / "persona").is_dir()]
    if not paths or not (root / "personad").is_dir():
        raise NotInstallable(f"{label} holds no version of this program")
    search = os.pathsep.join(str(each) for each in dict.fromkeys([*paths, root]))
    found = Installation(label=label, python=sys.executable, environment={"PYTHONPATH": search})
    trouble = _fails(found)
    if trouble is None:
        return found
    if _LACKS_OURS.search(trouble):
        # No library mends that.
        raise _too_old(label, trouble)
    return _installed(label, root, folder / "environment")


def _unpacked_wheel(path: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise NotInstallable(f"{path} can't be unpacked: {error}") from None
    return folder


def _commit(reference: str, folder: Path, repository: Path) -> tuple[str, Path]:
    """A commit's files, without touching the working copy."""
    if git(repository, "rev-parse", "--show-toplevel") is None:
        raise NotInstallable(
            f"{reference} is neither a folder nor a wheel, and this is no git repository",
            "name a folder with the other version, or a wheel",
        )
    wanted = merge_base(repository, os.environ) if reference == MERGE_BASE else reference
    full = git(
        repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{wanted}^{{commit}}"
    )
    if full is None:
        raise NotInstallable(f"there is no commit {wanted}", "`git log` shows those there are")
    top = git(repository, "rev-parse", "--show-toplevel") or str(repository)
    archive = subprocess.run(["git", "archive", full], cwd=top, capture_output=True, check=False)
    if archive.returncode != 0:
        raise NotInstallable(f"git can't give the files of {wanted}: {archive.stderr.decode()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    is_here = full == git(repository, "rev-parse", "HEAD")
    return f"{reference} ({full[:9]}{', which is HEAD' if is_here else ''})", folder


def merge_base(repository: Path, environ: Mapping[str, str]) -> str:
    """Where HEAD left the branch that it is to go into.

    Raises:
        NotInstallable: there is no such branch here.
    """
    into = environ.get(_INTO)
    for branch in (f"origin/{into}", into) if into else _MAIN_BRANCHES:
        found = git(repository, "merge-base", "HEAD", branch)
        if found is not None:
            return found
    name = into or "main"
    raise NotInstallable(
        f"there is no branch {name} to have a merge base with"
        if into
        else "there is no main branch to have a merge base with",
        f"fetch it with its history (`git fetch --unshallow origin {name}`), or name a commit",
    )


def _fails(version: Installation) -> str | None:
    """The last line of why it doesn't run; None where it does."""
    done = subprocess.run(
        [version.python, "-P", "-c", _PROBE],
        env={**os.environ, **version.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no word"])[-1]


def _installed(label: str, root: Path, folder: Path) -> Installation:
    """With libraries of its own; that takes the network."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    if not (root / "pyproject.toml").is_file():
        raise NotInstallable(
            f"{label} needs other libraries than this version, and a wheel's can't be told",
            "name the commit that it was built from",
        )
    try:
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(root)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_WITHIN_S,
        )
        said = _errors(done.stderr) if done.returncode else []
    except subprocess.TimeoutExpired:
        said = [f"pip took longer than {_INSTALL_WITHIN_S:g} s"]
    found = Installation(label=label, python=python, environment={"PYTHONPATH": ""})
    trouble = said[-1] if said else _fails(found)
    if trouble is not None:
        raise _too_old(label, trouble)
    return found


def _errors(said: str) -> list[str]:
    """Pip's errors, without the advice that it ends with."""
    lines = said.strip().splitlines()
    return [line for line in lines if line.lower().startswith("error")] or lines or ["no word"]


def _too_old(label: str, trouble: str) -> NotInstallable:
    return NotInstallable(
        f"{label} does not run here: {trouble}",
        "versions from before `persona benchmark` can't be run in turn with this one",
    )
