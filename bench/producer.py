"""A producer in a process of its own: `python -m bench.producer LOAD`, the load as JSON.

It prepares its requests, writes `ready`, waits for a line, sends them one after the other, each
after the one before was acknowledged, and writes as JSON when that was (CLOCK_MONOTONIC, ns).
"""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from personad.contract.codec import encode, reply_codec
from personad.contract.cost import CostRecorded
from personad.contract.events import Append, Appended
from personad.contract.paths import resolve_paths
from personad.contract.requester import Requester
from personad.contract.settings import load as settings_of

from .history import calls

ANSWER_WITHIN_S = 60.0


class Load(Struct, frozen=True, kw_only=True):
    """What one producer sends."""

    events: int
    at_once: int
    """A request."""
    seed: int
    over_ms: int
    """The stretch of time, up to now, over which the events happened."""
    priced: bool = True


class Sent(Struct, frozen=True):
    """When each request was answered; nanoseconds, in order."""

    answered_ns: list[int]


def events_of(load: Load) -> list[CostRecorded]:
    now, over = datetime.now(UTC), timedelta(milliseconds=load.over_ms)
    return list(calls(load.events, load.seed, now, over, priced=load.priced))


def _run(load: Load) -> Sent:
    settings = settings_of(environ=os.environ, cwd=Path.cwd(), home=Path.home()).settings
    paths = resolve_paths(settings, ledger=None, environ=os.environ)
    events = events_of(load)
    requests = [
        encode(Append(events=list(events[n : n + load.at_once])))
        for n in range(0, load.events, load.at_once)
    ]
    decode = reply_codec(Append).decode
    answers, answered_ns = [], []
    with Requester(paths.api_socket, ANSWER_WITHIN_S) as connection:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for request in requests:
            answers.append(connection.request(request, ANSWER_WITHIN_S))
            answered_ns.append(time.monotonic_ns())
    for answer in answers:
        reply = decode(answer)
        if not isinstance(reply, Appended) or reply.duplicates or reply.anomalies:
            raise RuntimeError(f"not taken as it was sent: {reply}")
    return Sent(answered_ns)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_run(msgspec.json.decode(sys.argv[1], type=Load))))
