"""Starting a runner: a process of its own that outlives the terminal, given only a batch's id."""

import os
import re
import select
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from personad.contract.paths import Paths

LOG = "runner.log"
DETACHED = b"d"
"""Written by a starter that leaves on purpose: its end is then no reason to pause."""
BEGUN = b"b"
"""Written by a runner once it has the batch, or has seen that there is nothing for it to do."""
END_S = 10.0
"""How long whoever needs what a runner writes last waits for its end."""
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


class Standby:
    """A runner that has loaded its libraries and waits to be told its batch; use it once.

    Whoever plans a batch starts one first: loading takes a runner as long as planning takes the
    planner. One that is told no batch ends by itself when this process lets go of it, or ends.
    """

    def __init__(self, paths: Paths, *, tied: bool, environ: Mapping[str, str]) -> None:
        """Raises OSError where no process can be made."""
        self._paths = paths
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        orders, self._order = os.pipe()
        self._word, word = os.pipe()
        tie: int | None
        self._tie: int | None
        tie, self._tie = os.pipe() if tied else (None, None)
        self._process: subprocess.Popen[bytes] | None = None
        passed = [each for each in (orders, word, tie) if each is not None]
        try:
            # -P: a folder with somebody's data may hold a msgspec.py.
            program = [sys.executable, "-P", "-m", "persona.generation.runner"]
            self._process = subprocess.Popen(
                [*program, "--orders", str(orders), str(word), *(["--tied"] if tied else [])],
                stdin=subprocess.DEVNULL if tie is None else tie,
                stdout=self._said,
                stderr=self._said,
                pass_fds=(orders, word),
                start_new_session=True,
                env=_environment(paths, environ),
            )
        except BaseException:
            self.close()
            raise
        finally:
            for each in passed:
                os.close(each)

    def take(self, batch: str) -> Tie | None:
        """Tells it its batch, and returns when it has it.

        Raises:
            RunnerFailed: it ended before.
            OSError: no log or folder can be made.
        """
        folder = self._paths.runs_dir / batch
        for each in (self._paths.runs_dir, folder):
            each.mkdir(mode=0o700, exist_ok=True)
        log = folder / LOG
        open(log, "ab", opener=_private).close()
        with suppress(BrokenPipeError):  # It has ended: why, is found out below.
            os.write(self._order, f"{batch}\n".encode())
        self._wait_until_begun(log)
        tie, self._tie = self._tie, None
        return Tie(tie) if tie is not None else None

    def _wait_until_begun(self, log: Path) -> None:
        ready, _, _ = select.select([self._word], [], [], BEGIN_S)
        if self._process is None or not ready or os.read(self._word, 1) == BEGUN:
            return
        status = self._process.wait()
        self._said.seek(0)
        early = self._said.read().decode(errors="replace").splitlines()
        with open(log, encoding="utf-8", errors="replace") as lines:
            reason = _last_line([*early, *lines]) or f"it ended with status {status}"
        raise RunnerFailed(f"the runner could not begin: {reason}", f"its log is {log}")

    def has_ended(self, within_s: float) -> bool:
        """Whether the process is gone by then; waits for it so long."""
        try:
            return self._process is None or self._process.wait(within_s) is not None
        except subprocess.TimeoutExpired:
            return False

    def close(self) -> None:
        """Lets go of it; what was told its batch goes on, tied or not as it was."""
        for each in (self._order, self._word, self._tie):
            if each is not None:
                os.close(each)
        self._said.close()
        if self._process is not None and self._process.returncode is None:
            # It is not waited for: it ends when it likes, perhaps after this process.
            self._process.returncode = 0

    def __enter__(self) -> "Standby":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
    with Standby(paths, tied=tied, environ=os.environ if environ is None else environ) as runner:
        return runner.take(batch)


def _last_line(lines: Iterable[str]) -> str:
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
