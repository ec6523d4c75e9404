"""A ledger with a real daemon, batches recorded as `generate` records them, runners as processes.

For tests that ask what holds when real processes end in the middle.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from persona.autostart import wait_until_released
from persona.client import Ledger
from persona.generation.output import prepare_folder
from persona.generation.plan import Plan, Wanted, make_plan, queue_of
from persona.identity import event_id, now

from personad import launch
from personad.contract.admin import Hello, Stop
from personad.contract.batch import (
    BatchShow,
    BatchStarted,
    BatchState,
    Resume,
    Retry,
    Source,
)
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent
from personad.contract.options import DEFAULTS
from personad.contract.paths import resolve_paths

from . import warm

STAGED = Path(__file__).with_name("staged_runner.py")
FOREIGN = Path(__file__).with_name("foreign_daemon.py")
WITHIN_S = 60.0
Said = subprocess.CompletedProcess[str]
_BOUND = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
if os.geteuid() == 0:
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            sys.exit("root can't be bound here")
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
"""
_THINGS = ("booking", "invoice", "garden", "training", "homework", "recipe", "camera", "ferry")


class Studio:
    """One ledger, and the processes that a test has started around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = resolve_paths(DEFAULTS, ledger=None, environ=os.environ)
        self.ledger = Ledger(self.paths)
        self._processes: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for pid in self.runners():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.ledger.close()
        with suppress(LedgerError), Ledger(self.paths, autostart=False) as ledger:
            ledger.ask(Stop())
        wait_until_released(self.paths, 10)

    # Data

    def survey(self, people: int = 12, name: str = "survey.csv") -> Path:
        """A file in which each person says something of his own."""
        rows = ["participant,age,What annoys you most?"]
        for n in range(people):
            one, other = _THINGS[n % 8], _THINGS[(n // 8 + 3) % 8]
            rows.append(
                f"P{n:02d},{20 + n % 50},I hate the {one} because it takes far too long every "
                f"time. I want a better {other} number {n} for my family and for my work."
            )
        path = self.folder / name
        path.write_text("\n".join(rows) + "\n")
        return path

    def record(self, batch: str = "batch-a", count: int = 4, **changes: Any) -> BatchStarted:
        """A batch and its queue in the ledger, with nobody to make it yet."""
        source = changes.pop("source", None) or self.survey(max(12, count))
        plan = make_plan(Wanted(path=source, count=count, seed=changes.get("seed")))
        started = self.planned(batch, plan, **changes)
        prepare_folder(Path(started.output), batch)
        events: list[AnyEvent] = [started, *queue_of(started, plan.segments)]
        self.ledger.append(events)
        return started

    def planned(self, batch: str, plan: Plan, **changes: Any) -> BatchStarted:
        reading = plan.reading
        started = BatchStarted(
            id=event_id(),
            at=now(),
            batch=batch,
            source=Source(
                path=reading.path,
                digest=reading.digest,
                files=len(reading.files),
                bytes=reading.size_bytes,
                records=len(reading.records),
            ),
            total=plan.total,
            provider="simulated",
            model="simulated-1",
            concurrency=2,
            output=str(self.folder / "out" / batch),
            prompt_digest="sha256:0",
            retry=Retry(retries=2, delay_ms=1, jitter=False),
            call_timeout_ms=30_000,
        )
        return msgspec.structs.replace(started, **changes)

    # Processes

    def persona(self, *arguments: str, **environ: str) -> Said:
        """The real program, without a terminal."""
        return self._program("persona", *arguments, **environ)

    def persona_without_privilege(self, *arguments: str) -> Said:
        """As `persona`, by a user whom a file's mode binds, which it doesn't root."""
        return self._run(["-c", _BOUND, "persona", *arguments], {})

    def personad(self, *arguments: str, **environ: str) -> Said:
        """The daemon's own program, of this ledger."""
        ledger = str(self.paths.data_dir)
        return self._program("personad", "--ledger", ledger, *arguments, **environ)

    def python(self, *arguments: str, **environ: str) -> Said:
        return self._run(list(arguments), environ)

    def _program(self, name: str, *arguments: str, **environ: str) -> Said:
        return self._run(["-m", name, *arguments], environ)

    def _run(self, arguments: list[str], environ: dict[str, str]) -> Said:
        return subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=WITHIN_S,
            check=False,
        )

    def runner(self, batch: str, **environ: str) -> subprocess.Popen[bytes]:
        return self._runner(["-m", "persona.generation.runner", batch], environ)

    def staged(
        self, batch: str, point: str = "", number: int = 1, **environ: str
    ) -> subprocess.Popen[bytes]:
        """A runner that is gone at a point, or, without one, only writes down what happens."""
        notes = self.notes(batch)
        notes.mkdir(parents=True, exist_ok=True)
        return self._runner(
            [str(STAGED), str(notes), point or "never", str(number), batch], environ
        )

    def notes(self, batch: str) -> Path:
        """Where staged runners write down what happens."""
        return self.folder / "notes" / batch

    def _runner(self, program: list[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, *program],
                env=os.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    @property
    def log(self) -> Path:
        return self.folder / "runners.log"

    def runners(self) -> list[int]:
        """Runners of this ledger that others have started."""
        variable = f"PERSONAD_DATA_DIR={self.paths.data_dir}"
        found = warm.running("persona.generation.runner", variable)
        mine = variable.encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    runs = b"persona.generation.runner" in (entry / "cmdline").read_bytes()
                    if runs and mine in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def foreign_daemon(self, protocol: int, version: str) -> subprocess.Popen[bytes]:
        """This ledger's daemon, of another release; it answers when this returns."""
        process = subprocess.Popen(
            [sys.executable, str(FOREIGN), str(protocol), version], stdin=subprocess.DEVNULL
        )
        self._processes.append(process)
        until = time.monotonic() + WITHIN_S
        while not launch.answers(self.paths):
            assert time.monotonic() < until, "it doesn't answer"
            time.sleep(0.02)
        return process

    def kill_daemon(self) -> None:
        """As the kernel's memory killer would."""
        os.kill(self.ledger.ask(Hello()).pid, signal.SIGKILL)

    # What came of it

    def state(self, batch: str) -> BatchState:
        return self.ledger.ask(BatchShow(batch=batch))

    def until(
        self, batch: str, holds: Callable[[BatchState], bool], what: str = "the state"
    ) -> BatchState:
        """The batch as soon as `holds` says so."""
        until = time.monotonic() + WITHIN_S
        while not holds(state := self.state(batch)):
            if time.monotonic() > until:
                log = self.log.read_text() if self.log.exists() else "no runner"
                raise AssertionError(f"{what} did not come: {state}\n{log}")
            time.sleep(0.02)
        return state

    def until_status(self, batch: str, *wanted: str) -> BatchState:
        return self.until(batch, lambda state: state.status in wanted, f"{wanted}")

    def resumed(self, batch: str) -> None:
        """Allows a batch to run again that a dead runner has left."""
        if self.until_status(batch, "interrupted", "paused", "completed").status != "completed":
            self.ledger.ask(Resume(batch=batch, id=event_id()))

    def events(self, batch: str, *types: str) -> list[Any]:
        return [each.event for each in self.ledger.read_all(0, types, batch)]

    def anomalies(self, batch: str) -> list[str]:
        found = self.ledger.read_all(0, (), batch)
        return [each.anomaly for each in found if each.anomaly is not None]

    def calls(self, batch: str = "batch-a") -> list[str]:
        """`index/attempt` of every call that a staged runner's provider was asked for."""
        return (self.notes(batch) / "calls").read_text().split()

    def acknowledged(self, batch: str = "batch-a") -> set[str]:
        return set((self.notes(batch) / "acknowledged").read_text().split())

    def personas(self, started: BatchStarted) -> list[dict[str, Any]]:
        """Every persona document of the batch, by its file's name; whole, or this raises."""
        folder = Path(started.output) / "personas"
        return [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
