"""Writes a ledger on a disk that fails: `python -m tests.chaos.disk_faults [scripts] [seed]`.

The real writer, over scripts of faults made at random. After every script the ledger is looked at
twice: as it is after a clean close, and as a power cut would have left it at some moment. Both
times everything that was acknowledged before is there, once, and the rows are those that a fresh
fold of the log gives.
"""

import logging
import random
import sys
import tempfile
import threading
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import apsw

from personad import carrying, names
from personad.contract.base import Reply
from personad.contract.codec import encode
from personad.contract.errors import Failure, LedgerError
from personad.contract.events import Append, Appended
from personad.jobs import Job, Trial
from personad.log import read
from personad.preparer import Preparer
from personad.store import open_for_writing
from personad.transaction import Ready
from personad.trouble import Health
from personad.writer import Writer
from tests.faulty_disk import Fault, checkpoint, faulty
from tests.ledgers import UTC, damage_of
from tests.personad.facts import cost, planned

ROUNDS = 30
WITHIN_S = 60.0


@dataclass
class Outcome:
    """What one script came to."""

    acknowledged: set[UUID] = field(default_factory=set)
    refused: int = 0
    faults: list[Fault] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Empty is what was promised."""


class Kitchen:
    """Prepares appends, as another process would; what it knows of words is copied from the ledger,
    as nothing beside the writer may meet the faults that are meant for him."""

    def __init__(self) -> None:
        self._words = apsw.Connection(":memory:")
        self._words.execute(names.SCHEMA)
        self._preparer = Preparer(self._words)
        self._made: dict[UUID, Ready] = {}
        """By the first event of each."""

    def ready(self, request: Append) -> Append | Ready:
        """The append as it was prepared first, however often it is sent."""
        key = request.events[0].id
        if key not in self._made:
            made = self._preparer.prepare(encode(request))
            if made is None:
                return request
            self._made[key] = Ready(made, lambda: request)
        return self._made[key]

    def learn(self, db: apsw.Connection) -> None:
        with suppress(apsw.Error):
            rows = [*db.execute("SELECT key, text FROM word")]
            self._words.executemany("INSERT OR REPLACE INTO word VALUES (?, ?)", rows)


class Producer:
    """Sends costs through a writer, and sends again what was not acknowledged."""

    def __init__(
        self, writer: Writer, outcome: Outcome, rng: random.Random, kitchen: Kitchen | None
    ) -> None:
        self._writer = writer
        self._outcome = outcome
        self._rng = rng
        self._kitchen = kitchen
        self._open: list[Append] = [Append(events=planned())]  # type: ignore[arg-type]
        self._number = 0

    def go_on(self) -> None:
        """A few requests at once, new ones and those of before."""
        for _ in range(self._rng.randrange(1, 4)):
            self._number += 1
            calls = [f"call-{self._number}-{n}" for n in range(self._rng.randrange(1, 60))]
            self._open.append(Append(events=[cost(call) for call in calls]))
        self._send()

    def end(self) -> None:
        """The disk is well again: now everything has to be taken."""
        ask(self._writer, Trial())
        self._send()
        if self._open:
            self._outcome.wrong.append(f"{len(self._open)} are refused by a disk that is well")

    def _send(self) -> None:
        replies: list[Reply | None] = []
        done = threading.Semaphore(0)

        def answer(reply: Reply | None) -> None:
            replies.append(reply)
            done.release()

        kitchen = self._kitchen
        if kitchen is not None:
            self._writer.between(kitchen.learn)
        for request in self._open:
            sent = request if kitchen is None else kitchen.ready(request)
            self._writer.submit(Job(sent, 100, answer))
        for _ in self._open:
            if not done.acquire(timeout=WITHIN_S):
                raise AssertionError("the writer doesn't answer")
        left = []
        for request, reply in zip(self._open, replies, strict=True):
            if isinstance(reply, Appended):
                self._outcome.acknowledged |= {event.id for event in request.events}
                continue
            left.append(request)
            self._outcome.refused += 1
            if not isinstance(reply, Failure) or reply.code != "unavailable":
                self._outcome.wrong.append(f"a fault of the disk is answered {reply}")
        self._open = left


def ask(writer: Writer, request: Trial | None) -> None:
    """Goes through the queue, behind what is in it."""
    done = threading.Event()
    writer.submit(Job(request, 0, lambda _: done.set()))
    if not done.wait(WITHIN_S):
        raise AssertionError("the writer doesn't answer")


def random_script(rng: random.Random) -> list[Fault]:
    """A few faults in the operations to come."""
    script = []
    for _ in range(rng.randrange(1, 4)):
        operation = rng.choice(("write", "write", "sync", "sync", "read"))
        kind = rng.choice(("full", "short", "broken")) if operation == "write" else "broken"
        reach = {"write": 60, "sync": 8, "read": 10}[operation]
        times = rng.choice((1, 1, 2, 10))
        script.append(Fault(operation, rng.randrange(1, reach), kind, times))  # type: ignore[arg-type]
    return script


def run(
    folder: Path,
    rng: random.Random,
    scripts: list[list[Fault]] | None = None,
    *,
    are_prepared: bool = False,
) -> Outcome:
    """Writes a ledger in `folder`, under these scripts one after the other, or random ones."""
    outcome = Outcome()
    cut: set[UUID] = set()
    with faulty(rng) as disk:
        db = open_for_writing(str(folder / "ledger.db"))
        db.pragma("wal_autocheckpoint", 0)
        writer = Writer(db, zone=UTC, publish=lambda *_: lambda: None, health=Health())
        writer.start()
        producer = Producer(writer, outcome, rng, Kitchen() if are_prepared else None)
        producer.go_on()
        planned_rounds = ROUNDS if scripts is None else len(scripts)
        cut_at = rng.randrange(planned_rounds)
        for number in range(planned_rounds):
            disk.plan(random_script(rng) if scripts is None else scripts[number])
            producer.go_on()
            if rng.random() < 0.3:
                writer.between(checkpoint)
            ask(writer, Trial())
            if number == cut_at:
                cut = set(outcome.acknowledged)
                writer.between(lambda _: disk.cut_power(folder / "cut"))
        disk.plan([])
        producer.end()
        writer.drain()
        db.close()
        outcome.faults = disk.failed
    outcome.wrong += examine(folder / "ledger.db", outcome.acknowledged, "after a clean close")
    outcome.wrong += examine(folder / "cut" / "ledger.db", cut, "after a power cut")
    return outcome


def examine(path: Path, acknowledged: set[UUID], when: str) -> list[str]:
    """What is wrong with a ledger that has to hold these events."""
    try:
        with closing(open_for_writing(str(path))) as db:
            kept = list(read(db, limit=10_000_000))
            integrity = str(db.execute("PRAGMA integrity_check").get)
    except (apsw.CorruptError, LedgerError) as error:
        return [f"{when} it can't be read: {error}"]
    found = Counter(each.event.id for each in kept)
    wrong = []
    if lost := len(acknowledged - found.keys()):
        wrong.append(f"{when} {lost} acknowledged events are lost")
    if twice := sum(times > 1 for times in found.values()):
        wrong.append(f"{when} {twice} events are there twice")
    if [each.seq for each in kept] != list(range(1, len(kept) + 1)):
        wrong.append(f"{when} the numbers have gaps")
    if integrity != "ok":
        wrong.append(f"{when}: {integrity}")
    if damage := damage_of(path):
        wrong.append(f"{when} {damage}")
    return wrong


def main() -> int:
    scripts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    logging.disable(logging.CRITICAL)
    print(f"{scripts} ledgers on a disk that fails, seed {seed}", flush=True)
    # So often that what carries the write-ahead log over meets faults, too.
    carrying.PAGES = 40
    bad = faults = acknowledged = 0
    for number in range(scripts):
        with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as folder:
            rng = random.Random(seed + number)
            outcome = run(Path(folder), rng, are_prepared=number % 2 == 1)
        faults += len(outcome.faults)
        acknowledged += len(outcome.acknowledged)
        if outcome.wrong:
            bad += 1
            print(f"seed {seed + number}: {outcome.wrong}", flush=True)
    print(f"{acknowledged} events acknowledged over {faults} faults; {bad} ledgers were wrong")
    return 1 if bad or not faults else 0


if __name__ == "__main__":
    sys.exit(main())
