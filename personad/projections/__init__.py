"""The tables that everything on a screen is read from; each a fold of the log.

`PROJECTIONS` is the whole list, in the order in which they fold: what one of them finds impossible,
the later ones never see.
"""

from collections.abc import Sequence
from typing import Protocol

import apsw

from personad.contract.events import Recorded
from personad.projections import batches, costs


class Projection(Protocol):
    """A table family that is a fold of the log."""

    NAME: str
    VERSION: int
    SCHEMA: str

    def apply(
        self, db: apsw.Connection, recorded: Sequence[Recorded], *, since: int
    ) -> list[tuple[int, str]]:
        """Folds events in, in order; gives those that don't fit, by seq, with the reason.

        `since` is the newest seq before this commit, of which these may be a part only.
        """
        ...


PROJECTIONS: tuple[Projection, ...] = (batches, costs)


def fold(db: apsw.Connection, recorded: Sequence[Recorded], *, since: int) -> list[tuple[int, str]]:
    """Folds the events into every projection; gives those that don't fit, by seq."""
    anomalies: list[tuple[int, str]] = []
    left = recorded
    for projection in PROJECTIONS:
        found = projection.apply(db, left, since=since)
        if found:
            anomalies += found
            misfits = {seq for seq, _ in found}
            left = [each for each in left if each.seq not in misfits]
    return anomalies
