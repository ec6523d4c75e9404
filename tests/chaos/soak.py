"""Eight hours of traffic as fast as it goes: `python -m tests.chaos.soak [events] [seed]`.

A hundred events a second for eight hours, pushed without the pauses: batches are planned, claimed
and made, producers spool, watchers come and go, people ask, and now and then nothing happens for a
few ticks. Memory, descriptors and the write-ahead log must be at the end what they were early on.
"""

import os
import random
import select
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from persona.identity import event_id
from persona.spool import Spool

from personad import launch
from personad.contract import batch as b
from personad.contract.admin import Hello, Status, StatusReply
from personad.contract.base import Event, Request
from personad.contract.codec import encode, reply_codec
from personad.contract.cost import CostRecorded, StartCall
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Append, Fence, Read
from personad.contract.nng import Subscriber
from personad.contract.paths import Paths
from personad.contract.quality import QualityScored
from personad.contract.requester import Requester
from tests.chaos.vitals import Vitals, ids, integrity, ledger, settled, vitals, wal_mib

EVENTS = 8 * 3_600 * 100
PERSONAS = 19
PRODUCERS = 2
PARTS = 10
"""So many times there is a pause, and a look at the daemon."""
TICKS = 2
"""How long a pause is."""
GROWTH_MIB = 24.0
"""From the end of the first part to that of the last; most of it is caches that fill up."""
WAL_MIB = 128.0
ANSWER_S = 60.0


@dataclass
class Outcome:
    """What the traffic came to."""

    sent: int = 0
    kept: int = 0
    lost: int = 0
    anomalies: int = 0
    quarantined: int = 0
    backlog: int = 0
    heard: int = 0
    """Frames that the watchers got."""
    asked: int = 0
    wrong: list[str] = field(default_factory=list)
    looks: list[Vitals] = field(default_factory=list)
    """One after each part, when everybody but the daemon had gone."""
    wal_mib: float = 0.0
    """The most that was ever seen."""
    integrity: str = ""

    @property
    def is_good(self) -> bool:
        faults = self.lost or self.anomalies or self.quarantined or self.backlog or self.wrong
        first, last = self.looks[0], self.looks[-1]
        flat = last.rss_mib <= first.rss_mib + GROWTH_MIB and last.descriptors <= first.descriptors
        bounded = flat and self.wal_mib <= WAL_MIB
        return not faults and bounded and self.sent == self.kept and self.integrity == "ok"


class Clock:
    """The simulated time: a hundredth of a second passes with every event."""

    def __init__(self, events: int) -> None:
        self._at = datetime.now(UTC) - timedelta(seconds=events / 100)

    def next(self) -> datetime:
        self._at += timedelta(milliseconds=10)
        return self._at


class Traffic:
    """What all threads share: where to send it, what was sent, when to stop."""

    def __init__(self, paths: Paths, outcome: Outcome) -> None:
        self.paths, self.outcome = paths, outcome
        self.done = threading.Event()
        self.lock = threading.Lock()
        self.spooled: set[UUID] = set()

    def sent(self, events: int) -> None:
        with self.lock:
            self.outcome.sent += events
            self.outcome.wal_mib = max(self.outcome.wal_mib, wal_mib(self.paths))

    def guarded(self, do: Callable[[], None]) -> Callable[[], None]:
        """Does it until the end; whatever goes wrong is told."""

        def run() -> None:
            try:
                do()
            except (LedgerError, OSError, ValueError) as error:
                self.outcome.wrong.append(f"{type(error).__name__}: {error}")

        return run


def ask(requester: Requester, request: Request[Any]) -> Any:
    reply = reply_codec(type(request)).decode(requester.request(encode(request), ANSWER_S))
    if isinstance(reply, Failure):
        raise LedgerError.of(reply)
    return reply


def produce(traffic: Traffic, events: int, clock: Clock, rng: random.Random) -> None:
    """Batches, one after the other, until so many events are sent; every tenth has a runner."""
    with Requester(traffic.paths.api_socket, 10) as requester:
        while events > 0:
            batch = f"batch-{event_id().hex}"
            made = story(batch, clock, rng)
            if rng.random() < 0.1:
                sent = _run(requester, batch, made)
            else:
                ask(requester, Append(events=made))  # type: ignore[arg-type]
                sent = len(made)
            traffic.sent(sent)
            events -= sent


