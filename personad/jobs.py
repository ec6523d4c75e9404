"""What the writer is asked for, and the lines in which that waits."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from personad.contract.base import Reply, Request
from personad.contract.events import AnyEvent
from personad.replier import Incoming
from personad.transaction import Ready

GROUP_REQUESTS = 512
GROUP_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Expiry:
    """Look whether this batch's lease has run out."""

    batch: str


@dataclass(frozen=True, slots=True)
class Trial:
    """Look whether the ledger can be written again."""


@dataclass(frozen=True, slots=True)
class Note:
    """What the daemon itself has to put down."""

    events: Sequence[AnyEvent]


@dataclass(frozen=True, slots=True)
class Unread:
    """A request that nobody has looked into yet, and that only then becomes the writer's."""

    incoming: Incoming


@dataclass(frozen=True, slots=True)
class Job:
    """A request that changes the ledger; `None` only comes back, as the watchdog asks."""

    request: Request[Any] | Ready | Unread | Expiry | Trial | Note | None
    size_bytes: int
    answer: Callable[[Reply | None], None]
    """Called once, after the commit, by whoever did it."""
    client: bytes = b""
    """Whose it is: clients take turns."""


class Source(Protocol):
    """Where jobs come from that nobody submits."""

    def take(self) -> list[Job]:
        """Those that are there."""

    def awaited(self) -> int | None:
        """The file from which there is something to be read as soon as there are more; None: he
        will be woken."""

    def notice(self) -> None:
        """There is something to be read from it."""


class Queue:
    """What waits, a line for each client; clients take turns, so none can keep the others out."""

    def __init__(self) -> None:
        self._lines: dict[bytes, deque[Job]] = {}
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def put(self, job: Job) -> None:
        self._lines.setdefault(job.client, deque()).append(job)
        self.bytes += job.size_bytes

    def take(self, most: int = GROUP_REQUESTS) -> list[Job]:
        """The next group, of no more than so many."""
        group: list[Job] = []
        size = 0
        while self._lines and len(group) < most and size < GROUP_BYTES:
            client, line = next(iter(self._lines.items()))
            job = line.popleft()
            del self._lines[client]
            if line:
                self._lines[client] = line
            size += job.size_bytes
            group.append(job)
        self.bytes -= size
        return group
