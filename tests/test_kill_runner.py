"""`kill -9` of daemon and runner at chance moments: nothing is lost, nothing counted twice."""

import pytest

from .chaos.runner_kills import shake
from .studio import Studio

pytestmark = pytest.mark.cold


def test_kills_at_chance_moments_lose_nothing_and_count_nothing_twice(studio: Studio) -> None:
    stock = shake(studio, kills=13, seed=20_261_123)

    assert stock.kills == 13
    assert (stock.lost, stock.unexplained, stock.wrong) == ([], [], [])
    assert stock.quarantined == 0
