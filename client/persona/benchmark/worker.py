"""One process of a run: makes a workload's personas once for each line that it reads.

    python -m persona.benchmark.worker TASK

TASK is JSON. It answers each line with one of samples, as JSON; `{"ready": …}` comes first. What it
runs is the runner itself, in this process, against the ledger that the environment names, so that
all that a user waits for is in it: reading, segmenting, recording, calling, scoring, writing.

Both versions of an interleaved comparison are spoken to in this way, so the lines are a contract.
"""

import gc
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import anyio
import msgspec
from msgspec import Struct

from persona.client import Ledger
from persona.generation.kept_plan import keep
from persona.generation.plan import Wanted, make_plan, queue_of
from persona.generation.runner import Runner
from persona.identity import batch_id, now
from persona.outcome import TRY_LATER, exit_status
from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import VERSION
from personad.contract.events import AnyEvent
from personad.contract.paths import Paths, resolve_paths
from personad.contract.settings import Settings, load

from .micro import MICRO
from .starting import started_of
from .vitals import Vitals, measured

PROTOCOL = 1


class Task(Struct, frozen=True, kw_only=True):
    """What one iteration does."""

    source: str
    """The folder with the research data."""
    personas: int
    provider: str
    model: str
    concurrency: int
    seed: int
    base_url: str | None = None
    part: str | None = None
    """A part of the micro suite, done `times` times an iteration, instead of making personas."""
    times: int = 1
    memory: bool = True
    """Whether memory is looked at; without it, only clocks are read."""


class Ready(Struct, frozen=True, kw_only=True):
    """The first line."""

    ready: int
    """The protocol's number."""
    version: str


class Unmeasured(Exception):
    """An iteration that gave nothing to measure; the message says why."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
        """How this process ends: TRY_LATER where a budget or a provider stopped it."""


def main() -> int:
    task = msgspec.json.decode(sys.argv[1], type=Task)
    settings = load(environ=os.environ, cwd=None, home=os.path.expanduser("~")).settings
    paths = resolve_paths(settings, ledger=None, environ=os.environ)
    ledger = Ledger(paths, autostart=False)
    _say(Ready(ready=PROTOCOL, version=VERSION))
    try:
        iterate = _part(task, ledger) if task.part is not None else None
        for _ in sys.stdin:
            _say(iterate() if iterate else _iterate(task, paths, settings, ledger))
    except Unmeasured as error:
        sys.stderr.write(f"{error}\n")
        return error.status
    finally:
        ledger.close()
    return 0


def _say(line: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.flush()


def _part(task: Task, ledger: Ledger) -> Callable[[], dict[str, float]]:
    """What measures a part of the micro suite; times are of one of its repetitions."""
    assert task.part is not None
    part = MICRO[task.part](Path(task.source), ledger)

    def iterate() -> dict[str, float]:
        gc.collect()
        with measured(memory=False) as vitals:
            for _ in range(task.times):
                part()
        return {
            "part_ms": vitals.wall_ms / task.times,
            "cpu_ms": vitals.cpu_ms / task.times,
        }

    return iterate


def _iterate(task: Task, paths: Paths, settings: Settings, ledger: Ledger) -> dict[str, float]:
    """One iteration's samples. Raises what the runner raises, and Unmeasured."""
    batch = batch_id(now(), random.SystemRandom())
    output = Path(tempfile.mkdtemp(prefix="persona-benchmark-"))
    # What earlier iterations left shall not be collected on this one's time.
    gc.collect()
    try:
        with measured(memory=task.memory) as vitals:
            plan = make_plan(Wanted(path=Path(task.source), count=task.personas, seed=task.seed))
            started = started_of(
                plan,
                batch=batch,
                provider=task.provider,
                model=task.model,
                base_url=task.base_url,
                concurrency=task.concurrency,
                seed=task.seed,
                output=output / "personas",
            )
            keep(paths.runs_dir / batch, plan)
            events: list[AnyEvent] = [started, *queue_of(started, plan.segments)]
            ledger.append(events)
            anyio.run(Runner(paths, settings, batch, tied=False).run)
        return _samples(ledger, batch, vitals)
    finally:
        shutil.rmtree(output)
        shutil.rmtree(paths.runs_dir / batch, ignore_errors=True)


def _samples(ledger: Ledger, batch: str, vitals: Vitals) -> dict[str, float]:
    """What the iteration took, and what the ledger has of it.

    Raises:
        Unmeasured: no persona was made, or it stands still before all of them were.
    """
    state = ledger.ask(b.BatchShow(batch=batch))
    status = exit_status(state)
    if status == TRY_LATER:
        raise Unmeasured(_stopped(ledger, batch) or f"the batch is {state.status}", TRY_LATER)
    if not state.counts.completed:
        errors = [row.error.message for row in state.personas if row.error is not None]
        raise Unmeasured(f"no persona was made: {errors[-1] if errors else state.status}")
    kinds = ("cost.recorded", "persona.retrying", "persona.failed")
    events = [each.event for each in ledger.read_all(types=kinds, batch=batch)]
    calls = [each for each in events if isinstance(each, c.CostRecorded)]
    troubles = [each for each in events if isinstance(each, b.PersonaRetrying | b.PersonaFailed)]
    firsts = [each.ttft_ms for each in calls if each.ttft_ms is not None]
    tokens = sum(
        each.input_tokens + each.output_tokens + each.cache_read_tokens + each.cache_write_tokens
        for each in calls
    )
    found = {
        "generation_latency_ms": vitals.wall_ms,
        "cpu_ms": vitals.cpu_ms,
        "tokens": tokens,
        "api_calls": len(calls),
        "cost_nanousd": state.cost.spent_nanousd,
        "personas": state.counts.completed,
        "failed": state.counts.failed,
        "retries": len(calls) - len({each.persona for each in calls}),
        "unparsed": sum(each.error.kind == "invalid_output" for each in troubles),
    }
    if firsts:
        found["ttft_ms"] = median(firsts)
    if vitals.memory_peak_mb:
        found["memory_peak_mb"] = vitals.memory_peak_mb
    if vitals.memory_average_mb is not None:
        found["memory_average_mb"] = vitals.memory_average_mb
    return found


def _stopped(ledger: Ledger, batch: str) -> str | None:
    """Why it stands still, in the runner's words."""
    kinds = ("batch.pausing", "batch.paused")
    events = [each.event for each in ledger.read_all(types=kinds, batch=batch)]
    told = [each for each in events if isinstance(each, b.BatchPausing | b.BatchPaused)]
    return (told[-1].message or told[-1].reason) if told else None


if __name__ == "__main__":
    sys.exit(main())
