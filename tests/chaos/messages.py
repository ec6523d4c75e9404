"""Random and mutated messages on both sockets: `python -m tests.chaos.messages [messages] [seed]`.

Askers send what is damaged in every way and must get an answer to each; strangers speak no protocol
at all, or begin to and stop; and a witness goes on asking and appending as one should. In the end
the daemon is the same process, holds no more memory and descriptors than after a tenth of the
messages, and the ledger has whatever the witness was acknowledged.
"""

import os
import random
import socket
import sys
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from personad import launch
from personad.contract.admin import Hello, Retention, Status
from personad.contract.base import Request
from personad.contract.batch import BatchList
from personad.contract.codec import codec, encode, reply_codec
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Append, Read, check_request
from personad.contract.forecast import CostForecast
from personad.contract.optimise import CostOptimise
from personad.contract.paths import Paths
from personad.contract.prices import PriceList
from personad.contract.quality import GoalCleared, QualityTrends
from personad.contract.requester import Gone, Requester, Silent
from personad.contract.schema import EVENTS, REQUESTS, AnyRequest, tag
from personad.kinds import moment_of
from tests.chaos import shapes
from tests.chaos.vitals import Vitals, ids, integrity, ledger, settled, vitals

ASKERS = 2
STRANGE = 0.05
"""The share of messages that speak no protocol, or leave in the middle of it."""
GROWTH_MIB = 32.0
"""What memory may grow by over all messages: the caches of four connections to the database, of
8 MiB each, fill up as the ledger grows, and nothing else does."""
FIRST = (QualityTrends(), PriceList(), CostForecast(), CostOptimise(), Retention())
"""They load libraries (numpy, the price list) into the daemon: what is loaded once is no leak. Nor
is a file that SQLite, which may not close it beside others, keeps for the next connection: that of
retention, which the daemon does by itself in the first quiet moment after a minute."""
ANSWER_S = 60.0
HELD = 24
QUESTIONS: tuple[Request[Any], ...] = (Hello(), Status(), BatchList(limit=5), Read(limit=5))
AT = moment_of(1_790_000_000_000_000)
NOT_TO_BE_DONE = {"stop", "backup", "restore", "rebuild", "retention", "verify"}
"""Whole requests of these would end the daemon, or keep it busy with something else."""

_REQUEST = codec(AnyRequest, check_request)
_PEERS = {"req": b"\x00SP\x00\x00\x30\x00\x00", "sub": b"\x00SP\x00\x00\x21\x00\x00"}
"""What those who may connect say first; see the Scalability Protocols' mapping for TCP."""


@dataclass
class Outcome:
    """What came of it."""

    sent: int = 0
    unanswered: int = 0
    internal: list[str] = field(default_factory=list)
    """Mistakes of the daemon's own that a message brought about."""
    answers: Counter[str] = field(default_factory=Counter)
    asked_well: int = 0
    unheard: list[str] = field(default_factory=list)
    """What the witness was not answered, or was answered wrong."""
    lost: int = 0
    same_process: bool = False
    before: Vitals | None = None
    after: Vitals | None = None
    integrity: str = ""

    @property
    def is_good(self) -> bool:
        if self.before is None or self.after is None:
            return False
        faults = self.unanswered or self.internal or self.unheard or self.lost
        flat = (
            self.after.rss_mib <= self.before.rss_mib + GROWTH_MIB
            and self.after.descriptors <= self.before.descriptors
            # One may be at what a message asked for; more of them would be a leak.
            and self.after.threads <= self.before.threads + 1
        )
        alive = self.same_process and self.asked_well > 0
        return not faults and flat and alive and self.integrity == "ok"


def message(rng: random.Random) -> bytes:
    """One that may or may not mean something, and does no harm where it does."""
    while True:
        body = _message(rng)
        try:
            if tag(type(_REQUEST.decode(body))) in NOT_TO_BE_DONE:
                continue
        except LedgerError:
            pass
        return body


def _message(rng: random.Random) -> bytes:
    drawn = rng.random()
    if drawn < 0.002:
        return shapes.oversize(rng)
    if drawn < 0.2:
        return shapes.junk(rng)
    whole = shapes.whole(rng.choice(REQUESTS), rng)
    if whole["type"] == "append":
        # Chance would seldom draw each of the many kinds.
        whole["events"] = [shapes.whole(rng.choice(EVENTS), rng) for _ in range(rng.randrange(4))]
    if drawn < 0.6:
        return shapes.written(shapes.damaged(whole, rng), rng)
    body = shapes.written(whole, rng)
    return shapes.mangled(body, rng) if drawn < 0.95 else body


class Asker(threading.Thread):
    """Sends so many messages, and wants an answer to each."""

    def __init__(self, paths: Paths, count: int, rng: random.Random, outcome: Outcome) -> None:
        super().__init__(name="asker")
        self._path, self._count, self._rng = paths.api_socket, count, rng
        self._outcome = outcome

    def run(self) -> None:
        requester = Requester(self._path, ANSWER_S)
        for _ in range(self._count):
            body = message(self._rng)
            try:
                answer = requester.request(body, ANSWER_S)
            except (Gone, Silent):
                self._outcome.unanswered += 1
                requester.close()
                requester = Requester(self._path, ANSWER_S)
                continue
            self._take(body, answer)
        requester.close()

    def _take(self, body: bytes, answer: bytes) -> None:
        reply = (
            msgspec.json.decode(answer) if answer[:1] == b"{" else msgspec.msgpack.decode(answer)
        )
        kind = str(reply["code"] if reply["type"] == "failure" else reply["type"])
        self._outcome.answers[kind] += 1
        if kind == "internal":
            self._outcome.internal.append(f"{reply['message']}: {body[:300]!r}")


