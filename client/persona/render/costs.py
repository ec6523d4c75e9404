"""How costs look: over time, by what they were for, and on one screen."""

from typing import TYPE_CHECKING

from persona.render import values
from personad.contract.cost import (
    CostBreakdownReply,
    CostHistoryReply,
    CostOverviewReply,
    CostShare,
    CostSlice,
    CostTotal,
    Coverage,
)

from .budgets import budgets_table
from .tables import COUNT, SHARE, SPENT, TEXT, Chart, Column, Fact, Facts, Table, View, begin_of

if TYPE_CHECKING:
    from personad.contract.asking import Interval

NO_CALLS = "no calls in this range; `persona generate --from PATH` makes some, --days N looks back"
_TITLES: dict["Interval", str] = {
    "hour": "Hour",
    "day": "Date",
    "week": "Week from",
    "month": "Month",
}


def history(reply: CostHistoryReply, *, plots: bool) -> View:
    """A chart, the rows, the totals, and how much of it is known."""
    blocks: list[Chart | Table[CostSlice] | Facts] = []
    if not reply.total.calls:
        return [Table(_columns(reply), [], NO_CALLS)]
    if plots and len(reply.rows) > 1:
        blocks.append(_chart(reply))
    return [*blocks, Table(_columns(reply), reply.rows), totals(reply)]


def _columns(reply: CostHistoryReply) -> tuple[Column[CostSlice], ...]:
    begin = begin_of(reply.interval, reply.range.timezone)
    return (
        Column(_TITLES[reply.interval], lambda row: row.start, begin),
        Column("Cost", lambda row: (row.cost_nanousd, row.unpriced_calls), SPENT),
        Column("Calls", lambda row: row.calls, COUNT),
        Column("Personas", lambda row: row.personas, COUNT),
        Column("Tokens in", _tokens_in, COUNT),
        Column("Tokens out", lambda row: row.output_tokens, COUNT),
    )


def _tokens_in(row: CostSlice | CostTotal | CostShare) -> int:
    return row.input_tokens + row.cache_read_tokens + row.cache_write_tokens


def _chart(reply: CostHistoryReply) -> Chart:
    rows = reply.rows
    begin = begin_of(reply.interval, reply.range.timezone).shown
    return Chart(
        title=f"Cost by {reply.interval} ({reply.range.timezone})",
        values=[row.cost_nanousd for row in rows],
        first=begin(rows[0].start),
        last=begin(rows[-1].start),
        amount=lambda nanousd: values.money(round(nanousd)),
    )


def totals(reply: CostHistoryReply) -> Facts:
    """The range's sums, averages and coverage."""
    total = reply.total
    return Facts(
        [
            Fact("Total", values.spent(total.cost_nanousd, total.unpriced_calls), "bold"),
            Fact("Daily average", _share(total.daily_average_nanousd, total)),
            Fact("Personas", _personas(total)),
            Fact("Cost/persona", _share(total.cost_per_persona_nanousd, total)),
            Fact("Cost/accepted", _share(total.cost_per_accepted_persona_nanousd, total)),
            coverage(reply.coverage),
        ]
    )


def _personas(total: CostTotal) -> str:
    return f"{values.count(total.personas)}, {values.count(total.accepted)} accepted"


def overview(reply: CostOverviewReply) -> View:
    """Today, this week and this month, the last days, and the budgets."""
    days = reply.last_days
    sparks = values.sparkline([day.cost_nanousd for day in days])
    dearest = values.money(max(day.cost_nanousd for day in days))
    unpriced = reply.unpriced_calls
    lines = [
        Fact("Today", values.spent(reply.today_nanousd, reply.today_unpriced_calls), "bold"),
        Fact("This week", values.spent(reply.week_nanousd, reply.week_unpriced_calls)),
        Fact("This month", values.spent(reply.month_nanousd, unpriced)),
        Fact(f"Last {len(days)} days", f"{sparks}  at most {dearest} a day"),
    ]
    if unpriced:
        calls = values.plural(unpriced, "call")
        said = f"{calls} this month; `persona cost calls --unpriced` lists them"
        lines.append(Fact("Unpriced", said, "yellow"))
    return [Facts(lines), *budgets_table(reply.budgets)]


def overview_rows(reply: CostOverviewReply) -> View:
    """The same for CSV, which has tables alone."""
    periods = [
        ("today", reply.today_nanousd, reply.today_unpriced_calls),
        ("week", reply.week_nanousd, reply.week_unpriced_calls),
        ("month", reply.month_nanousd, reply.unpriced_calls),
    ]
    columns: tuple[Column[tuple[str, int, int]], ...] = (
        Column("Period", lambda row: row[0]),
        Column("Cost", lambda row: row[1:], SPENT),
        Column("Unpriced calls", lambda row: row[2], COUNT),
    )
    return [Table(columns, periods), *budgets_table(reply.budgets)]


def _share(nanousd: int | None, of: CostTotal) -> str:
    """A part of a total: where a price isn't known, there is more to it, too."""
    return values.NOTHING if nanousd is None else values.spent(nanousd, of.unpriced_calls)


def coverage(found: Coverage) -> Fact:
    """How much of a cost is known."""
    parts = [f"{values.plural(found.priced_calls, 'call')} priced"]
    if found.estimated_calls:
        parts.append(f"{values.count(found.estimated_calls)} by estimated tokens")
    if found.unpriced_calls:
        tokens = values.count(found.unpriced_tokens)
        parts.append(f"{values.count(found.unpriced_calls)} UNPRICED ({tokens} tokens)")
    if found.unknown_calls:
        most = values.money(found.unknown_max_nanousd)
        parts.append(f"{values.count(found.unknown_calls)} without an answer (counted at {most})")
    is_whole = not (found.unpriced_calls or found.unknown_calls)
    return Fact("Coverage", ", ".join(parts), "" if is_whole else "yellow")


def breakdown(reply: CostBreakdownReply) -> View:
    """A row a key, the dearest first, and the total that they sum to."""
    keys = begin_of("hour", reply.range.timezone) if reply.by == "hour" else TEXT
    columns: tuple[Column[CostShare], ...] = (
        Column(reply.by.capitalize(), lambda row: _key(row, reply), keys),
        Column("Cost", lambda row: (row.cost_nanousd, row.unpriced_calls), SPENT),
        Column("Share", lambda row: row.share, SHARE),
        Column("Calls", lambda row: row.calls, COUNT),
        Column("Personas", lambda row: row.personas, COUNT),
        Column("$/Persona", _a_persona, SPENT),
    )
    if not reply.total.calls:
        return [Table(columns, [], NO_CALLS)]
    rows = [*reply.rows, *([reply.rest] if reply.rest is not None else [])]
    total = reply.total
    return [
        Table(columns, rows),
        Facts(
            [
                Fact("Total", values.spent(total.cost_nanousd, total.unpriced_calls), "bold"),
                Fact("Cost/accepted", _share(total.cost_per_accepted_persona_nanousd, total)),
                coverage(reply.coverage),
            ]
        ),
    ]


def _a_persona(row: CostShare) -> tuple[int, int] | None:
    """Says where a part of the cost isn't known: it would seem cheap."""
    cost = row.cost_per_persona_nanousd
    return None if cost is None else (cost, row.unpriced_calls)


def _key(row: CostShare, reply: CostBreakdownReply) -> str:
    if row is reply.rest:
        return f"({values.count(reply.rest_rows)} more)"
    return "(none)" if row.key is None else row.key
