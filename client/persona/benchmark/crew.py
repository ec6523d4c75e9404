"""Worker processes: how one is started, asked for an iteration, and ended."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from persona.outcome import TRY_LATER

from . import corpus
from .private import Private
from .worker import PROTOCOL, Ready, Task
from .workloads import WorkloadSpec


class WorkerFailed(Exception):
    """A worker ended, or said something else than samples."""

    def __init__(self, message: str, status: int = 3) -> None:
        super().__init__(message)
        self.EXIT_CODE = TRY_LATER if status == TRY_LATER else 3


class Worker:
    """One process that makes personas when told to."""

    def __init__(self, python: str, task: Task, environment: Mapping[str, str], log: Path) -> None:
        """Raises WorkerFailed where that installation has no such worker, OSError."""
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [
                    python,
                    "-P",
                    "-m",
                    "persona.benchmark.worker",
                    msgspec.json.encode(task).decode(),
                ],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Ctrl-C is for whoever runs the benchmark, who then ends this process.
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        try:
            ready = msgspec.json.decode(self._line(), type=Ready)
        except msgspec.DecodeError:
            self.close()
            raise WorkerFailed(f"{python} has no worker that this program understands") from None
        if ready.ready != PROTOCOL:
            self.close()
            raise WorkerFailed(
                f"version {ready.version} speaks another protocol to its workers ({ready.ready}, "
                f"here {PROTOCOL})"
            )

    def iterate(self) -> dict[str, float]:
        """One iteration's samples. Raises WorkerFailed."""
        try:
            self._orders.write(b"\n")
            self._orders.flush()
        except BrokenPipeError:
            raise self._failed() from None
        try:
            return msgspec.json.decode(self._line(), type=dict[str, float])
        except msgspec.DecodeError as error:
            raise WorkerFailed(f"a worker answered something else than samples: {error}") from None

    def _line(self) -> bytes:
        line = self._answers.readline()
        if not line:
            raise self._failed()
        return line

    def _failed(self) -> WorkerFailed:
        status = self._process.wait()
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        message = said[-1] if said else f"a worker ended with status {status}"
        return WorkerFailed(message, status)

    def close(self) -> None:
        """Ends it, at once where it is at work."""
        self._process.kill()
        self._process.wait()
        self._orders.close()
        self._answers.close()


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Processes that this thread begins inside of it run on that core alone; None: on any."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores() -> list[int | None]:
    """Those that a process may be put on; only "any" where the system can't say or do that."""
    if not hasattr(os, "sched_getaffinity"):
        return [None]
    return [*sorted(os.sched_getaffinity(0))]


@contextmanager
def worker(private: Private, task: Task, python: str = sys.executable) -> Iterator[Worker]:
    """A worker on a private ledger. Raises WorkerFailed, OSError."""
    found = Worker(python, task, private.environment, private.folder / "worker.out")
    try:
        yield found
    finally:
        found.close()


def task_of(spec: WorkloadSpec, private: Private, model: str, **more: object) -> Task:
    """The task of a workload, its research data written beside the private ledger."""
    source = private.folder / f"source-{spec.name}"
    if not source.exists():
        corpus.write(source, spec.source_bytes, spec.seed)
    return msgspec.convert(
        {
            "source": str(source),
            "personas": spec.personas,
            "provider": spec.provider,
            "model": model,
            "concurrency": spec.concurrency,
            "seed": spec.seed,
            "part": spec.part,
            "times": spec.times,
            **more,
        },
        Task,
    )


def simulation(spec: WorkloadSpec) -> dict[str, str]:
    """The environment that makes the simulated provider as slow as the workload says."""
    return {
        "PERSONA_SIMULATED_LATENCY_MS": f"{spec.latency_ms:g}",
        "PERSONA_SIMULATED_SPREAD": f"{spec.spread:g}",
    }