def _run(requester: Requester, batch: str, events: list[Event]) -> int:
    """Appends a batch's events as its runner does; how many came of it."""
    ask(requester, Append(events=events[: PERSONAS + 1]))  # type: ignore[arg-type]
    claimed = ask(requester, b.Claim(batch=batch, runner="soak"))
    fence = claimed.fence
    asked = StartCall(
        call=f"{batch}-extra",
        batch=batch,
        provider="local",
        model="local",
        max_input_tokens=10,
        max_output_tokens=10,
        fence=fence,
    )
    ask(requester, asked)
    rest = Append(events=events[PERSONAS + 1 :], fence=Fence(batch=batch, fence=fence))  # type: ignore[arg-type]
    ask(requester, rest)
    ask(requester, b.Resign(batch=batch, runner="soak", fence=fence))
    return len(events) + 1


def story(batch: str, clock: Clock, rng: random.Random) -> list[Event]:
    """All that happens to a batch, from its plan to its end."""
    by = {"provider": "local", "model": f"model-{rng.randrange(4)}"}
    source = b.Source(path="/s", digest="d", files=1, bytes=1, records=1)
    events: list[Event] = [
        b.BatchStarted(
            id=event_id(),
            at=clock.next(),
            batch=batch,
            source=source,
            total=PERSONAS,
            concurrency=4,
            output="/o",
            prompt_digest="p",
            experiment=f"experiment-{rng.randrange(20)}",
            **by,
        )
    ]
    segment = b.SegmentRef(digest="d", record_ids=["a", "b"])
    for n in range(PERSONAS):
        of = {"batch": batch, "persona": f"p{n}"}
        events.append(
            b.PersonaQueued(id=event_id(), at=clock.next(), index=n + 1, segment=segment, **of)
        )
    for n in range(PERSONAS):
        events += _made({"batch": batch, "persona": f"p{n}"}, by, clock, rng)
    events.append(b.BatchFinished(id=event_id(), at=clock.next(), batch=batch, status="completed"))
    return events


def _made(of: dict[str, str], by: dict[str, str], clock: Clock, rng: random.Random) -> list[Event]:
    """One persona, its call and its scores."""
    score = rng.randrange(10_001) / 10_000
    return [
        b.PersonaGenerating(id=event_id(), at=clock.next(), attempt=1, **of),  # type: ignore[arg-type]
        cost(f"{of['batch']}-{of['persona']}", clock, rng, **of, **by),
        QualityScored(
            id=event_id(),
            at=clock.next(),
            scores={"coherence": score},
            composite=score,
            scorer="builtin/1",
            **of,  # type: ignore[arg-type]
            **by,
        ),
        b.PersonaCompleted(
            id=event_id(),
            at=clock.next(),
            attempt=1,
            name="N",
            duration_ms=rng.randrange(60_000),
            digest="d",
            composite=score,
            accepted=score > 0.75,
            **of,  # type: ignore[arg-type]
            **by,
        ),
    ]


def cost(
    call: str, clock: Clock, rng: random.Random, *, is_priced: bool = True, **more: str
) -> CostRecorded:
    return CostRecorded(
        id=event_id(),
        at=clock.next(),
        call=call,
        operation="generation",
        outcome="ok",
        input_tokens=rng.randrange(10_000),
        output_tokens=rng.randrange(4_000),
        cost_nanousd=rng.randrange(10**8) if is_priced else None,
        duration_ms=rng.randrange(60_000),
        **more,  # type: ignore[arg-type]
    )


def spool(traffic: Traffic, clock: Clock, rng: random.Random) -> None:
    """A producer that finds no daemon, again and again, for a few events each time."""
    while not traffic.done.is_set():
        with Spool(traffic.paths.spool_dir) as file:
            for _ in range(rng.randrange(1, 10)):
                event = cost(f"call-{event_id().hex}", clock, rng, provider="local", model="m")
                file.write([event])
                traffic.spooled.add(event.id)
                traffic.sent(1)
        traffic.done.wait(0.02)


