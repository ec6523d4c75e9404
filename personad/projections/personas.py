"""How many personas were made, and how many of them were accepted, as sums over time."""

from collections.abc import Sequence

from personad.contract import batch as b
from personad.contract.base import Event
from personad.log import Entry
from personad.projections.book import Book
from personad.projections.buckets import Family

NAME = "personas"
VERSION = 1
SUMS = ("ended", "completed", "accepted", "failed", "duration_ms")
PERSONA = Family("persona_sum", "dim", SUMS)
SCHEMA = PERSONA.schema
TABLES: tuple[str, ...] = tuple(
    f"{each.name}_quarter" for each in PERSONA.buckets if "quarter" in each.tiers
)
WANTS: tuple[type[Event], ...] = (b.PersonaCompleted, b.PersonaFailed)
OPERATION = "persona"
"""What stands for the operation in the dimensions of a persona."""

_QUARTER_US = 900_000_000
_DURATION_MAX_MS = 10**12


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit that the batch's own rows could take."""
    names = book.names
    groups: dict[tuple[int, int, int | None, int | None], list[int]] = {}
    for seq, at, event, _ in entries:
        if isinstance(event, b.PersonaCompleted):
            duration_ms = min(event.duration_ms, _DURATION_MAX_MS)
            outcome, values = "completed", (1, 1, int(event.accepted), 0, duration_ms)
        else:
            assert isinstance(event, b.PersonaFailed)
            outcome, values = "failed", (1, 0, 0, 1, 0)
        key = (
            at // _QUARTER_US,
            names.dim((event.provider, event.model, OPERATION, outcome)),
            names.experiment(event.experiment) if event.experiment is not None else None,
            names.batch(event.batch, seq),
        )
        known = groups.get(key)
        groups[key] = [a + b for a, b in zip(known, values, strict=True)] if known else [*values]
    PERSONA.add(book, groups)
    return []
