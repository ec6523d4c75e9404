"""How fast every table is folded anew from a large ledger, and what that does to questions."""

import os
import sys
import time

import apsw

from personad import log
from personad.contract.admin import Status

from .asking import PAUSE_S, QUESTIONS, asked
from .figure import Figure
from .house import PROGRAMS, daemon
from .large import EVENTS, Large, ledger_of
from .sampling import percentile

REBUILT = EVENTS if "PERSONA_BENCH_CACHE" in os.environ else min(EVENTS, 2_000_000)
"""Ten million take four minutes to be made, and where they aren't kept, that is for this alone."""
RATE, ANSWER_MS = 100_000, 50.0
_READ = 1_000_000
"""Events of the bare loop that reads."""


def measure() -> list[Figure]:
    _tell(f"a ledger of {REBUILT:,} events is made, or copied from the cache")
    with ledger_of(REBUILT) as it:
        return _measured(it)


def _measured(it: Large) -> list[Figure]:
    _tell("its events are read")
    bare = _bare_read(it)
    usual = [each for each in QUESTIONS if not each.by_experiment]
    with daemon(it.house), it.house.ledger() as ledger:
        answers = asked(ledger, it, usual, pause_s=PAUSE_S)
        for _ in usual:
            next(answers)
        events = ledger.ask(Status()).last_seq
        _tell("every table is folded anew, and questions are asked meanwhile")
        began = time.perf_counter()
        rebuild = it.house.spawn([str(PROGRAMS / "personad"), "rebuild"], stderr=None)
        meanwhile = []
        while rebuild.poll() is None:
            meanwhile.append(next(answers)[1])
        took_s = time.perf_counter() - began
    if rebuild.returncode:
        raise RuntimeError(f"`personad rebuild` ended with {rebuild.returncode}; it said why above")
    rate = events / took_s
    return [
        Figure(
            name=f"rebuild, {events:,} events",
            value=rate,
            limit=RATE,
            at_least=True,
            unit="/s",
            peer=f"a bare loop that reads them: {bare:,.0f} /s, {rate / bare:.2f} ×",
            detail=f"`personad rebuild`, {took_s:.1f} s from its start to its end, every table",
        ),
        Figure(
            name="questions meanwhile, the slowest",
            value=max(meanwhile),
            limit=ANSWER_MS,
            unit="ms",
            peer=f"their own p50: {percentile(meanwhile, 50):.2f} ms",
            detail=f"{len(meanwhile):,} answers, p99 {percentile(meanwhile, 99):.2f} ms",
        ),
    ]


def _tell(what: str) -> None:
    """Of what takes long, that it is going on."""
    sys.stderr.write(f"{time.strftime('%T')} {what}\n")


def _bare_read(it: Large) -> float:
    """Events a second that are read from the log and decoded, the least that a fold needs."""
    db = apsw.Connection(str(it.house.paths.database), flags=apsw.SQLITE_OPEN_READONLY)
    began = time.perf_counter()
    count = sum(1 for _ in log.read(db, limit=_READ))
    took_s = time.perf_counter() - began
    db.close()
    return count / took_s