def watch(traffic: Traffic, rng: random.Random) -> None:
    """Comes, listens a little or not at all, and goes."""
    while not traffic.done.is_set():
        topics = rng.choice([(b"all/",), (b"batch/",), (b"tick/",), (b"all/", b"batch/", b"tick/")])
        with Subscriber(str(traffic.paths.live_socket), topics) as subscriber:
            for _ in range(rng.randrange(30)):
                traffic.done.wait(0.005)
                traffic.outcome.heard += subscriber.receive() is not None


def question(traffic: Traffic, rng: random.Random) -> None:
    """Asks what people ask, half of the time as a new client."""
    requester = Requester(traffic.paths.api_socket, 10)
    while not traffic.done.is_set():
        asked: list[Request[Any]] = [Hello(), Status(), b.BatchList(limit=20)]
        last_seq = ask(requester, asked[0]).last_seq
        asked.append(Read(after_seq=rng.randrange(last_seq + 1), limit=50))
        ask(requester, rng.choice(asked))
        traffic.outcome.asked += 2
        if rng.random() < 0.5:
            requester.close()
            requester = Requester(traffic.paths.api_socket, 10)
    requester.close()


def part(traffic: Traffic, events: int, clock: Clock, seed: str) -> None:
    """Everybody at once, until the producers have sent so many events."""
    traffic.done.clear()
    chance = [random.Random(f"{seed}-{n}") for n in range(PRODUCERS + 5)]
    producers = [
        lambda rng=rng: produce(traffic, events // PRODUCERS, clock, rng)
        for rng in chance[:PRODUCERS]
    ]
    others = [
        lambda: spool(traffic, clock, chance[-1]),
        lambda: question(traffic, chance[-2]),
        *(lambda rng=rng: watch(traffic, rng) for rng in chance[-5:-2]),
    ]
    producing = [threading.Thread(target=traffic.guarded(each)) for each in producers]
    beside = [threading.Thread(target=traffic.guarded(each)) for each in others]
    for thread in (*producing, *beside):
        thread.start()
    for thread in producing:
        thread.join()
    traffic.done.set()
    for thread in beside:
        thread.join()


def idle(traffic: Traffic) -> StatusReply:
    """Nothing happens for some ticks, but that the spools are taken in."""
    at = datetime.now(UTC)
    source = b.Source(path="/s", digest="d", files=1, bytes=1, records=1)
    batch = f"batch-{event_id().hex}"
    of = {"at": at, "batch": batch, "provider": "local", "model": "local"}
    opened = b.BatchStarted(
        id=event_id(),
        source=source,
        total=1,
        concurrency=1,
        output="/o",
        prompt_digest="p",
        **of,  # type: ignore[arg-type]
    )
    launch.ask(traffic.paths, Append(events=[opened]), ANSWER_S)
    ticks = 0
    with Subscriber(str(traffic.paths.live_socket), (b"tick/",)) as subscriber:
        while ticks < TICKS:
            heard, _, _ = select.select([subscriber], [], [], ANSWER_S)
            if not heard:
                raise AssertionError(f"no tick in {ANSWER_S:g} s")
            ticks += subscriber.receive() is not None
    closed = b.BatchFinished(id=event_id(), at=at, batch=batch, status="cancelled")
    launch.ask(traffic.paths, Append(events=[closed]), ANSWER_S)
    traffic.sent(2)
    while (status := launch.ask(traffic.paths, Status(), ANSWER_S)).spool_backlog:
        pass
    return status


def soak(data_dir: Path, events: int, seed: int, parts: int = PARTS) -> Outcome:
    """Sends so many events to the daemon of a ledger in `data_dir`, with so many pauses."""
    outcome, clock = Outcome(), Clock(events)
    with ledger(data_dir) as (paths, pid):
        at_rest = vitals(pid).descriptors
        traffic = Traffic(paths, outcome)
        for number in range(parts):
            part(traffic, events // parts, clock, f"{seed}-{number}")
            status = idle(traffic)
            outcome.looks.append(settled(pid, at_rest))
            at_rest = outcome.looks[0].descriptors
    outcome.kept, outcome.anomalies = status.last_seq, status.anomalies
    outcome.quarantined, outcome.backlog = status.quarantined, status.spool_backlog
    outcome.lost = len(traffic.spooled - ids(paths))
    outcome.integrity = integrity(paths)
    return outcome


def main() -> int:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{events:,} events, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        outcome = soak(Path(folder) / "L", events, seed)
    print(outcome)
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
