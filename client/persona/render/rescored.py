"""How it looks when personas are scored anew: each metric as it was, and as it would be."""

from typing import TYPE_CHECKING

from . import values
from .tables import COUNT, SCORE, Column, Fact, Facts, Table, View

if TYPE_CHECKING:
    from persona.rescoring import Change, Rescored

NOTHING = "there is nothing to score anew"


def rescored(found: "Rescored") -> View:
    columns: tuple[Column[Change], ...] = (
        Column("Metric", lambda row: row.metric),
        Column("Was", lambda row: row.was, SCORE),
        Column("Would be" if not found.applied else "Is", lambda row: row.would_be, SCORE),
        Column("n", lambda row: row.n, COUNT),
    )
    lines = [
        Fact("left out", f"{values.plural(count, 'persona')}: {reason}", "yellow")
        for reason, count in sorted(found.left_out.items())
    ]
    if found.already:
        told = f"{values.plural(found.already, 'persona')} had been scored by {found.scorer}"
        lines.append(Fact("already", told))
    if found.rows:
        did = "recorded" if found.applied else "nothing is recorded; --apply does"
        lines.append(Fact("scorer", f"{found.scorer} after {', '.join(found.was)}; {did}"))
        lines.append(Fact("note", found.note))
    return [Table(columns, found.rows, NOTHING), *([Facts(lines)] if lines else [])]
