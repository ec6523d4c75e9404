"""A ledger of its own for each test, and a stand-in where a real daemon can't be what is needed."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from persona.autostart import wait_until_released
from persona.client import Ledger
from persona.identity import event_id, now, persona_id

from personad.contract.admin import Hello, Stop, Welcome
from personad.contract.base import PROTOCOL, VERSION, Done, Reply
from personad.contract.batch import BatchStarted, PersonaQueued, SegmentRef, Source
from personad.contract.codec import codec, encode
from personad.contract.errors import LedgerError
from personad.contract.events import check_request
from personad.contract.options import DEFAULTS
from personad.contract.paths import Paths, resolve_paths
from personad.contract.schema import AnyRequest
from personad.replier import Closed, Replier

Answer = Callable[[Any], Reply | bytes | None]


@pytest.fixture
def paths(house: Path) -> Iterator[Paths]:
    """Where the test's ledger is; a daemon that the test leaves behind is stopped."""
    found = resolve_paths(DEFAULTS, ledger=None, environ=os.environ)
    yield found
    with suppress(LedgerError), Ledger(found, autostart=False) as ledger:
        ledger.ask(Stop())
    wait_until_released(found, 10)


@pytest.fixture
def ledger(paths: Paths) -> Iterator[Ledger]:
    with Ledger(paths) as found:
        yield found


@pytest.fixture
def started(ledger: Ledger) -> Ledger:
    """With a batch of three personas that nobody has begun."""
    queued = [
        PersonaQueued(
            id=event_id(),
            at=now(),
            batch="batch-a",
            persona=persona_id("batch-a", index),
            index=index,
            segment=SegmentRef(digest="d", record_ids=[]),
        )
        for index in range(1, 4)
    ]
    ledger.append([batch_started("batch-a"), *queued])
    return ledger


def welcome(version: str = VERSION, *, autostarted: bool = True) -> Welcome:
    return Welcome(
        protocol=PROTOCOL,
        version=version,
        pid=os.getpid(),
        ledger="ledger",
        last_seq=0,
        autostarted=autostarted,
    )


class Peer:
    """Another process's end of the request socket, as a thread: real bytes, scripted answers.

    `answer` gives a reply, raw bytes, None for silence, or raises `Closed` to go away at once.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.asked: list[Any] = []
        self._answer = answer
        self._codec = codec(AnyRequest, check_request)
        self._replier = Replier(str(path))
        self._closed = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):  # It may have gone away by itself.
            self._replier.interrupt()
        self._thread.join()

    def _serve(self) -> None:
        with closing(self._replier), suppress(Closed):
            while True:
                incoming = self._replier.receive()
                request = self._codec.decode(incoming.body)
                self.asked.append(request)
                reply = self._answer(request)
                if reply is not None:
                    body = reply if isinstance(reply, bytes) else encode(reply)
                    self._replier.reply(incoming, body)


Serve = Callable[[Answer], Peer]


@pytest.fixture
def peer(paths: Paths) -> Iterator[Serve]:
    made: list[Peer] = []

    def make(answer: Answer) -> Peer:
        made.append(Peer(paths.api_socket, answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


def polite(rest: Answer, version: str = VERSION, *, autostarted: bool = True) -> Answer:
    """Greets, and leaves everything else to `rest`."""

    def answer(request: Any) -> Reply | bytes | None:
        if isinstance(request, Hello):
            return welcome(version, autostarted=autostarted)
        return rest(request)

    return answer


def done(_: Any) -> Done:
    return Done()


def batch_started(batch: str, total: int = 3) -> BatchStarted:
    return BatchStarted(
        id=event_id(),
        at=now(),
        batch=batch,
        source=Source(path="/data", digest="d", files=1, bytes=1, records=1),
        total=total,
        provider="local",
        model="local",
        concurrency=2,
        output="/out",
        prompt_digest="p",
    )
