"""What the runner adds to a provider that streams, and how soon it is steered: 1,000 personas."""

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

from persona.client import Ledger
from persona.identity import event_id

from personad.contract.batch import BatchShow, BatchState, Pause
from personad.contract.cost import CostRecorded
from personad.contract.events import Recorded

from .figure import Figure
from .house import EXAMPLES, PROGRAMS, ROOT, House, daemon, house
from .process import cpu_s, peak_mb, process_with

PERSONAS, CONCURRENCY, CALL_S = 1_000, 64, 2.0
PIECES, FRAMES = 20, 24
"""An answer in so many pieces is so many messages, with those around it."""
GAP_S = CALL_S / FRAMES
ROUNDS = math.ceil(PERSONAS / CONCURRENCY)
LIMIT, MEMORY_LIMIT_MB = 1.05, 150.0
CPU_LIMIT = 4.0 / 1.8
"""4 ms a call was asked of a machine on which httpx2 alone takes 1.6 to 1.8: machines differ, and
what the runner adds to the same answers in the same run can be compared."""
PAUSE_LIMIT_MS, RESUME_LIMIT_MS = 200.0, 1_000.0
RUNNER = "persona.generation.runner"
WITHIN_S = 180.0
BARE_CALLS = 320


@dataclass
class Seen:
    """What the runner took, as long as it could be looked at."""

    cpu_s: float = 0.0
    peak_mb: float = 0.0
    before_s: float | None = None
    """What it had taken when its first calls had ended: loading and planning, above all."""
    before: int = 0
    """How many these were."""


def measure() -> list[Figure]:
    with house() as here, daemon(here), here.ledger() as ledger, _server() as port:
        bare_ms = [_bare_ms(port)]
        name = _start(here, port)
        seen = _followed(here, ledger, name, lambda state: state.finished_at is not None)
        events = list(ledger.read_all(batch=name))
        if len(_times(events, "persona.completed")) != PERSONAS:
            raise RuntimeError(f"{name} did not make {PERSONAS:,} personas")
        bare_ms.append(_bare_ms(port))
        steering = _steered(here, ledger, port)
    call_ms = (seen.cpu_s - (seen.before_s or 0)) / (PERSONAS - seen.before) * 1_000
    state, alone_s = _at(events, "batch.finished"), _fastest_s(events)
    took_s = state - _at(events, "persona.generating")
    started_s = state - _at(events, "batch.started")
    return [
        Figure(
            name=f"{PERSONAS:,} streamed personas at {CALL_S:.0f} s, {CONCURRENCY} at a time",
            value=took_s / (ROUNDS * alone_s),
            limit=LIMIT,
            unit="×",
            peer=f"the ideal: {ROUNDS * alone_s:.1f} s",
            detail=f"{took_s:.2f} s from the first persona.generating to batch.finished, "
            f"{started_s:.2f} s from batch.started; the fastest call: {alone_s:.2f} s",
        ),
        Figure(
            name="its runner's time on a core, a call",
            value=call_ms / fmean(bare_ms),
            limit=CPU_LIMIT,
            unit="×",
            peer=f"httpx2 alone: {bare_ms[0]:.3g} ms before, {bare_ms[1]:.3g} ms after",
            detail=f"{call_ms:.2f} ms, ledger, scores and files included, without the first "
            f"{seen.before} calls and what was before them: {seen.before_s or 0:.2f} s",
        ),
        Figure(
            name="its runner's memory",
            value=seen.peak_mb,
            limit=MEMORY_LIMIT_MB,
            unit="MB",
            peer="nobody's",
            detail=f"the most that it ever held, with {CONCURRENCY} answers at a time",
        ),
        *steering,
    ]


