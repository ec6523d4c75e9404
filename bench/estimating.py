"""How often a batch ends inside the range that was shown, and what such an estimate costs."""

import time
from random import Random
from statistics import median

from personad.analytics.eta import eta

from .figure import Figure
from .simulated_batches import SHAPES, coverage, simulate

PERSONAS, BATCHES = 200, 30
SLOTS = (1, 4, 16)
RIGHT_PERCENT = 75.0
ESTIMATE_MS = 0.3
_ROUNDS = 200


def measure() -> list[Figure]:
    figures = []
    for name, shape in SHAPES.items():
        for slots in SLOTS:
            told = [
                each
                for seed in range(BATCHES)
                for each in simulate(shape, slots=slots, personas=PERSONAS, seed=seed)
            ]
            width = median(each.high / max(1, each.low) for each in told)
            figures.append(
                Figure(
                    name=f"ETA right, {name}, concurrency {slots}",
                    value=100 * coverage(told),
                    limit=RIGHT_PERCENT,
                    unit="%",
                    peer=f"asked for: {RIGHT_PERCENT:g} %",
                    detail=(
                        f"{len(told):,} updates of {BATCHES} batches of {PERSONAS} after the first "
                        f"tenth; high is {width:.2f} × low (median)"
                    ),
                    at_least=True,
                )
            )
    return [*figures, _cost()]


def _cost() -> Figure:
    """CPU time of one estimate, 16 in flight."""
    rng = Random(1)
    done = [round(SHAPES["lognormal"](rng, 0.5)) for _ in range(PERSONAS // 2)]
    ages = [round(500 * place) for place in range(16)]
    began = time.process_time_ns()
    for _ in range(_ROUNDS):
        eta(done, [], ages, pending=80, slots=16, rng=Random(0))
    took_ms = (time.process_time_ns() - began) / 1e6 / _ROUNDS
    return Figure(
        name="CPU of an estimate",
        value=took_ms,
        limit=ESTIMATE_MS,
        unit="ms",
        peer="made at most four times a second",
        detail=f"{_ROUNDS} × {len(done)} durations seen, 16 in flight, 80 pending",
    )
