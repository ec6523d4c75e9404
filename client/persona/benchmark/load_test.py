"""What locust runs: users that append, ask and watch, on the daemon of a private ledger.

    locust -f load_test.py --headless …

It runs in a process of its own, because locust replaces Python's sockets and threads. A user speaks
nng's wire protocol (SP over a Unix socket) itself: an nng call would stop all users at once, and
the percentiles would not show it. Raw samples go to the file that `PERSONA_LOAD_SAMPLES` names,
since locust rounds its own percentiles.
"""

import itertools
import os
import random
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import gevent
import msgspec
from locust import User, constant, events, task

_API = os.environ["PERSONA_LOAD_API"]
_LIVE = os.environ["PERSONA_LOAD_LIVE"]
_SAMPLES = os.environ["PERSONA_LOAD_SAMPLES"]
_REQ, _SUB = 0x30, 0x21
_GREETING = struct.Struct(">4sHH")
_FRAME = struct.Struct(">BQ")
_ID = struct.Struct(">I")
_LAST = 0x80000000
"""The bit that marks the last number of a request's way."""
TIMEOUT_S = 5.0
AGAIN_S = 0.05
"""After a failure a user waits so long before it connects again."""
EVENTS_AN_APPEND = 1
LAG_EVERY_S = 0.01

_hooks: Any = events
"""Locust's own types say too little."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()
_numbers = itertools.count(1)
_samples: dict[str, list[float]] = {}
_failures: dict[str, int] = {}


class Peer:
    """A connection to one of the daemon's sockets."""

    def __init__(self, path: str, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(path)
        self._socket.sendall(_GREETING.pack(b"\0SP\0", protocol, 0))
        self._stream = self._socket.makefile("rb")
        if self._read(8)[:4] != b"\0SP\0":
            raise ConnectionError("that is no nng socket")

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        number = _ID.pack(_LAST | next(_numbers) & 0x7FFFFFFF)
        body = number + _encoder.encode(request)
        self._socket.sendall(_FRAME.pack(1, len(body)) + body)
        reply: dict[str, Any] = _decoder.decode(self.receive()[4:])
        if reply["type"] == "failure":
            raise RuntimeError(f"{reply['code']}: {reply['message']}")
        return reply

    def receive(self) -> bytes:
        _, size = _FRAME.unpack(self._read(_FRAME.size))
        return self._read(size)

    def _read(self, size: int) -> bytes:
        found = self._stream.read(size)
        if len(found) < size:
            raise ConnectionError("the daemon went away")
        return found

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class Client(User):
    """One user: mostly appends, sometimes asks."""

    wait_time = constant(0)
    _peer: Peer | None = None

    @task(8)
    def append(self) -> None:
        now_us = time.time_ns() // 1_000
        self._timed("append", lambda: {"type": "append", "events": _events(now_us)})

    @task(1)
    def history(self) -> None:
        self._timed("cost-history", lambda: {"type": "cost-history", "range": {"days": 7}})

    @task(1)
    def status(self) -> None:
        self._timed("hello", lambda: {"type": "hello"})

    def _timed(self, name: str, request: Callable[[], dict[str, Any]]) -> None:
        body = request()
        began = time.perf_counter()
        try:
            if self._peer is None:
                self._peer = Peer(_API, _REQ)
                began = time.perf_counter()
            self._peer.ask(body)
        except (OSError, RuntimeError, msgspec.DecodeError) as error:
            self._drop()
            _fire(name, began, error)
            gevent.sleep(AGAIN_S)
        else:
            _fire(name, began, None)

    def _drop(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def on_stop(self) -> None:
        self._drop()


def _events(now_us: int) -> list[dict[str, Any]]:
    at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_us // 10**6))}Z"
    milliseconds = now_us // 1_000
    return [
        {
            "type": "cost.recorded",
            "id": _uuid7(milliseconds),
            "at": at,
            "call": f"call-{random.getrandbits(64):016x}",
            "provider": "simulated",
            "model": f"model-{index % 3}",
            "operation": "generation",
            "outcome": "ok",
            "input_tokens": 4_000,
            "output_tokens": 900,
            "cost_nanousd": 0,
        }
        for index in range(EVENTS_AN_APPEND)
    ]


def _uuid7(milliseconds: int) -> str:
    low = 0x8000000000000000 | random.getrandbits(62)
    text = f"{milliseconds:012x}7{random.getrandbits(12):03x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _fire(name: str, began: float, error: Exception | None) -> None:
    _hooks.request.fire(
        request_type="nng",
        name=name,
        response_time=(time.perf_counter() - began) * 1_000,
        response_length=0,
        exception=error,
        context={},
    )


def _keep(name: str, response_time: float, exception: Exception | None, **_: Any) -> None:
    if exception is None:
        _samples.setdefault(name, []).append(response_time)
    else:
        _failures[name] = _failures.get(name, 0) + 1


def _begin(environment: Any, **_: Any) -> None:
    environment.persona_others = [gevent.spawn(_look_for_lag), gevent.spawn(_watch)]


def _look_for_lag() -> None:
    """How late a small question is answered that is asked at fixed times, whatever else goes on."""
    peer: Peer | None = None
    while True:
        gevent.sleep(LAG_EVERY_S)
        try:
            peer = peer or Peer(_API, _REQ)
            began = time.perf_counter()
            peer.ask({"type": "hello"})
            _samples.setdefault("lag", []).append((time.perf_counter() - began) * 1_000)
        except (OSError, RuntimeError, msgspec.DecodeError):
            _failures["lag"] = _failures.get("lag", 0) + 1
            peer = None


def _watch() -> None:
    """One that hears of every commit."""
    while True:
        try:
            peer = Peer(_LIVE, _SUB)
            while True:
                peer.receive()
                _samples.setdefault("frames", []).append(0.0)
        except OSError:
            gevent.sleep(AGAIN_S)


def _write(environment: Any, **_: Any) -> None:
    for other in getattr(environment, "persona_others", ()):
        other.kill()
    frames = len(_samples.pop("frames", ()))
    told = {"samples": _samples, "failures": _failures, "frames": frames}
    with open(_SAMPLES, "wb") as file:
        file.write(msgspec.json.encode(told))


_hooks.request.add_listener(_keep)
_hooks.test_start.add_listener(_begin)
_hooks.quitting.add_listener(_write)
