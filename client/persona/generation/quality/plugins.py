"""Metrics of other packages, each in a process of its own: one that raises, hangs, ends or answers
nonsense costs its own score and nothing else.
"""

import atexit
import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib.metadata import entry_points

import msgspec

from persona.generation.model import Draft, Segment
from persona.generation.quality.metric import GROUP, Score, Scored, Settings
from persona.generation.quality.plugin_wire import Answer, Question

START_S = 60.0
"""How long it may take to be imported; it may load a model."""
ANSWER_S = 10.0
TRIES = 2
"""After so many that hung or ended, it is not asked again."""
_CHUNK = 1 << 16


class _Gone(Exception):
    """It did not answer; the message says how."""


class Plugin:
    """One metric and its process, which is started when it is first asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._refused = ""
        """Why it is not asked any more."""
        self._failures = 0
        self._segment: Segment | None = None
        self._peers: list[Scored] = []

    def score(
        self, persona: Scored, segment: Segment, peers: Sequence[Scored], settings: Settings
    ) -> Score | str:
        """Its score, or why there is none."""
        with self._lock:
            if self._refused:
                return self._refused
            try:
                process = self._process or self._started()
                if process is None:
                    return self._refused
                question = self._question(persona, segment, list(peers), settings)
                answer = _exchange(process, question, ANSWER_S)
            except UnicodeEncodeError:
                return "the persona has text that can't be written down"
            except (_Gone, OSError) as error:
                return self._failed(str(error))
            return answer.reason if answer.score is None else answer.score

    def stop(self) -> None:
        process, self._process = self._process, None
        self._segment, self._peers = None, []
        if process is not None:
            # It has a group of its own, with whatever it started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def _started(self) -> "subprocess.Popen[bytes] | None":
        """None where it can't be loaded."""
        program = [sys.executable, "-P", "-m", "persona.generation.quality.plugin_process"]
        self._process = subprocess.Popen(
            [*program, self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        loaded = _exchange(self._process, b"", START_S)
        if loaded.reason:
            self.stop()
            self._refused = loaded.reason
        return self._process

    def _question(
        self, persona: Scored, segment: Segment, peers: list[Scored], settings: Settings
    ) -> bytes:
        """What it does not know yet: a batch's peers are sent once, not with every persona."""
        known = 0
        for ours, theirs in zip(peers, self._peers, strict=False):
            if ours is not theirs:
                break
            known += 1
        question = Question(
            persona=_draft(persona),
            segment=None if segment is self._segment else segment,
            known=known,
            more=[_draft(each) for each in peers[known:]],
            settings=settings,
        )
        encoded = msgspec.json.encode(question) + b"\n"
        self._segment, self._peers = segment, peers
        return encoded

    def _failed(self, how: str) -> str:
        self.stop()
        self._failures += 1
        if self._failures >= TRIES:
            self._refused = f"{how}; it is not asked again"
        return how


def _draft(persona: Scored) -> Draft:
    return Draft(**{name: getattr(persona, name) for name in Draft.__struct_fields__})


def _exchange(process: "subprocess.Popen[bytes]", question: bytes, within_s: float) -> Answer:
    """Its next line, within a time, whether it reads the question or not. Raises _Gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    left, heard, until = memoryview(question), bytearray(), time.monotonic() + within_s
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        if left:
            ready.register(process.stdin, selectors.EVENT_WRITE)
        while not heard.endswith(b"\n"):
            found = ready.select(max(0.0, until - time.monotonic()))
            if not found:
                raise _Gone(f"it did not answer within {within_s:g} s")
            for key, _ in found:
                if key.fileobj is process.stdout:
                    chunk = os.read(process.stdout.fileno(), _CHUNK)
                    if not chunk:
                        raise _Gone(f"its process ended with {process.wait()}")
                    heard += chunk
                    continue
                left = left[os.write(process.stdin.fileno(), left) :]
                if not left:
                    ready.unregister(process.stdin)
    return msgspec.json.decode(bytes(heard), type=Answer)


_found: dict[str, Plugin] | None = None
_finding = threading.Lock()


def installed() -> dict[str, Plugin]:
    """Looked up once a process: it reads the metadata of every installed package."""
    global _found
    with _finding:
        if _found is None:
            names = sorted({point.name for point in entry_points(group=GROUP)})
            _found = {name: Plugin(name) for name in names}
            for each in _found.values():
                atexit.register(each.stop)
        return _found
