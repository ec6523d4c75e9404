"""What the provider was paid, and what the ledger says, after kills in mid-call."""

import pytest

from .chaos.paid_kills import CONCURRENCY, shake
from .studio import Studio

pytestmark = pytest.mark.cold


def test_every_answer_that_was_received_is_paid_once_and_recorded_as_billed(
    studio: Studio,
) -> None:
    stock = shake(studio, kills=5, personas=18, seed=11)

    assert stock.wrong == []
    assert stock.ledger_nanousd == stock.server_nanousd > 0
    assert stock.answered == 18 * stock.batches
    assert stock.most_lost <= CONCURRENCY
