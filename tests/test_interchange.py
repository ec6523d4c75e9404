"""A whole ledger exported and taken in by an empty one, with the real programs."""

from pathlib import Path

from tests.chaos.interchange import FEW, there_and_back

EVENTS = 2 * FEW


def test_an_export_makes_a_ledger_that_answers_alike_and_takes_no_more_memory_for_more(
    house: Path,
) -> None:
    found = there_and_back(house, EVENTS, seed=20261123)
    assert found.is_good, found
    assert found.asked > 20
