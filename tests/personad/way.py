"""What large appends go through, in tests: the way by the other process, and a thread at its end
that waits and takes as the writer does."""

import os
import signal
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from personad.bell import Bell
from personad.contract.codec import codec, encode
from personad.contract.events import Append
from personad.jobs import Job, Unread
from personad.preparing import MANY, Preparing
from personad.replier import Incoming
from personad.store import open_for_writing
from personad.transaction import Ready

from .facts import cost

_calls = count()
WITHIN_S = 30.0


def bills(number: int = 80) -> bytes:
    return encode(Append(events=[cost(f"call-{next(_calls)}") for _ in range(number)]))


class Way:
    """What is sent on the way, and what arrives at its end, where a thread waits as the writer
    does."""

    def __init__(self, house: Path) -> None:
        self.database = house / "l.db"
        open_for_writing(str(self.database)).close()
        self.arrived: list[tuple[bytes, str]] = []
        """Of which client, and as what."""
        self.counts: list[int] = []
        """Of how many events what arrived prepared is."""
        self.read: list[bytes] = []
        self._some = threading.Condition(threading.RLock())
        self._bell = Bell()
        self._has_ended = False
        self.preparing = Preparing(
            self.database,
            read=self._read,
            put=self._put,
            wake=self._bell.ring,
            append_of=codec(Append).decode,
        )
        self.preparing.start()
        self._writer = threading.Thread(target=self._take)
        self._writer.start()

    def close(self) -> None:
        self.preparing.hand_over()
        self.end_writing()
        self.preparing.close()
        self._bell.close()

    def end_writing(self) -> None:
        """From now on nobody takes what was made."""
        self._has_ended = True
        self._bell.ring()
        self._writer.join()

    def _take(self) -> None:
        while not self._has_ended:
            with self._some:
                for job in self.preparing.take():
                    self._put(job)
            if self._bell.wait(self.preparing.awaited()):
                self.preparing.notice()

    def _read(self, job: Job) -> Job | None:
        assert type(job.request) is Unread
        self.read.append(job.request.incoming.body)
        return Job(Append(events=[]), job.size_bytes, job.answer, job.client)

    def _put(self, job: Job) -> None:
        with self._some:
            self.arrived.append((job.client, type(job.request).__name__))
            if isinstance(job.request, Ready):
                self.counts.append(job.request.prepared.count)
            self._some.notify_all()

    def send(self, body: bytes, client: bytes = b"a") -> None:
        incoming = Incoming(None, b"", body)  # type: ignore[arg-type]
        self.preparing.follow(Job(Unread(incoming), len(body), lambda _: None, client))

    def follow(self, client: bytes = b"a") -> None:
        self.preparing.follow(Job(Append(events=[]), 100, lambda _: None, client))

    def wait(self, number: int) -> list[str]:
        """What has arrived once it is so many."""
        with self._some:
            assert self._some.wait_for(lambda: len(self.arrived) >= number, WITHIN_S)
            return [kind for _, kind in self.arrived]

    def begin(self) -> int:
        """Has the process begin; its number."""
        body = bills()
        with self.preparing._changed:
            for _ in range(MANY):
                assert not self.preparing.takes(body)
            assert self.preparing._changed.wait_for(lambda: self.pid is not None, WITHIN_S)
        assert self.pid is not None
        return self.pid

    def begin_stopped(self) -> int:
        """The same of one that stands still from then on."""
        pid = self.begin()
        os.kill(pid, signal.SIGSTOP)
        return pid

    @property
    def pid(self) -> int | None:
        process = self.preparing._process
        return None if process is None else process.pid


def gone(way: Way) -> None:
    ended(way, lambda: way.pid is None)


def ended(way: Way, condition: Callable[[], Any]) -> None:
    """Waits for what the other thread does."""
    with way.preparing._changed:
        assert way.preparing._changed.wait_for(condition, WITHIN_S)
