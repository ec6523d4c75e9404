"""How often comparisons are wrong on this machine, with all that runs beside them.

Every comparison runs pairs of its own: nothing is drawn twice, and nothing is simulated. What is
run is a part of the micro suite, so that hundreds of comparisons take minutes and not days; a
version that is ten percent slower does the same part eleven times where the other does it ten.
"""

import os
import time
from math import log
from random import Random

from persona.benchmark.crew import task_of
from persona.benchmark.interleaving import Samples, Side, some_pairs
from persona.benchmark.other_version import THIS
from persona.benchmark.paired import LOOKS, decide
from persona.benchmark.private import Private, private_ledger
from persona.benchmark.verdicts import Decision, Limits
from persona.benchmark.workloads import PARTS

from .figure import Figure

PART, TIMES = "answers", 40
SAME, CHANGED = 500, 100
"""Comparisons of the same with itself, and with each change."""
LIMITS = Limits(warn_percent=10, fail_percent=25)
ALARMS = ("warning", "failure")
PEER = "a mean 10 % over the baseline: 42 % false alarms on a shared machine"


def measure() -> list[Figure]:
    rng = Random(1)
    began = time.monotonic()
    found = {
        percent: _comparisons(percent, times, rng)
        for percent, times in ((0, SAME), (10, CHANGED), (25, CHANGED))
    }
    took_s = time.monotonic() - began
    pairs = sorted(pairs for _, pairs in found[0])

    def share(percent: int, *verdicts: str) -> float:
        some = found[percent]
        return sum(each.verdict in verdicts for each, _ in some) / len(some) * 100

    load = f"load average {os.getloadavg()[2]:.1f}; all took {took_s / 60:.0f} minutes"
    told = f"{SAME} comparisons of {PART} with itself, each of pairs of its own; {load}"
    changed = f"{CHANGED} comparisons with so much more of it to do; {load}"
    return [
        Figure(
            name="on this machine: false alarms",
            value=share(0, *ALARMS),
            limit=1,
            unit="%",
            peer=PEER,
            detail=told,
        ),
        Figure(
            name="on this machine: 0 % called failure",
            value=share(0, "failure"),
            limit=0,
            unit="%",
            peer="",
            detail=told,
        ),
        Figure(
            name="on this machine: +10 % found",
            value=share(10, *ALARMS),
            limit=95,
            unit="%",
            peer="",
            detail=changed,
            at_least=True,
        ),
        Figure(
            name="on this machine: +25 % a failure",
            value=share(25, "failure"),
            limit=95,
            unit="%",
            peer="",
            detail=changed,
            at_least=True,
        ),
        Figure(
            name="on this machine: pairs where nothing changed",
            value=pairs[len(pairs) // 2],
            limit=100,
            unit="pairs",
            peer="",
            detail=told,
        ),
    ]


def _comparisons(percent: int, times: int, rng: Random) -> list[tuple[Decision, int]]:
    with private_ledger() as one, private_ledger() as other:
        sides = _side(one, TIMES), _side(other, TIMES * (100 + percent) // 100)
        return [_comparison(sides, rng) for _ in range(times)]


def _side(private: Private, times: int) -> Side:
    return Side(THIS, private, task_of(PARTS[PART], private, "local-1", times=times))


def _comparison(sides: tuple[Side, Side], rng: Random) -> tuple[Decision, int]:
    """As `interleave` decides one metric."""
    old, new = (side.task.times for side in sides)
    values: list[float] = []
    for look in LOOKS:
        while len(values) < look:
            kept: tuple[Samples, Samples] = ({}, {})
            some_pairs(sides, PARTS[PART].warm_up, kept, rng)
            # A worker tells the time of one repetition; here all of them are the work.
            values += [
                log(now * new / (was * old))
                for was, now in zip(kept[0]["cpu_ms"], kept[1]["cpu_ms"], strict=True)
            ]
        decision = decide(values, LIMITS)
        if decision is not None:
            return decision, look
    raise AssertionError("the last look decides")
