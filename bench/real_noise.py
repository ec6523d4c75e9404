"""How often comparisons are wrong on this machine, with all that runs beside them.

Nothing is simulated: pairs are run in blocks, each by two new processes, and every comparison draws
its blocks from that pool, so that hundreds of comparisons take minutes and not days. What is run is
a part of the micro suite; a version that is ten percent slower does it eleven times where the other
does it ten. It does it so often that what is not repeated (0.08 ms a sample, whatever it is) is
under a hundredth: at forty times, eleven for ten took 8.6 % longer.
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
from persona.benchmark.verdicts import Decision
from persona.benchmark.workloads import PARTS

from .deciding import ALARMS, LIMITS, PEER, figure_of
from .figure import Figure

PART, TIMES = "answers", 400
COMPARISONS = 1_000
BLOCKS = {0: 300, 10: 100, 25: 60}
"""Of five pairs, by how many percent more the new one does."""
Block = list[float]
"""ln(new / old) of pairs that the same two processes ran."""


def measure() -> list[Figure]:
    rng = Random(1)
    began = time.monotonic()
    found = {}
    for percent, blocks in BLOCKS.items():
        pool = _pool(percent, blocks, rng)
        found[percent] = [_comparison(pool, rng) for _ in range(COMPARISONS)]
    took_s = time.monotonic() - began
    pairs = sorted(pairs for _, pairs in found[0])

    def share(percent: int, *verdicts: str) -> float:
        some = found[percent]
        return sum(each.verdict in verdicts for each, _ in some) / len(some)

    load = f"load average {os.getloadavg()[2]:.1f}; all took {took_s / 60:.0f} minutes"
    told = f"{COMPARISONS:,} comparisons, drawn from {BLOCKS[0] * 5:,} pairs; {load}"
    changed = f"{COMPARISONS:,} comparisons, drawn from {BLOCKS[10] * 5} and {BLOCKS[25] * 5} pairs"
    here = "on this machine:"
    return [
        figure_of(f"{here} false alarms", share(0, *ALARMS), 1, told, at_least=False, peer=PEER),
        figure_of(f"{here} 0 % called failure", share(0, "failure"), 0, told, at_least=False),
        figure_of(f"{here} +10 % found", share(10, *ALARMS), 95, changed, at_least=True),
        figure_of(f"{here} +25 % a failure", share(25, "failure"), 95, changed, at_least=True),
        Figure(
            name="on this machine: pairs where nothing changed",
            value=pairs[len(pairs) // 2],
            limit=100,
            unit="pairs",
            peer="",
            detail=told,
        ),
    ]


def _pool(percent: int, blocks: int, rng: Random) -> list[Block]:
    """Pairs in blocks, each by two new processes."""
    pool: list[Block] = []
    with private_ledger() as one, private_ledger() as other:
        sides = _side(one, TIMES), _side(other, TIMES * (100 + percent) // 100)
        old, new = (side.task.times for side in sides)
        while len(pool) < blocks:
            kept: tuple[Samples, Samples] = ({}, {})
            some_pairs(sides, PARTS[PART].warm_up, kept, rng)
            # A worker tells the time of one repetition; here all of them are the work.
            pool.append(
                [
                    log(now * new / (was * old))
                    for was, now in zip(kept[0]["cpu_ms"], kept[1]["cpu_ms"], strict=True)
                ]
            )
    return pool


def _side(private: Private, times: int) -> Side:
    return Side(THIS, private, task_of(PARTS[PART], private, "local-1", times=times))


def _comparison(pool: list[Block], rng: Random) -> tuple[Decision, int]:
    """As `interleave` decides one metric, with blocks that are drawn."""
    values: list[float] = []
    for look in LOOKS:
        while len(values) < look:
            values += rng.choice(pool)
        decision = decide(values, LIMITS)
        if decision is not None:
            return decision, look
    raise AssertionError("the last look decides")
