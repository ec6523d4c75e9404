"""A run as a table for people and as a document for programs."""

from datetime import datetime

from msgspec import Struct
from persona.render.plain import table
from persona.render.tables import TEXT, Column, Kind, Table

from .figure import Figure
from .machine import Machine

_NUMBER = Kind(str, str)

COLUMNS: tuple[Column[Figure], ...] = (
    Column("What", lambda figure: figure.name, TEXT),
    Column("Measured", lambda figure: _amount(figure.value, figure.unit), _NUMBER),
    Column("Interval", lambda figure: _interval(figure), _NUMBER),
    Column("Limit", lambda figure: _limit(figure), _NUMBER),
    Column("", lambda figure: figure.verdict, TEXT),
    Column("Peer", lambda figure: figure.peer, TEXT),
    Column("How", lambda figure: figure.detail, TEXT),
)


class Report(Struct, frozen=True, kw_only=True):
    machine: Machine
    began_at: datetime
    took_s: float
    figures: list[Figure]

    @property
    def missed(self) -> list[Figure]:
        """Figures that are not within their limits."""
        return [figure for figure in self.figures if figure.verdict in ("OVER", "UNDER")]


def as_text(report: Report) -> str:
    head = "".join(
        f"{name:<10}{getattr(report.machine, name)}\n" for name in report.machine.__struct_fields__
    )
    run = f"{'run':<10}{report.began_at:%F %T} UTC, {report.took_s:.0f} s\n"
    missed = report.missed
    end = (
        f"not within the limit: {', '.join(figure.name for figure in missed)}"
        if missed
        else "every figure is within its limit"
    )
    return f"{head}{run}\n{table(Table(COLUMNS, report.figures), None)}\n{end}\n"


def _amount(value: float, unit: str) -> str:
    digits = max(0, 2 - len(str(int(abs(value)))) + 1)
    return f"{value:,.{digits}f} {unit}"


def _interval(figure: Figure) -> str | None:
    between = figure.interval
    return None if between is None else f"{between.low:.2f} to {between.high:.2f}"


def _limit(figure: Figure) -> str | None:
    if figure.limit is None:
        return None
    return f"{'≥' if figure.at_least else '≤'} {figure.limit:g} {figure.unit}"
