"""How long questions about costs and quality take on a large ledger, at rest and under full ingest.

`QUESTIONS` is the whole list. Each is asked in turn, about thirty days that begin on another day
each time, as a client asks it: from the call to the typed reply.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import cycle, islice
from statistics import median
from typing import Any, NamedTuple

from persona.client import Ledger

from personad.contract.admin import Hello
from personad.contract.asking import Filter, Range
from personad.contract.base import Request
from personad.contract.batch import BatchList
from personad.contract.calls import CostCalls
from personad.contract.cost import CostBreakdown, CostHistory, Dimension
from personad.contract.latency import Latency
from personad.contract.optimise import CostOptimise
from personad.contract.quality import QualityGoals, QualityProviders, QualityTrends

from .figure import Figure
from .house import daemon
from .large import DAYS, EVENTS, SMALL, Large, full_load, ledger_of
from .pressure import producing
from .sampling import percentile, ratio_of_medians

RANGE_DAYS = 30
ROUNDS = 200
WARM_UPS = 5
HOME, ELSEWHERE = "UTC", "Asia/Kathmandu"
"""The ledger's zone, and one that is 5 hours and 45 minutes away."""
HOME_MS, ELSEWHERE_MS, PRESSED_MS, EXPERIMENTS_MS, GROWTH = 10.0, 50.0, 50.0, 150.0, 1.5
PRESSED_EVENTS, PRESSED_ROUNDS = 600_000, 2
PAUSE_S = 0.01
"""On average between two questions while the daemon has other work, so that it is not asking that
takes its time."""


class Window(NamedTuple):
    """What a question is about."""

    since: datetime
    until: datetime
    timezone: str


class Question(NamedTuple):
    name: str
    ask: Callable[[Window], Request[Any]]
    by_experiment: bool = False
    """Whether it looks at each of the ledger's experiments."""


def _days(window: Window) -> Range:
    """The window in whole days."""
    last = window.until - timedelta(days=1)
    return Range(since=f"{window.since:%F}", until=f"{last:%F}", timezone=window.timezone)


def _breakdown(by: Dimension) -> Callable[[Window], Request[Any]]:
    return lambda window: CostBreakdown(by=by, range=_days(window))


_ONE = Filter(experiments=["experiment-00001"])
"""There is one of this name in every ledger that is asked."""
_SOME = Filter(providers=["openai", "anthropic"])
QUESTIONS: tuple[Question, ...] = (
    Question("batch-list", lambda _: BatchList()),
    Question("cost-history", lambda window: CostHistory(range=_days(window))),
    Question(
        "cost-history by week", lambda window: CostHistory(range=_days(window), interval="week")
    ),
    Question(
        "cost-history of two providers",
        lambda window: CostHistory(range=_days(window), filter=_SOME),
    ),
    Question(
        "cost-history of an experiment",
        lambda window: CostHistory(range=_days(window), filter=_ONE),
    ),
    Question("cost-breakdown by provider", _breakdown("provider")),
    Question("cost-breakdown by model", _breakdown("model")),
    Question("cost-breakdown by operation", _breakdown("operation")),
    Question("cost-breakdown by day", _breakdown("day")),
    Question("cost-breakdown by experiment", _breakdown("experiment"), by_experiment=True),
    Question(
        "cost-optimise",
        lambda window: CostOptimise(range=_days(window)),
        by_experiment=True,
    ),
    Question("cost-calls", lambda window: CostCalls(range=_days(window))),
    Question(
        "cost-calls of two providers",
        lambda window: CostCalls(range=_days(window), filter=_SOME),
    ),
    Question(
        "cost-calls of an experiment",
        lambda window: CostCalls(range=_days(window), filter=_ONE),
    ),
    Question(
        "cost-calls without a price",
        lambda window: CostCalls(range=_days(window), unpriced=True),
    ),
    Question("quality-trends", lambda window: QualityTrends(range=_days(window))),
    Question(
        "quality-trends of the composite",
        lambda window: QualityTrends(range=_days(window), metrics=["composite"]),
    ),
    Question(
        "quality-trends of an experiment",
        lambda window: QualityTrends(range=_days(window), filter=_ONE),
    ),
    Question("quality-providers", lambda window: QualityProviders(range=_days(window))),
    Question("quality-goals", lambda window: QualityGoals(timezone=window.timezone)),
    Question("latency by model", lambda window: Latency(range=_days(window))),
    Question("latency by day", lambda window: Latency(range=_days(window), by="day")),
)

Samples = dict[str, list[float]]
"""Milliseconds of each question, in the order in which they were taken."""


