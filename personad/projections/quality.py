"""What personas are worth: sums and sketches of every metric's scores, by model and scorer.

Scores are integers × 10⁴ here, so that sums don't depend on their grouping. Figures of two scorers
are never in one row.
"""

from collections import defaultdict
from collections.abc import Sequence

from personad.contract.base import Event
from personad.contract.quality import QualityScored
from personad.log import Entry
from personad.projections import sketches
from personad.projections.book import Book
from personad.projections.buckets import Family

NAME = "quality"
VERSION = 1
SUMS = ("n", "total", "squares")
SCORE = Family("score", "series", SUMS)
SCHEMA = SCORE.schema
TABLES: tuple[str, ...] = tuple(
    f"{each.name}_quarter" for each in SCORE.buckets if "quarter" in each.tiers
)
WANTS: tuple[type[Event], ...] = (QualityScored,)
COMPOSITE = "composite"

_QUARTER_US = 900_000_000
_Kind = tuple[int, tuple[str, str, str], str | None, str | None, tuple[str, ...]]
"""Quarter-hour; provider, model and scorer; experiment and batch; metrics in their order."""


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit."""
    names = book.names
    groups: dict[_Kind, tuple[int, list[QualityScored]]] = {}
    for seq, at, event, _ in entries:
        assert isinstance(event, QualityScored)
        by = event.provider, event.model, event.scorer
        kind = (at // _QUARTER_US, by, event.experiment, event.batch, tuple(event.scores))
        if (those := groups.get(kind)) is None:
            those = groups[kind] = (seq, [])
        those[1].append(event)
    values: dict[tuple[int, int, int | None, int | None], list[int]] = defaultdict(list)
    for (quarter, by, of_experiment, of_batch, metrics), (first, found) in groups.items():
        experiment = names.experiment(of_experiment) if of_experiment is not None else None
        batch = names.batch(of_batch, first) if of_batch is not None else None
        # Metric by metric, which takes half the time of score by score.
        columns = zip(*[event.scores.values() for event in found], strict=True)
        for metric, scores in zip(metrics, columns, strict=True):
            # It may have been said among the others, too, and counts once: a field of its own.
            if metric != COMPOSITE:
                series = names.series(("score", metric, *by))
                values[quarter, series, experiment, batch] += [round(s * 10_000) for s in scores]
        series = names.series(("score", COMPOSITE, *by))
        told = [round(event.composite * 10_000) for event in found]
        values[quarter, series, experiment, batch] += told
    SCORE.add(
        book,
        {
            key: (len(some), sum(some), sum(each * each for each in some))
            for key, some in values.items()
        },
    )
    added: dict[sketches.Key, list[int]] = defaultdict(list)
    for (quarter, series, _, _), some in values.items():
        added[quarter, series] += some
    sketches.note(book, added, {})
    return []
