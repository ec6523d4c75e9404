"""`persona benchmark report`, `trends` and `providers`: what recorded runs say."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from persona.app import App, Output, Stopped, output_options, pass_app

if TYPE_CHECKING:
    from personad.contract.benchmark import BenchmarkFinished

MOST_RUNS = 1_000
"""So many of the newest are looked at."""


def recorded_runs(app: App, *, workload: str | None = None) -> "Iterator[BenchmarkFinished]":
    """The newest first."""
    from personad.contract.benchmark import BenchmarkFinished

    newest: deque[BenchmarkFinished] = deque(maxlen=MOST_RUNS)
    for each in app.ledger.read_all(types=("benchmark.finished",)):
        event = each.event
        if isinstance(event, BenchmarkFinished) and workload in (None, event.workload):
            newest.append(event)
    yield from reversed(newest)