def measure() -> list[Figure]:
    usual = [each for each in QUESTIONS if not each.by_experiment]
    wide = [each for each in QUESTIONS if each.by_experiment]
    with ledger_of(SMALL) as small, ledger_of(EVENTS) as large:
        grown = growth(*_side_by_side(large, small, usual))
        with daemon(large.house), large.house.ledger() as ledger:
            peer = f"a bare hello: p99 {percentile(_hellos(ledger), 99):.2f} ms"
            home = _samples(ledger, large, usual, HOME)
            elsewhere = _samples(ledger, large, usual, ELSEWHERE)
            by_experiment = _samples(ledger, large, wide, HOME)
            pressed = _pressed(ledger, large, usual)
    experiments = f"by {large.filled.experiments:,} experiments"
    return [
        slowest("the ledger's zone", home, HOME_MS, peer),
        slowest("another zone", elsewhere, ELSEWHERE_MS, peer),
        grown,
        slowest(experiments, by_experiment, EXPERIMENTS_MS, peer),
        slowest("under full ingest", pressed, PRESSED_MS, peer),
    ]


def asked(
    ledger: Ledger, it: Large, questions: Sequence[Question], zone: str = HOME, pause_s: float = 0
) -> Iterator[tuple[str, float]]:
    """Asks one after the other, for ever: which it was, and the milliseconds that it took."""
    rng = random.Random(1)
    for question in cycle(questions):
        time.sleep(rng.uniform(0, 2 * pause_s))
        until = it.filled.until - timedelta(days=rng.randrange(DAYS - RANGE_DAYS))
        request = question.ask(Window(until - timedelta(days=RANGE_DAYS), until, zone))
        began_ns = time.perf_counter_ns()
        ledger.ask(request)
        yield question.name, (time.perf_counter_ns() - began_ns) / 1e6


def _samples(ledger: Ledger, it: Large, questions: Sequence[Question], zone: str) -> Samples:
    answers = asked(ledger, it, questions, zone)
    for _ in range(WARM_UPS * len(questions)):
        next(answers)
    return _gathered(islice(answers, ROUNDS * len(questions)))


def _side_by_side(
    large: Large, small: Large, questions: Sequence[Question]
) -> tuple[Samples, Samples]:
    """The same questions of both, in turn: a machine that others use, too, is twice as slow in one
    minute as in the next."""
    found: tuple[Samples, Samples] = {}, {}
    with (
        daemon(large.house),
        daemon(small.house),
        large.house.ledger() as one,
        small.house.ledger() as other,
    ):
        pairs = zip(asked(one, large, questions), asked(other, small, questions), strict=True)
        for _ in range(WARM_UPS * len(questions)):
            next(pairs)
        for pair in islice(pairs, ROUNDS * len(questions)):
            for samples, (name, took_ms) in zip(found, pair, strict=True):
                samples.setdefault(name, []).append(took_ms)
    return found


def _pressed(ledger: Ledger, it: Large, questions: Sequence[Question]) -> Samples:
    """While two producers send all they can; the requests of each round are prepared before."""

    def answers() -> Iterator[tuple[str, float]]:
        endless = asked(ledger, it, questions, pause_s=PAUSE_S)
        for turn in range(PRESSED_ROUNDS):
            loads = full_load(PRESSED_EVENTS, seed=300 + 2 * turn)
            with producing(it.house, loads) as producers:
                producers.begin()
                while producers.busy:
                    yield next(endless)
                producers.finish()

    return _gathered(answers())


def _hellos(ledger: Ledger) -> list[float]:
    """The least that a question takes: milliseconds of a greeting and its answer."""
    found = []
    for _ in range(ROUNDS):
        began_ns = time.perf_counter_ns()
        ledger.ask(Hello())
        found.append((time.perf_counter_ns() - began_ns) / 1e6)
    return found


def _gathered(answers: Iterator[tuple[str, float]]) -> Samples:
    found: Samples = {}
    for name, took_ms in answers:
        found.setdefault(name, []).append(took_ms)
    return found


def slowest(where: str, samples: Samples, limit: float, peer: str) -> Figure:
    """Of the question whose p99 is the worst."""
    worst, value = max(
        ((name, percentile(sample, 99)) for name, sample in samples.items()),
        key=lambda each: each[1],
    )
    everything = [took_ms for sample in samples.values() for took_ms in sample]
    return Figure(
        name=f"{RANGE_DAYS} days at {EVENTS:,} events, {where}, p99",
        value=value,
        limit=limit,
        unit="ms",
        peer=peer,
        detail=f"the slowest question, {worst}, {len(samples[worst]):,} times; all {len(samples)}: "
        f"median {median(everything):.2f} ms, p99 {percentile(everything, 99):.2f} ms, "
        f"worst {max(everything):.1f} ms",
    )


def growth(large: Samples, small: Samples) -> Figure:
    """Of the question that grew the most."""
    worst, value = max(
        ((name, ratio_of_medians(sample, small[name])) for name, sample in large.items()),
        key=lambda each: each[1],
    )
    return Figure(
        name=f"the same, {EVENTS:,} events against {SMALL:,}",
        value=value,
        limit=GROWTH,
        unit="×",
        peer=f"{worst} with {SMALL:,} events: median {median(small[worst]):.2f} ms",
        detail=f"medians of {worst}, which grew the most of {len(large)}: "
        f"{median(large[worst]):.2f} ms",
    )
