"""The tables that everything on a screen is read from; each a fold of the log.

`PROJECTIONS` is the whole list, in the order in which they fold: what one of them finds impossible,
the later ones never see.

There are two kinds. A *view* is small and fed by events that are never dropped, so it may be folded
again at any time. A *rollup* outlives the raw events that fed it: where they are gone, it is the
truth, and is kept as it is.
"""

from collections.abc import Collection, Container, Mapping, Sequence, Set
from typing import Literal, Protocol

from personad.contract.base import Event
from personad.log import Entry
from personad.projections import (
    alerts,
    batches,
    budgets,
    charts,
    cost_sums,
    costs,
    forecasts,
    goals,
    personas,
    prices,
    quality,
)
from personad.projections.book import Book
from personad.projections.buckets import Buckets, Packed

Kind = Literal["view", "rollup"]


class Projection(Protocol):
    """A table family that is a fold of the log."""

    NAME: str
    VERSION: int
    SCHEMA: str
    TABLES: tuple[str, ...]
    """Those that the log alone determines: caches and what waits to be worked in are left out."""
    WANTS: tuple[type[Event], ...]

    def apply(self, book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
        """Folds events in, in order; gives those that don't fit, by seq, with the reason."""
        ...


PROJECTIONS: dict[Projection, Kind] = {
    batches: "rollup",
    prices: "view",
    budgets: "view",
    goals: "view",
    alerts: "view",
    forecasts: "view",
    costs: "rollup",
    personas: "rollup",
    quality: "rollup",
    charts: "rollup",
}

BUCKETS: tuple[Buckets | Packed, ...] = (
    *cost_sums.COST.buckets,
    *personas.PERSONA.buckets,
    *quality.SCORE.buckets,
)
"""All sums over time."""

_READERS: dict[type[Event], tuple[Projection, ...]] = {}
"""Who folds an event of each kind, in order."""
for _projection in PROJECTIONS:
    for _kind in _projection.WANTS:
        _READERS[_kind] = (*_READERS.get(_kind, ()), _projection)


def fold(
    book: Book,
    entries: Sequence[Entry],
    *,
    since: int,
    misfits_known: Set[int] | None = None,
    only: Container[Projection] | None = None,
) -> list[tuple[int, str]]:
    """Folds the events into every projection; gives those that don't fit, by seq.

    `since` is the newest seq before this commit, of which these may be a part only. Where events
    are missing that others would fit to, `misfits_known` are the only ones that don't fit. With
    `only`, the other projections have these events already.
    """
    book.begin(since)
    anomalies: list[tuple[int, str]] = []
    misfits: set[int] = set()
    kinds = {type(event) for _, _, event, _ in entries}
    for projection, some in _wanted(entries, kinds).items():
        if misfits:
            some = [entry for entry in some if entry[0] not in misfits]
        if not some or (only is not None and projection not in only):
            continue
        found = projection.apply(book, some)
        if misfits_known is not None:
            found = [each for each in found if each[0] in misfits_known]
        if found:
            anomalies += found
            misfits.update(seq for seq, _ in found)
    if (only is None or batches in only) and not kinds.isdisjoint(batches.NOTICED):
        noticed = entries
        if misfits or not kinds <= batches.NOTICED:
            noticed = [e for e in entries if type(e[2]) in batches.NOTICED and e[0] not in misfits]
        if noticed:
            batches.notice(book, noticed)
    return anomalies


def _wanted(
    entries: Sequence[Entry], kinds: Collection[type[Event]]
) -> Mapping[Projection, Sequence[Entry]]:
    """Who folds which of the events, in order."""
    if len(kinds) == 1:
        return {each: entries for kind in kinds for each in _READERS.get(kind, ())}
    wanted: dict[Projection, list[Entry]] = {each: [] for each in PROJECTIONS}
    takers = {kind: [wanted[each].append for each in _READERS.get(kind, ())] for kind in kinds}
    for entry in entries:
        for take in takers[type(entry[2])]:
            take(entry)
    return wanted
