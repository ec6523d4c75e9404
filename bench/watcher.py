"""A watcher in a process of its own: notes when it knew what, by the clock that all share.

    python -m bench.watcher batch NAME    a real watch of a batch
    python -m bench.watcher bare PATH     nothing but a subscription, numbered messages

It writes `ready`, and at the end a JSON list of [number, nanoseconds of CLOCK_MONOTONIC].
"""

import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from persona.client import Ledger
from persona.watch import Watch

from personad.contract.batch import OPEN
from personad.contract.nng import Subscriber
from personad.contract.paths import resolve_paths
from personad.contract.settings import load

TOPIC = b"bare/"
END = b"end"
_LOOK_S = 1.0


def _batch(name: str) -> Iterator[tuple[int, int]]:
    """The batch's newest seq as of each change, until the batch has ended."""
    settings = load(environ=os.environ, cwd=Path.cwd(), home=Path.home()).settings
    paths = resolve_paths(settings, ledger=None, environ=os.environ)
    with Ledger(paths, autostart=False) as ledger, Watch(ledger, paths, name) as watch:
        _say(b"ready\n")
        while watch.state.status in OPEN:
            select.select([watch.fileno()], [], [], _LOOK_S)
            if watch.poll():
                yield watch.state.seq, time.monotonic_ns()


def _bare(path: str) -> Iterator[tuple[int, int]]:
    """The number that each message begins with, until one says that it was the last."""
    with Subscriber(path, (TOPIC,)) as subscriber:
        _say(b"ready\n")
        while True:
            select.select([subscriber.fileno()], [], [], _LOOK_S)
            while (message := subscriber.receive()) is not None:
                now_ns = time.monotonic_ns()
                word = message[len(TOPIC) :].split(maxsplit=1)[0]
                if word == END:
                    return
                yield int(word), now_ns


def _say(what: bytes) -> None:
    sys.stdout.buffer.write(what)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    kind, where = sys.argv[1:]
    _say(msgspec.json.encode(list(_batch(where) if kind == "batch" else _bare(where))))
