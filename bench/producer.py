"""A producer in a process of its own: `python -m bench.producer EVENTS EVENTS-A-REQUEST SEED`.

It prepares its requests, writes `ready`, waits for a line, sends them one after the other, each
after the one before was acknowledged, and writes when it began and ended (CLOCK_MONOTONIC, ns).
"""

import os
import sys
import time
from pathlib import Path

import msgspec
from persona.connection import Connection

from personad.contract.codec import encode, reply_codec
from personad.contract.events import Append, Appended
from personad.contract.paths import resolve_paths
from personad.contract.settings import load

from .events import costs

ANSWER_WITHIN_S = 30.0


def _run(count: int, at_once: int, seed: int) -> tuple[int, int]:
    settings = load(environ=os.environ, cwd=Path.cwd(), home=Path.home()).settings
    paths = resolve_paths(settings, ledger=None, environ=os.environ)
    events = list(costs(count, seed))
    requests = [
        encode(Append(events=list(events[n : n + at_once]))) for n in range(0, count, at_once)
    ]
    decode = reply_codec(Append).decode
    with Connection(paths.api_socket, ANSWER_WITHIN_S) as connection:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        began_ns = time.monotonic_ns()
        answers = [connection.request(request, ANSWER_WITHIN_S) for request in requests]
        ended_ns = time.monotonic_ns()
    for answer in answers:
        reply = decode(answer)
        if not isinstance(reply, Appended) or reply.duplicates or reply.anomalies:
            raise RuntimeError(f"not taken as it was sent: {reply}")
    return began_ns, ended_ns


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_run(*map(int, sys.argv[1:]))))
