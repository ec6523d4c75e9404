"""What is asked about costs, answered from their sums."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

import apsw

from personad.bulk import SUM_MAX
from personad.contract import cost as c
from personad.contract.asking import Range
from personad.contract.budget import BudgetStatus
from personad.projections import budget_questions, summing
from personad.projections.asked import Asked, resolve
from personad.projections.cost_sums import COST
from personad.projections.personas import PERSONA
from personad.projections.summing import Columns, Only, Without

USAGE = (
    "cost_nanousd",
    "calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    Without("unknown", "unpriced_calls"),
)
KNOWN_COST = Columns(
    COST,
    (
        *USAGE,
        Only("error", "calls"),
        Without("unknown", "unpriced_tokens"),
        Without("unknown", "estimated_calls"),
        Only("unknown", "calls"),
        Only("unknown", "cost_nanousd"),
    ),
)
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
PERSONAS = Columns(PERSONA, ("completed", "accepted"))
_WEEK_DAYS = 7


class Made(NamedTuple):
    """What calls cost, and what was made."""

    usage: Sequence[int]
    """As `USAGE`, or as `KNOWN_COST`."""
    personas: Sequence[int]


def history(db: apsw.Connection, request: c.CostHistory, now: datetime) -> c.CostHistoryReply:
    """What calls cost over time.

    Raises:
        LedgerError: `invalid` or `not-found`, naming the field.
    """
    asked = resolve(db, request.range, request.filter, now)
    slices = asked.slices(request.interval)
    usage, personas = summing.by_slice(db, asked, (KNOWN_COST, PERSONAS), slices)
    whole = together(map(Made, usage, personas))
    return c.CostHistoryReply(
        range=asked.period,
        interval=request.interval,
        rows=[
            c.CostSlice(start=part.label, **_sums(Made(*made)))
            for part, *made in zip(slices, usage, personas, strict=True)
        ],
        total=total_of(asked, whole),
        coverage=coverage(whole),
    )


def overview(db: apsw.Connection, request: c.CostOverview, now: datetime) -> c.CostOverviewReply:
    """The present day, week and month, and the days that led to them.

    Raises:
        LedgerError: `invalid`, a zone that doesn't exist.
    """
    span, zone = request.days, request.timezone
    days = history(db, c.CostHistory(range=Range(days=span, timezone=zone)), now)
    week = Range(days=_WEEK_DAYS, timezone=zone)
    weeks = history(db, c.CostHistory(range=week, interval="week"), now)
    month = history(db, c.CostHistory(range=Range(month="this", timezone=zone)), now)
    return c.CostOverviewReply(
        timezone=days.range.timezone,
        today_nanousd=days.rows[-1].cost_nanousd,
        # No week is longer than its last seven days.
        week_nanousd=weeks.rows[-1].cost_nanousd,
        month_nanousd=month.total.cost_nanousd,
        unpriced_calls=month.coverage.unpriced_calls,
        budgets=budget_questions.status(db, BudgetStatus(), now).budgets,
        last_days=[
            c.CostDay(start=date.fromisoformat(row.start), cost_nanousd=row.cost_nanousd)
            for row in days.rows
        ],
        today_unpriced_calls=days.rows[-1].unpriced_calls,
        week_unpriced_calls=weeks.rows[-1].unpriced_calls,
    )


def together(parts: Iterable[Made]) -> Made:
    """What they sum to, as far as 63 bits go; there must be one."""
    usage, personas = zip(*parts, strict=True)
    return Made(
        *(
            [min(sum(each), SUM_MAX) for each in zip(*some, strict=True)]
            for some in (usage, personas)
        )
    )


def _sums(made: Made) -> dict[str, int]:
    cost, calls, *tokens, unpriced, failed, _, _, _, _ = made.usage
    return {
        "cost_nanousd": cost,
        "calls": calls,
        "failed_calls": failed,
        "unpriced_calls": unpriced,
        "personas": made.personas[0],
        "accepted": made.personas[1],
        **dict(zip(_TOKENS, tokens, strict=True)),
    }


def total_of(asked: Asked, whole: Made) -> c.CostTotal:
    cost, (personas, accepted) = whole.usage[0], whole.personas
    return c.CostTotal(
        daily_average_nanousd=shared(cost, asked.days_begun),
        cost_per_persona_nanousd=shared(cost, personas),
        cost_per_accepted_persona_nanousd=shared(cost, accepted),
        **_sums(whole),
    )


def coverage(whole: Made) -> c.Coverage:
    unpriced_calls, _, unpriced_tokens, estimated, unknown, unknown_max = whole.usage[-6:]
    return c.Coverage(
        priced_calls=max(0, whole.usage[1] - unpriced_calls - unknown),
        estimated_calls=estimated,
        unpriced_calls=unpriced_calls,
        unpriced_tokens=unpriced_tokens,
        unknown_calls=unknown,
        unknown_max_nanousd=unknown_max,
    )


def shared(cost: int, among: int) -> int | None:
    """To the nearest nano-dollar, halves up; None among none."""
    return (2 * cost + among) // (2 * among) if among else None
