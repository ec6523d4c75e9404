"""Budgets, calls and bills to test with, and how a budget stands."""

from datetime import datetime, timedelta
from typing import Any

from personad.contract import cost as c
from personad.contract.budget import Budget, BudgetSet, BudgetStatus, Prices, PriceSet
from personad.projections import budget_questions

from .conftest import Core
from .facts import NOON, cost, fresh_id

PRICED = {"provider": "acme", "model": "one"}
"""A nano-dollar a token, read or written; three written to a cache."""


def priced(**more: Any) -> PriceSet:
    prices = Prices(input_nanousd=10**6, output_nanousd=10**6, cache_write_nanousd=3 * 10**6)
    fields: dict[str, Any] = {"prices": prices, "effective_from": NOON - timedelta(days=900)}
    return PriceSet(**({"id": fresh_id(), "at": NOON} | PRICED | fields | more))


def budget(scope: str = "daily", limit: int = 100, **more: Any) -> BudgetSet:
    fields: dict[str, Any] = {"action": "stop", "thresholds": [50, 80, 100], "timezone": "UTC"}
    fields |= {"id": fresh_id(), "at": NOON, "scope": scope, "limit_nanousd": limit}
    return BudgetSet(**(fields | more))


def call(name: str = "call-1", most: int = 60, **more: Any) -> c.StartCall:
    """One that may cost so many nano-dollars."""
    fields: dict[str, Any] = {"max_input_tokens": 0, "max_output_tokens": most}
    return c.StartCall(**({"call": name} | PRICED | fields | more))


def bill(name: str = "call-1", nanousd: int = 60, **more: Any) -> c.CostRecorded:
    return cost(name, nanousd, **(PRICED | {"batch": None, "persona": None} | more))


def granted(nanousd: int | None) -> c.Granted:
    return c.Granted(reserved_nanousd=nanousd)


def status(core: Core) -> dict[str, Budget]:
    found = budget_questions.status(core.db, BudgetStatus(), core.now).budgets
    return {each.scope: each for each in found}


def sums(core: Core, scope: str = "daily") -> tuple[int, int, int]:
    found = status(core)[scope]
    return found.spent_nanousd, found.reserved_nanousd, found.unresolved_nanousd


def go_to(core: Core, moment: datetime) -> None:
    core.clock = (moment - NOON).total_seconds()
