"""Producers, one after the other, until stdin is closed: `… tests.chaos.spooler LEDGER FILE NAME`.

What was acknowledged to one, by the daemon or by its own spool, is noted in FILE, in order.
"""

import os
import random
import select
import sys
from pathlib import Path

from persona.client import Ledger
from persona.identity import event_id, now
from persona.spool import Recorder, Spool

from personad.contract.events import AnyEvent
from personad.contract.options import DEFAULTS
from personad.contract.paths import resolve_paths
from personad.contract.quality import GoalCleared

AT_ONCE = 20
RECORDS = 30
"""After so many the next producer begins, with a spool of its own."""
PAUSE_S = 0.02
NEXT = bytes(16)
"""Noted between one producer and the next: no event has this id."""


def main() -> int:
    paths = resolve_paths(DEFAULTS, ledger=sys.argv[1], environ=os.environ)
    notes = os.open(Path(sys.argv[2]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    rng = random.Random(sys.argv[3])
    while not select.select([0], [], [], PAUSE_S)[0]:
        with Ledger(paths, autostart=False, wait_s=2.0) as ledger:
            recorder = Recorder(ledger, Spool(paths.spool_dir), taken_s=0.2)
            for _ in range(RECORDS):
                made: list[AnyEvent] = [
                    GoalCleared(id=event_id(), at=now(), metric="m", producer=sys.argv[3])
                    for _ in range(rng.randrange(1, AT_ONCE))
                ]
                recorder.record(made)
                os.write(notes, b"".join(event.id.bytes for event in made))
            recorder.close()
        os.write(notes, NEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
