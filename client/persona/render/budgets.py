"""How budgets look, and calls that were settled."""

from collections.abc import Sequence

from personad.contract.budget import Budget, BudgetStatusReply
from personad.contract.cost import Settled, SettledCall

from . import values
from .tables import MONEY, TEXT, Column, Fact, Facts, Kind, Table, View

BAR_CELLS = 10

_STYLES = {"ok": "green", "warning": "yellow", "reached": "red"}


def _bar(share: float) -> str:
    return f"{values.bar(share, BAR_CELLS, plain=True)} {values.percent(share)}"


USED = Kind(_bar, str, right=False, folds=True)

COLUMNS: tuple[Column[Budget], ...] = (
    Column("Scope", lambda row: row.scope),
    Column("Limit", lambda row: row.limit_nanousd, MONEY),
    Column("Spent", lambda row: row.spent_nanousd, MONEY),
    Column("Reserved", lambda row: row.reserved_nanousd + row.unresolved_nanousd, MONEY),
    Column("Used", lambda row: row.used, USED, style=lambda row: _STYLES[row.status]),
    Column("Projected", lambda row: row.projected_nanousd, MONEY),
    Column(
        "Status", lambda row: f"{row.status} ({row.action})", style=lambda row: _STYLES[row.status]
    ),
)

SETTLED: tuple[Column[SettledCall], ...] = (
    Column("Call", lambda row: row.call, TEXT),
    Column("Batch", lambda row: row.batch, TEXT),
    Column("Held", lambda row: row.held_nanousd, MONEY),
    Column("Cost", lambda row: row.cost_nanousd, MONEY),
)


def budgets(reply: BudgetStatusReply) -> View:
    return budgets_table(reply.budgets)


def budgets_table(found: Sequence[Budget]) -> View:
    """A row a budget."""
    empty = "no budget is set; `persona cost budget set --monthly USD` sets one"
    ends = [
        f"{budget.scope} on {values.when(budget.exhausted_at)}"
        for budget in found
        if budget.exhausted_at is not None
    ]
    used_up = [Facts([Fact("used up at this pace", ", ".join(ends), "yellow")])] if ends else []
    return (Table(COLUMNS, found, empty), *used_up)


def settled(reply: Settled, *, were_named: bool) -> View:
    """`were_named`: whether it was said which calls, of all that are unresolved."""
    empty = "nothing is unresolved: every call has its cost"
    if were_named:
        empty = (
            "nothing was held back for what you named: `persona cost explain CALL` says its cost"
        )
    return (Table(SETTLED, reply.calls, empty),)