class Stranger(threading.Thread):
    """Connects so many times, and behaves worse each time."""

    def __init__(self, paths: Paths, count: int, rng: random.Random) -> None:
        super().__init__(name="stranger")
        self._paths, self._count, self._rng = paths, count, rng
        self._held: deque[socket.socket] = deque()

    def run(self) -> None:
        for _ in range(self._count):
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(ANSWER_S)
            is_api = self._rng.random() < 0.7
            plain.connect(str(self._paths.api_socket if is_api else self._paths.live_socket))
            with suppress(BrokenPipeError, ConnectionResetError):
                plain.sendall(self._words("req" if is_api else "sub"))
            self._leave(plain)
        while self._held:
            self._held.popleft().close()

    def _leave(self, plain: socket.socket) -> None:
        """At once, or after many others; what it is told it never reads."""
        if self._rng.random() < 0.8:
            plain.close()
            return
        self._held.append(plain)
        if len(self._held) > HELD:
            self._held.popleft().close()

    def _words(self, peer: str) -> bytes:
        rng, hello = self._rng, _PEERS[peer]
        noise = rng.randbytes(rng.choice([0, 1, 7, 8, 9, 100, 5_000]))
        length = rng.choice([0, 3, 4, 2**20, 2**40, 2**64 - 1]).to_bytes(8, "big")
        hops = b"".join(rng.getrandbits(31).to_bytes(4, "big") for _ in range(rng.randrange(20)))
        asked = [_frame(b"\x80\x00\x00\x07", message(rng)) for _ in range(rng.randrange(1, 40))]
        return rng.choice(
            [
                noise,
                hello[: rng.randrange(8)],
                hello[:5] + rng.randbytes(3) + noise,
                hello + noise,
                hello + b"\x01" + length + noise,
                hello + _frame(hops, noise),
                hello + _frame(hops + b"\x80\x00\x00\x01", message(rng)),
                hello + b"".join(asked),
                hello + b"".join(asked)[: rng.randrange(2_000)],
            ]
        )


def _frame(header: bytes, body: bytes) -> bytes:
    return b"\x01" + (len(header) + len(body)).to_bytes(8, "big") + header + body


class Witness(threading.Thread):
    """Asks and appends as one should, partly over a connection of its own each time."""

    def __init__(self, paths: Paths, outcome: Outcome) -> None:
        super().__init__(name="witness")
        self.done = threading.Event()
        self.acknowledged: set[UUID] = set()
        self._paths, self._outcome = paths, outcome

    def run(self) -> None:
        with Requester(self._paths.api_socket, ANSWER_S) as kept:
            while not self.done.is_set():
                self._append(kept)
                for asked in QUESTIONS:
                    self._try(partial(launch.ask, self._paths, asked, ANSWER_S))

    def _append(self, kept: Requester) -> None:
        event = GoalCleared(id=uuid4(), at=AT, metric="witness")

        def append() -> None:
            answer = kept.request(encode(Append(events=[event])), ANSWER_S)
            reply = reply_codec(Append).decode(answer)
            if isinstance(reply, Failure):
                raise LedgerError.of(reply)
            self.acknowledged.add(event.id)

        self._try(append)

    def _try(self, do: Callable[[], object]) -> None:
        self._outcome.asked_well += 1
        try:
            do()
        except (LedgerError, Gone, Silent) as error:
            self._outcome.unheard.append(f"{type(error).__name__}: {error}")


def storm(data_dir: Path, messages: int, seed: int) -> Outcome:
    """Sends so many messages to the daemon of a ledger in `data_dir`."""
    outcome = Outcome()
    with ledger(data_dir) as (paths, pid):
        idle = vitals(pid)
        acknowledged = _send(paths, messages // 10, f"{seed}-first", outcome)
        for request in FIRST:
            launch.ask(paths, request, timeout_s=30)
        outcome.before = settled(pid, idle.descriptors)
        acknowledged |= _send(paths, messages - messages // 10, f"{seed}-then", outcome)
        outcome.after = settled(pid, outcome.before.descriptors)
        outcome.same_process = launch.ask(paths, Hello(), timeout_s=10).pid == pid
    outcome.integrity = integrity(paths)
    outcome.lost = len(acknowledged - ids(paths))
    return outcome


def _send(paths: Paths, messages: int, seed: str, outcome: Outcome) -> set[UUID]:
    """Sends them from all sides at once; the ids that the witness was acknowledged."""
    strange = round(messages * STRANGE)
    each = (messages - strange) // ASKERS
    witness = Witness(paths, outcome)
    senders: list[threading.Thread] = [
        *(Asker(paths, each, random.Random(f"{seed}-{n}"), outcome) for n in range(ASKERS)),
        Stranger(paths, strange, random.Random(f"{seed}-stranger")),
    ]
    witness.start()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    witness.done.set()
    witness.join()
    outcome.sent += strange + ASKERS * each
    return witness.acknowledged


def main() -> int:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{messages:,} messages, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        outcome = storm(Path(folder) / "L", messages, seed)
    print(outcome)
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
