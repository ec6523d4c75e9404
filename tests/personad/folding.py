"""Adds up all that is stale, as the daemon does between two commits."""

from personad.projections import sketches
from personad.projections.buckets import Family, quarters_of
from personad.projections.cost_sums import COST
from personad.projections.personas import PERSONA
from personad.projections.quality import SCORE

from .conftest import Core

FAMILIES: tuple[Family, ...] = (COST, PERSONA, SCORE)


def fold_all(core: Core) -> None:
    """Works every value in and adds up every stale hour and day."""
    db, zone = core.db, core.book.zone
    db.execute("BEGIN")
    while sketches.work_in(db, 10_000):
        pass
    for tier, day in list(db.execute("SELECT tier, day FROM stale")):
        for family in FAMILIES:
            for buckets in family.buckets:
                buckets.refold(db, tier, day, zone)
        sketches.refold(db, tier, day, *quarters_of(tier, day, zone))
    db.execute("DELETE FROM stale; COMMIT")
    core.book.forget()
