"""How often a comparison is wrong where nothing changed, and what it finds where something did."""

from collections.abc import Callable

import numpy as np
from persona.benchmark.change_points import change_points
from persona.benchmark.noise import Noise, pairs, processes
from persona.benchmark.paired import LOOKS, decide
from persona.benchmark.stored import by_count, by_floor, by_whole_interval, floor_of
from persona.benchmark.verdicts import Decision, Limits

from .figure import Figure

TIMES = 500
LIMITS = Limits(warn_percent=10, fail_percent=25)
TOKENS = Limits(warn_percent=0, fail_percent=15)
ALARMS = ("warning", "failure")
PEER = "a mean 10 % over the baseline: 42 % false alarms on a shared machine"


def measure() -> list[Figure]:
    """On a simulated shared machine, from fixed seeds."""
    return [*_in_turn(), *_kept(), *_trends(), _one_token()]


def figure_of(
    name: str, share: float, limit: float, detail: str, *, at_least: bool, peer: str = ""
) -> Figure:
    return Figure(
        name=name,
        value=share * 100,
        limit=limit,
        unit="%",
        peer=peer,
        detail=detail,
        at_least=at_least,
    )


def _drawn(change: float, rng: np.random.Generator) -> tuple[Decision, int]:
    values = pairs(Noise(), LOOKS[-1], change, rng).tolist()
    return next((d, look) for look in LOOKS if (d := decide(values[:look], LIMITS)))


def _in_turn() -> list[Figure]:
    rng = np.random.default_rng(1)
    found = {change: [_drawn(change, rng) for _ in range(TIMES)] for change in (0.0, 0.1, 0.25)}

    def share(change: float, *verdicts: str) -> float:
        return sum(each.verdict in verdicts for each, _ in found[change]) / TIMES

    told = f"{TIMES} comparisons of up to {LOOKS[-1]} pairs"
    return [
        figure_of("in turn: false alarms", share(0, *ALARMS), 1, told, at_least=False, peer=PEER),
        figure_of("in turn: 0 % called failure", share(0, "failure"), 0, told, at_least=False),
        figure_of("in turn: +10 % found", share(0.1, *ALARMS), 95, told, at_least=True),
        figure_of("in turn: +25 % a failure", share(0.25, "failure"), 95, told, at_least=True),
        Figure(
            name="in turn: pairs where nothing changed",
            value=float(np.median([look for _, look in found[0.0]])),
            limit=100,
            unit="pairs",
            peer="",
            detail=told,
        ),
    ]


Judge = Callable[[list[float], list[float], Limits], Decision]


def _side(
    rng: np.random.Generator, *, wall: float = 1.0, cpu: float = 1.0
) -> tuple[list[float], list[float]]:
    """Floors of the time on a core, and medians of wall time, of 5 × 100 runs."""
    runs = processes(Noise(), 5, 100, rng, wall=wall, cpu=cpu)
    return [floor_of(each[1].tolist()) for each in runs], [float(np.median(r[0])) for r in runs]


def _kept() -> list[Figure]:
    told = f"{TIMES} comparisons of 5 × 100 runs with 5 × 100"

    def share(seed: int, *, wall: float = 1.0, cpu: float = 1.0) -> float:
        rng = np.random.default_rng(seed)
        alarms = 0
        for _ in range(TIMES):
            old, new = _side(rng), _side(rng, wall=wall, cpu=cpu)
            alarms += (
                by_floor(old[0], new[0], LIMITS).verdict in ALARMS
                or by_whole_interval(old[1], new[1], LIMITS).verdict in ALARMS
            )
        return alarms / TIMES

    return [
        figure_of("kept: false alarms", share(2), 2, told, at_least=False, peer=PEER),
        figure_of("kept: +10 % on a core found", share(3, cpu=1.1), 95, told, at_least=True),
        figure_of("kept: a wait of 40 % found", share(4, wall=1.4), 95, told, at_least=True),
    ]


def _trends() -> list[Figure]:
    rng = np.random.default_rng(5)

    def series(levels: list[float]) -> list[float]:
        return [level * float(np.exp(rng.normal(0, 0.03))) for level in levels]

    false = sum(bool(change_points(series([100] * 13), rng)) for _ in range(TIMES)) / TIMES
    steps = [change_points(series([100] * 8 + [125] * 5), rng) for _ in range(TIMES)]
    found = sum(each == [8] for each in steps) / TIMES
    told = f"{TIMES} series of 13 runs, 3 % apart"
    return [
        figure_of("trends: false changes", false, 1, told, at_least=False),
        figure_of("trends: +25 % found in 5 runs", found, 95, told, at_least=True),
    ]


def _one_token() -> Figure:
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(TIMES):
        tokens = rng.integers(100, 100_000, 100).tolist()
        place = int(rng.integers(100))
        more = [count + (index == place) for index, count in enumerate(tokens)]
        found += by_count(tokens, more, TOKENS).verdict == "warning"
    return figure_of(
        "one token more in one of 100 runs found",
        found / TIMES,
        100,
        f"{TIMES} comparisons",
        at_least=True,
    )