@contextmanager
def _server() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.provider_server", "--pieces", str(PIECES)]
    command += ["--gap-s", str(GAP_S), "--delay-s", str(GAP_S)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as server:  # type: ignore[call-overload]
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()
            server.wait()


def _bare_ms(port: int) -> float:
    """What the same answers take on this machine, now, without a runner around them."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    command = [sys.executable, "-m", "bench.bare_stream", url, str(BARE_CALLS), str(CONCURRENCY)]
    return float(subprocess.check_output(command, cwd=ROOT))


def _fastest_s(events: list[Recorded]) -> float:
    """The call that waited least for anything but its provider."""
    return min(
        (each.event.duration_ms or 0) / 1_000
        for each in events
        if isinstance(each.event, CostRecorded)
    )


def _start(here: House, port: int) -> str:
    command = [str(PROGRAMS / "persona"), "generate", "--from", str(_interviews(here)), "--detach"]
    command += ["-n", str(PERSONAS), "--concurrency", str(CONCURRENCY), "--provider", "openai"]
    command += ["--model", "m", "--base-url", f"http://127.0.0.1:{port}/v1"]
    return here.run(command).decode().strip()


def _interviews(here: House) -> str:
    """Enough participants for a persona each."""
    path = here.folder / "survey.csv"
    if not path.exists():
        said = [
            text for file in sorted(EXAMPLES.iterdir()) for text in _sentences(file.read_text())
        ]
        lines = ["participant,answer"]
        for n in range(PERSONAS + 200):
            words = " ".join(said[(n * 7 + k * 31) % len(said)] for k in range(4))
            lines.append(f'P{n:04d},"{words} That was my visit number {n}."')
        path.write_text("\n".join(lines) + "\n")
    return str(path)


def _sentences(text: str) -> list[str]:
    found = (line.strip().replace('"', "'") for line in text.replace("\n", " ").split(". "))
    return [f"{line}." for line in found if 40 < len(line) < 200 and ":" not in line]


def _followed(here: House, ledger: Ledger, name: str, until: Callable[[BatchState], bool]) -> Seen:
    """Looks at the runner until `until` says so of the batch."""
    seen, deadline = Seen(), time.monotonic() + WITHIN_S
    variable = f"XDG_RUNTIME_DIR={here.environment['XDG_RUNTIME_DIR']}"
    pid = process_with(RUNNER, variable)
    asked_s = 0.0
    while True:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} is not done after {WITHIN_S:.0f} s")
        pid = pid or process_with(RUNNER, variable)
        try:
            if pid is not None:
                seen.cpu_s, seen.peak_mb = cpu_s(pid), peak_mb(pid)
        except ProcessLookupError:
            pid = None
        if time.monotonic() - asked_s > 1:
            asked_s = time.monotonic()
            state: BatchState = ledger.ask(BatchShow(batch=name))
            if seen.before_s is None and state.usage.calls:
                seen.before_s, seen.before = seen.cpu_s, state.usage.calls
            if until(state):
                return seen
        time.sleep(0.1)


def _steered(here: House, ledger: Ledger, port: int) -> list[Figure]:
    """Pauses a thousand personas in the middle, and has them gone on with."""
    name = _start(here, port)
    _followed(here, ledger, name, lambda state: state.counts.generating >= CONCURRENCY // 2)
    ledger.ask(Pause(batch=name, id=event_id()))
    _followed(here, ledger, name, lambda state: state.status == "paused")
    before = list(ledger.read_all(batch=name))
    began = time.time()
    resume = [str(PROGRAMS / "persona"), "generate", "--resume", name, "--detach"]
    here.run(resume)
    _followed(here, ledger, name, lambda state: state.usage.calls > CONCURRENCY)
    after = list(ledger.read_all(before[-1].seq, batch=name))
    ledger.ask(Pause(batch=name, id=event_id()))
    _followed(here, ledger, name, lambda state: state.status == "paused")
    late = max(_last(before, "call.started") - _at(before, "batch.pausing"), 0.0)
    return [
        Figure(
            name="a pause takes effect on what has not started",
            value=late * 1_000,
            limit=PAUSE_LIMIT_MS,
            unit="ms",
            peer="nobody's",
            detail="from the pause's commit to the last call that was started",
        ),
        Figure(
            name=f"a resume of {PERSONAS:,} personas starts its first call",
            value=(_at(after, "call.started") - began) * 1_000,
            limit=RESUME_LIMIT_MS,
            unit="ms",
            peer="nobody's",
            detail="from the command's start, with the programs' own start in it",
        ),
    ]


def _at(events: list[Recorded], kind: str) -> float:
    """When the first of its kind was recorded."""
    return _times(events, kind)[0]


def _last(events: list[Recorded], kind: str) -> float:
    return _times(events, kind)[-1]


def _times(events: list[Recorded], kind: str) -> list[float]:
    return [
        each.recorded_at.timestamp() for each in events if each.event.__struct_config__.tag == kind
    ]
