"""What the live view takes of a core while a batch of 200 goes on, beside rich's own Live."""

import fcntl
import io
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from persona.client import Ledger
from persona.identity import persona_id
from persona.render.live_frame import detailed
from persona.render.live_look import Look
from rich.console import Console
from rich.live import Live

from personad.contract.batch import BatchShow, Claim
from personad.contract.events import Fence
from personad.contract.progress import Progress

from .events import batch_name, made, queued
from .figure import Figure, beside
from .house import PROGRAMS, House, daemon, house
from .process import cpu_s

PERSONAS, IN_FLIGHT = 200, 16
COLUMNS, ROWS = 120, 60
STEP_EVERY_S, TOKENS_EVERY = 0.1, 5
"""A persona's step, and after how many of them it is told what has arrived."""
FOR_S = 15.0
FRAMES_A_SECOND = 10
CORE_PERCENT = 3.0
_SHOWN_WITHIN_S = 20.0


def measure() -> list[Figure]:
    with house() as here, daemon(here), here.ledger() as ledger:
        ledger.append(queued(0, PERSONAS))
        fence = ledger.ask(Claim(batch=batch_name(0), runner="bench", ttl_ms=600_000)).fence
        with _view(here) as (view, screen):
            _begin(ledger, fence)
            screen.wait_for(b"generating")
            before, began = cpu_s(view.pid), time.monotonic()
            steps = _go_on(ledger, fence, until=began + FOR_S)
            percent = 100 * (cpu_s(view.pid) - before) / (time.monotonic() - began)
        peer = _rich_percent(ledger)
    return [
        Figure(
            name="a core that the live view takes",
            value=percent,
            limit=CORE_PERCENT,
            unit="%",
            peer=beside(f"rich's Live, {FRAMES_A_SECOND} frames a second", peer, percent, "%"),
            detail=(
                f"`persona batch watch` on {COLUMNS} × {ROWS}, {PERSONAS} rows, {IN_FLIGHT} in "
                f"flight, {steps} steps in {FOR_S:g} s and their tokens every "
                f"{STEP_EVERY_S * TOKENS_EVERY:g} s"
            ),
        )
    ]


def _begin(ledger: Ledger, fence: int) -> None:
    hold = Fence(batch=batch_name(0), fence=fence)
    ledger.append([made(0, index)[0] for index in range(1, IN_FLIGHT + 1)], fence=hold)


def _go_on(ledger: Ledger, fence: int, *, until: float) -> int:
    """Personas end and others begin, at an even pace; how many steps there were."""
    name, hold, done = batch_name(0), Fence(batch=batch_name(0), fence=fence), 0
    steps = [
        step
        for index in range(1, PERSONAS - IN_FLIGHT + 1)
        for step in (*made(0, index)[1:], made(0, index + IN_FLIGHT)[0])
    ]
    while time.monotonic() < until:
        ledger.append([steps[done]], fence=hold)
        done += 1
        if done % TOKENS_EVERY == 0:
            first = done // 3 + 1
            tokens = {
                persona_id(name, index): 37 * done // (index - first + 1)
                for index in range(first, first + IN_FLIGHT)
            }
            ledger.ask(Progress(batch=name, fence=fence, tokens=tokens))
        time.sleep(STEP_EVERY_S)
    return done


class _Screen:
    """Takes what is written to a terminal, as one that is looked at does."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = b""
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def wait_for(self, text: bytes) -> None:
        until = time.monotonic() + _SHOWN_WITHIN_S
        while text not in self._seen:
            if time.monotonic() > until:
                raise RuntimeError(f"the view does not show {text!r}: {self._seen[-500:]!r}")
            time.sleep(0.02)

    def _take(self) -> None:
        while True:
            try:
                written = os.read(self._descriptor, 65_536)
            except OSError:
                return
            self._seen = (self._seen + written)[-65_536:]


@contextmanager
def _view(here: House) -> "Iterator[tuple[subprocess.Popen[bytes], _Screen]]":
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [str(PROGRAMS / "persona"), "batch", "watch", "last"]
    view = here.spawn(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield view, _Screen(ours)
    finally:
        view.terminate()
        view.wait()
        os.close(ours)


def _rich_percent(ledger: Ledger) -> float:
    """The same frames drawn by rich."""
    state = ledger.ask(BatchShow(batch=batch_name(0)))
    console = Console(
        file=io.StringIO(), width=COLUMNS, height=ROWS, force_terminal=True, color_system="256"
    )
    frames = FRAMES_A_SECOND * 5
    began = time.process_time()
    with Live(console=console, auto_refresh=False) as live:
        for _ in range(frames):
            look = Look(width=COLUMNS, height=ROWS - 1, now=datetime.now(UTC))
            live.update(detailed(state, look), refresh=True)
    return 100 * (time.process_time() - began) / (frames / FRAMES_A_SECOND)
