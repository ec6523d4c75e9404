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


def apply(book: Book, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Folds the events in; all fit."""
    names = book.names
    values: dict[tuple[int, int, int | None, int | None], list[int]] = defaultdict(list)
    for seq, at, event, _ in entries:
        assert isinstance(event, QualityScored)
        experiment = names.experiment(event.experiment) if event.experiment is not None else None
        batch = names.batch(event.batch, seq) if event.batch is not None else None
        quarter, by = at // _QUARTER_US, (event.provider, event.model, event.scorer)
        for metric, score in (*event.scores.items(), (COMPOSITE, event.composite)):
            series = names.series(("score", metric, *by))
            values[quarter, series, experiment, batch].append(round(score * 10_000))
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
