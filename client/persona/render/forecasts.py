"""How a forecast looks."""

from datetime import timedelta

from personad.contract.forecast import (
    CostForecastReply,
    ForecastBudget,
    ForecastPeriod,
    ForecastRecord,
)

from . import values
from .tables import MONEY, Chart, Column, Fact, Facts, Table, View

COLUMNS: tuple[Column[ForecastPeriod], ...] = (
    Column("Period", lambda row: row.label),
    Column("Low", lambda row: row.low_nanousd, MONEY),
    Column("Expected", lambda row: row.expected_nanousd, MONEY),
    Column("High", lambda row: row.high_nanousd, MONEY),
)


def forecast(reply: CostForecastReply) -> View:
    """The days that were and that come, the periods, and what a budget comes to."""
    empty = "no day with calls is over yet, so there is nothing to forecast from"
    if not reply.days:
        return [
            Table(COLUMNS, [], empty),
            *([Facts(_budget(reply.budget))] if reply.budget else []),
        ]
    come = [day.expected_nanousd for day in reply.days]
    first = len(reply.history)
    begin = reply.as_of - timedelta(days=first)
    chart = Chart(
        title=f"Cost by day ({reply.timezone}); ^ marks what is forecast",
        values=[*reply.history, *come],
        first=str(begin if first else reply.days[0].date),
        last=str(reply.days[-1].date),
        amount=lambda nanousd: values.money(round(nanousd)),
        marked=frozenset(range(first, first + len(come))),
    )
    told = Facts(
        [
            *_level(reply),
            *_record(reply.record),
            *_budget(reply.budget),
        ]
    )
    return [chart, Table(COLUMNS, reply.periods), told]


def _level(reply: CostForecastReply) -> list[Fact]:
    if all(period.low_nanousd is None for period in reply.periods):
        return []
    return [Fact("Level", f"{reply.level} % of such intervals hold what comes")]


def _record(found: ForecastRecord) -> list[Fact]:
    if found.hit_rate is None or found.level is None:
        return []
    held = f"{values.percent(found.hit_rate)} of {values.count(found.forecasts)} earlier ones held"
    return [Fact("So far", f"{held} what came; {found.level} % were to")]


def _budget(found: ForecastBudget | None) -> list[Fact]:
    if found is None:
        return []
    chance = found.probability_exceeded
    lines = [
        Fact("Budget", f"{values.money(found.limit_nanousd)} a month"),
        Fact("Spent this month", values.money(found.spent_nanousd)),
    ]
    if found.expected_month_total_nanousd is not None:
        total = values.money(found.expected_month_total_nanousd)
        lines.append(Fact("Expected by its end", total, "bold"))
    if chance is not None:
        style = "red" if chance > 0.5 else "yellow" if chance > 0.1 else ""
        lines.append(Fact("Chance of exceeding", values.percent(chance), style))
    if found.over_by_nanousd:
        lines.append(Fact("Over by", values.money(found.over_by_nanousd), "red"))
        lines.append(
            Fact("What to do", "`persona cost budget set --monthly USD --action stop` holds it")
        )
    if found.expected_on is not None:
        lines.append(Fact("Reached on", str(found.expected_on), "yellow"))
    return lines
