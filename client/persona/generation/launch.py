"""Starting a runner: a process of its own that outlives the terminal, given only a batch's id."""

import os
import subprocess
import sys
from collections.abc import Mapping

from personad.contract.paths import Paths

LOG = "runner.log"
DETACHED = b"d"
"""Written by a starter that leaves on purpose: its end is then no reason to pause."""


class Tie:
    """While it is open, the runner knows that its starter lives; the kernel closes it anyhow."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def detach(self) -> None:
        """Lets the runner go on alone."""
        os.write(self._descriptor, DETACHED)


def spawn_runner(
    paths: Paths, batch: str, *, tied: bool = False, environ: Mapping[str, str] = os.environ
) -> Tie | None:
    """Starts a runner for `batch`; `tied`, it pauses the batch when this process ends.

    It sees this process's environment, since that is where the keys are.
    Raises OSError where no process, log or folder can be made.
    """
    folder = paths.runs_dir / batch
    paths.runs_dir.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    heard, kept = os.pipe() if tied else (None, None)
    try:
        with open(folder / LOG, "ab", opener=_private) as log:
            subprocess.Popen(
                [sys.executable, "-m", "persona.generation.runner", batch]
                + (["--tied"] if tied else []),
                stdin=subprocess.DEVNULL if heard is None else heard,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=_environment(paths, environ),
            )
    finally:
        if heard is not None:
            os.close(heard)
    return Tie(kept) if kept is not None else None


def _environment(paths: Paths, environ: Mapping[str, str]) -> dict[str, str]:
    """The same ledger, however it was named."""
    kept = {name: value for name, value in environ.items() if name != "PERSONA_LEDGER"}
    return kept | {
        "PERSONAD_DATA_DIR": str(paths.data_dir),
        "PERSONAD_RUNTIME_DIR": str(paths.runtime_dir),
    }


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
