"""What it takes to score personas: many in one batch, ten times as many, and one of ten."""

import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TypedDict

from persona.generation.invented_names import invented_name, words_of
from persona.generation.plan import Wanted, make_plan
from persona.generation.providers.local import write
from persona.generation.quality import score_persona
from persona.generation.quality.crowd import Crowd

from .figure import Figure, beside
from .house import EXAMPLES
from .scored_crowd import crowd

PERSONAS = 1_000
TIME_S, MEMORY_MB = 3.0, 200.0
ONE_MS = 5.0
TEN, ROUNDS = 10, 5
SEED = 7


class Took(TypedDict):
    wall_s: float
    cpu_s: float
    peak_mb: float
    metrics: int


def measure() -> list[Figure]:
    some, many = _scored(PERSONAS), _scored(10 * PERSONAS)
    pairs_s = _all_pairs()
    growth = 10 * math.log(10 * PERSONAS) / math.log(PERSONAS)
    return [
        Figure(
            name=f"{PERSONAS:,} personas scored, time",
            value=some["wall_s"],
            limit=TIME_S,
            unit="s",
            peer=beside("shared words of all pairs, and no more", pairs_s, some["wall_s"], "s"),
            detail=f"{some['metrics']} metrics each against 24 sentences of its own and beside "
            f"those before it; CPU {some['cpu_s']:.2f} s",
        ),
        Figure(
            name=f"{PERSONAS:,} personas scored, memory",
            value=some["peak_mb"],
            limit=MEMORY_MB,
            unit="MB",
            peer=beside(f"{10 * PERSONAS:,}", many["peak_mb"], some["peak_mb"], "MB"),
            detail="peak of the whole process, which holds all personas and sources",
        ),
        Figure(
            name=f"{10 * PERSONAS:,} personas, CPU against {PERSONAS:,}",
            value=many["cpu_s"] / some["cpu_s"],
            limit=growth,
            unit="×",
            peer=f"n log n: {growth:.1f} ×; n²: 100 ×",
            detail=f"{many['cpu_s']:.1f} s against {some['cpu_s']:.2f} s of CPU",
        ),
        _one_of_ten(),
    ]


def _scored(size: int) -> Took:
    """In a process of its own, so that its memory is nobody else's."""
    program = [sys.executable, "-m", "bench.scored_crowd", str(size)]
    said = subprocess.run(program, check=True, capture_output=True, text=True)
    took: Took = json.loads(said.stdout)
    return took


def _all_pairs() -> float:
    """Seconds that comparing the words of each with those of all others takes, done plainly."""
    words = [
        frozenset(" ".join(draft.goals + draft.quotes).split()) for draft, _ in crowd(PERSONAS)
    ]
    began = time.perf_counter()
    for at, mine in enumerate(words):
        max((len(mine & other) / len(mine | other) for other in words[:at]), default=0.0)
    return time.perf_counter() - began


def _one_of_ten() -> Figure:
    """Each persona that `local` makes of the examples, the tenth part of which is its source."""
    plan = make_plan(Wanted(path=Path(EXAMPLES), count=TEN, seed=SEED))
    taken = frozenset[str]().union(*map(words_of, plan.segments))
    drafts = [
        write(segment, invented_name("en", SEED, at, taken), "en")
        for at, segment in enumerate(plan.segments, 1)
    ]
    wall_ms, cpu_ms = [], []
    for turn in range(1 + ROUNDS):
        together = Crowd()
        for at, (draft, segment) in enumerate(zip(drafts, plan.segments, strict=True)):
            began, cpu = time.perf_counter(), time.process_time()
            score_persona(draft, segment, together.join(at, draft))
            if turn:
                wall_ms.append(1_000 * (time.perf_counter() - began))
                cpu_ms.append(1_000 * (time.process_time() - cpu))
    records = statistics.mean(len(segment.records) for segment in plan.segments)
    return Figure(
        name=f"one persona of a batch of {TEN}",
        value=statistics.median(wall_ms),
        limit=ONE_MS,
        unit="ms",
        peer=f"CPU: {statistics.median(cpu_ms):.2f} ms",
        detail=f"median of {len(wall_ms)}, p90 {statistics.quantiles(wall_ms, n=10)[-1]:.1f} ms; "
        f"its source of {records:.0f} records is read each time; the first round is dropped",
    )
