"""Many experiments and batches cost memory and time only where somebody asks for them."""

from pathlib import Path

import pytest

from personad import names
from personad.projections import batch_rows
from tests.chaos.cardinality import AT_ONCE, measure

EXPERIMENTS, BATCHES = 1_000, 5_000
KEPT = 500


def test_totals_do_the_same_work_and_what_is_remembered_stays_bounded(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_KEPT", KEPT)
    monkeypatch.setattr(batch_rows, "_BATCHES_KEPT", KEPT)
    found = measure(house, EXPERIMENTS, BATCHES)
    assert found.is_good, found
    assert found.steps_few > 1_000
    assert max(found.remembered.values()) <= KEPT + AT_ONCE, found.remembered
    assert found.rows["batch"] == found.rows["cost_batch_quarter"] == BATCHES
    assert found.rows["cost_experiment_quarter"] <= BATCHES
