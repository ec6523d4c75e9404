"""A little of eight hours' traffic: nothing grows that shouldn't, and nothing goes wrong."""

from pathlib import Path

import pytest

from tests.chaos.soak import soak

EVENTS = 10_000

pytestmark = pytest.mark.cold


def test_traffic_of_every_kind_leaves_the_daemon_as_it_was(house: Path) -> None:
    found = soak(house / "L", EVENTS, seed=20261123, parts=2)
    assert found.is_good, found
    assert found.sent > EVENTS
    assert found.heard > 0
    assert found.asked > 0
