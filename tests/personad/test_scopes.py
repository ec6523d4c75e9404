"""A bill that names no batch and no experiment is still that of its call's."""

from typing import Any

import pytest

from personad.contract import cost as c
from personad.contract.asking import Range
from personad.questions import ANSWERS

from .conftest import Core
from .facts import cost, planned

BARE: dict[str, Any] = {"provider": "acme", "model": "one", "persona": None, "experiment": None}


@pytest.fixture
def granted(core: Core) -> Core:
    """A call of a batch and an experiment."""
    core.append(*planned("batch-a"))
    core.do(
        c.StartCall(
            call="a",
            provider="acme",
            model="one",
            max_input_tokens=10,
            max_output_tokens=10,
            batch="batch-a",
            experiment="tone",
        )
    )
    return core


def by(core: Core, dimension: c.Dimension) -> dict[str | None, int]:
    asked = c.CostBreakdown(by=dimension, range=Range(since="2026-11-01", until="2026-11-30"))
    reply = ANSWERS[c.CostBreakdown](core.db, asked, core.now)
    assert isinstance(reply, c.CostBreakdownReply)
    return {row.key: row.cost_nanousd for row in reply.rows}


def test_it_counts_for_what_its_call_was_granted_under(granted: Core) -> None:
    granted.append(cost("a", 70, batch=None, **BARE))
    assert by(granted, "experiment") == {"tone": 70}
    assert by(granted, "batch") == {"batch-a": 70}


def test_a_greater_figure_that_comes_later_does_too(granted: Core) -> None:
    granted.append(cost("a", 70, batch=None, output_tokens=1, **BARE))
    granted.append(cost("a", 90, batch=None, output_tokens=9, **BARE))
    assert by(granted, "experiment") == {"tone": 90}
    assert by(granted, "batch") == {"batch-a": 90}


def test_a_later_figure_that_names_its_batch_alone_keeps_the_experiment(granted: Core) -> None:
    granted.append(cost("a", 70, batch=None, output_tokens=1, **BARE))
    granted.append(cost("a", 90, batch="batch-a", output_tokens=9, **BARE))
    assert by(granted, "experiment") == {"tone": 90}


def test_what_it_says_itself_stands(granted: Core) -> None:
    granted.append(cost("a", 70, batch=None, **BARE | {"experiment": "other"}))
    assert by(granted, "experiment") == {"other": 70}
    assert by(granted, "batch") == {"batch-a": 70}


def test_a_call_that_was_never_granted_stays_without(core: Core) -> None:
    core.append(cost("b", 70, batch=None, **BARE))
    assert by(core, "experiment") == {None: 70}


def test_so_does_each_of_many_that_come_together(granted: Core) -> None:
    first = [cost(f"call-{n}", 7, batch="batch-a", **BARE | {"experiment": "b"}) for n in range(99)]
    granted.append(cost("a", 70, batch=None, output_tokens=1, **BARE), *first)
    again = [cost(f"call-{n}", 9, batch=None, output_tokens=9, **BARE) for n in range(99)]
    unknown = [cost(f"new-{n}", 1, batch=None, output_tokens=9, **BARE) for n in range(99)]
    granted.append(*unknown, cost("a", 90, batch=None, output_tokens=9, **BARE), *again)
    assert by(granted, "experiment") == {"tone": 90, "b": 99 * 9, None: 99}
    assert by(granted, "batch") == {"batch-a": 90 + 99 * 9, None: 99}
