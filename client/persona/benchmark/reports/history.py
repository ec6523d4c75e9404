"""The runs before, beside the run that is reported."""

from datetime import datetime

from msgspec import Struct

from persona.render.benchmarks import AMOUNT
from persona.render.tables import WHEN, Column, Table

from .material import Material

SHOWN = ("generation_latency", "cpu_ms", "memory_peak_mb", "tokens_per_persona")
"""The metrics whose P50 is told of earlier runs."""


class Earlier(Struct, frozen=True, kw_only=True):
    """One run's medians."""

    at: datetime
    run: str
    version: str
    p50: dict[str, float]


def earlier(material: Material) -> list[Earlier]:
    """The reported run first, then those before it."""
    return [
        Earlier(
            at=each.at,
            run=each.run,
            version=each.environment.get("persona_version", ""),
            p50={name: each.summary[name].p50 for name in SHOWN if name in each.summary},
        )
        for each in (material.run, *material.history)
    ]


def history(material: Material) -> Table[Earlier]:
    """A row a run."""
    metrics = tuple(_column(name) for name in SHOWN)
    columns: tuple[Column[Earlier], ...] = (
        Column("When", lambda row: row.at, WHEN),
        Column("Run", lambda row: row.run),
        Column("Version", lambda row: row.version),
        *metrics,
    )
    return Table(columns, earlier(material))


def _column(name: str) -> Column[Earlier]:
    return Column(name, lambda row: row.p50.get(name), AMOUNT)
