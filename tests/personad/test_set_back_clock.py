"""A daemon's clock is set back by far, and put right again: every call is found all the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from personad.contract import calls as k
from personad.contract.asking import Filter, Range
from personad.contract.budget import Prices, PriceSet
from personad.contract.cost_rows import CostRows
from personad.questions import ANSWERS
from personad.tidy import all_at_once

from .conftest import Core
from .facts import NOON, cost, fresh_id

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
HOURS, A_COMMIT = 60, 40
WRONG = range(20, 40)
"""Hours in which the clock was a year behind."""
WHOLE = Range(since="2026-11-01", until="2026-11-03")
RIGHT = (HOURS - len(WRONG)) * A_COMMIT
OF_EXPERIMENT = Filter(experiments=["tone"])


@pytest.fixture(params=[False, True], ids=["as it came", "tidied up"])
def lived(request: pytest.FixtureRequest, core: Core) -> Core:
    for hour in range(HOURS):
        now = FIRST + timedelta(hours=hour, days=-365 if hour in WRONG else 0)
        core.clock = (now - NOON).total_seconds()
        of = {"batch": None, "at": now, "model": "m", "provider": "p"}
        core.append(
            *(cost(f"call-{hour}-{n}", None, experiment="tone", **of) for n in range(A_COMMIT))
        )
        if hour == 5:
            core.append(cost("corrected", None, experiment=None, **of))
            prices = Prices(input_nanousd=10**9, output_nanousd=10**9)
            core.append(
                PriceSet(
                    id=fresh_id(),
                    at=now,
                    provider="p",
                    model="m",
                    prices=prices,
                    effective_from=FIRST - timedelta(days=900),
                )
            )
    if request.param:
        all_at_once(core.book)
    return core


def ask(core: Core, request: Any) -> Any:
    return ANSWERS[type(request)](core.db, request, FIRST + timedelta(hours=HOURS))


def test_of_an_export_no_row_is_missing(lived: Core) -> None:
    rows, cursor = [], ""
    while True:
        page = ask(lived, CostRows(range=WHOLE, filter=OF_EXPERIMENT, cursor=cursor))
        rows += page.rows
        cursor = page.cursor
        if not cursor:
            break
    assert len(rows) == RIGHT


def test_each_that_would_cost_something_else_is_told(lived: Core) -> None:
    told = ask(lived, k.Repricing(range=WHOLE, filter=OF_EXPERIMENT))
    (row,) = told.rows
    assert row.calls == row.unpriced_calls == sum(hour not in WRONG for hour in range(6)) * A_COMMIT


def test_those_of_an_experiment_are_listed(lived: Core) -> None:
    of_a_day = Range(since="2026-11-01", until="2026-11-01")
    found = ask(lived, k.CostCalls(range=of_a_day, filter=OF_EXPERIMENT, limit=1_000))
    assert len(found.calls) == 20 * A_COMMIT
