"""Starting a runner: a process of its own that outlives the terminal, given only a batch's id."""

import os
import re
import select
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from personad.contract.paths import Paths

LOG = "runner.log"
DETACHED = b"d"
"""Written by a starter that leaves on purpose: its end is then no reason to pause."""
BEGUN = b"b"
"""Written by a runner once it has the batch, or has seen that there is nothing for it to do."""
BEGIN_S = 30.0
"""How long a starter waits for that word; a slower runner is not held to have failed."""

_STAMP = re.compile(r"^[\d-]+ [\d:,]+ [A-Z]+ +")


class RunnerFailed(Exception):
    """The runner ended before it had the batch."""

    EXIT_CODE = 75

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Tie:
    """While it is open, the runner knows that its starter lives; the kernel closes it anyhow."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def detach(self) -> None:
        """Lets the runner go on alone."""
        try:
            os.write(self._descriptor, DETACHED)
        except BrokenPipeError:
            # It has ended by itself: there is nothing left to let go of.
            return


def spawn_runner(
    paths: Paths, batch: str, *, tied: bool = False, environ: Mapping[str, str] | None = None
) -> Tie | None:
    """Starts a runner for `batch`, and returns when it has it; `tied`, it pauses the batch when
    this process ends.

    It sees this process's environment, since that is where the keys are.

    Raises:
        RunnerFailed: it ended before.
        OSError: no process, log or folder can be made.
    """
    folder = paths.runs_dir / batch
    paths.runs_dir.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    word, said = os.pipe()
    heard, kept = os.pipe() if tied else (None, None)
    try:
        with open(folder / LOG, "ab", opener=_private) as log:
            # -P: a folder with somebody's data may hold a msgspec.py.
            program = [sys.executable, "-P", "-m", "persona.generation.runner", batch, str(said)]
            process = subprocess.Popen(
                program + (["--tied"] if tied else []),
                stdin=subprocess.DEVNULL if heard is None else heard,
                stdout=log,
                stderr=log,
                pass_fds=(said,),
                start_new_session=True,
                env=_environment(paths, os.environ if environ is None else environ),
            )
        os.close(said)
        said = -1
        _wait_until_begun(process, word, folder / LOG)
    except BaseException:
        if kept is not None:
            os.close(kept)
        raise
    finally:
        for descriptor in (word, said, heard):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
    return Tie(kept) if kept is not None else None


def _wait_until_begun(process: subprocess.Popen[bytes], word: int, log: Path) -> None:
    ready, _, _ = select.select([word], [], [], BEGIN_S)
    if not ready or os.read(word, 1) == BEGUN:
        # It is not waited for: it goes on when this process has ended.
        process.returncode = 0
        return
    status = process.wait()
    reason = _last_line(log) or f"it ended with status {status}"
    raise RunnerFailed(f"the runner could not begin: {reason}", f"its log is {log}")


def _last_line(log: Path) -> str:
    with open(log, encoding="utf-8", errors="replace") as lines:
        last = next(iter(deque((line for line in lines if line.strip()), 1)), "")
    return _STAMP.sub("", last).strip()


def _environment(paths: Paths, environ: Mapping[str, str]) -> dict[str, str]:
    """The same ledger, however it was named."""
    kept = {name: value for name, value in environ.items() if name != "PERSONA_LEDGER"}
    return kept | {
        "PERSONAD_DATA_DIR": str(paths.data_dir),
        "PERSONAD_RUNTIME_DIR": str(paths.runtime_dir),
    }


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
