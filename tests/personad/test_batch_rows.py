"""The rows of batches and personas, while events are folded into them."""

import pytest

from personad.projections import batch_rows

from .conftest import Core
from .facts import queued, started


def test_a_place_is_taken_by_one_that_is_not_saved_yet(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_rows, "_PLACES_KEPT", 1)
    core.append(
        started("batch-a"),
        started("batch-b"),
        queued("p1", 1, "batch-a"),
        queued("p1", 1, "batch-b"),
        queued("p2", 1, "batch-a"),
        queued("p1", 2, "batch-a"),
        queued("p2", 2, "batch-b"),
    )
    told = [reason for _, reason in core.db.execute("SELECT * FROM anomaly ORDER BY seq")]
    assert told == ["place 1 of batch-a is taken by p1", "p1 is already in batch-a"]
    assert core.db.execute("SELECT count(*) FROM persona").get == 3
