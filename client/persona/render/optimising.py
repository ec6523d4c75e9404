"""How ways to spend less look."""

from typing import assert_never

from personad.contract import optimise as o

from . import values
from .calls import call_columns
from .tables import MONEY, Block, Column, Fact, Facts, Table, View

NOTHING_TO_SAVE = "nothing to save: in these calls no way shows that would have cost less"
_STYLES = {"high": "green", "medium": "", "low": "dim"}

COLUMNS: tuple[Column[o.Recommendation], ...] = (
    Column("What", lambda row: row.title),
    Column("Evidence", lambda row: evidence(row.evidence)),
    Column("A month", lambda row: row.monthly_saving_nanousd, MONEY),
    Column("How sure", lambda row: row.confidence, style=lambda row: _STYLES[row.confidence]),
    Column("Command", lambda row: row.apply),
)


def recommendations(reply: o.CostOptimiseReply, *, with_calls: bool) -> View:
    """The ways, what they come to, and the calls behind each where that is asked for."""
    basis = reply.basis
    if not basis.calls:
        return [Table(COLUMNS, [], "no calls in this range, so there is nothing to save")]
    days = values.plural(basis.days, "day")
    calls = values.plural(basis.calls, "call")
    lines = [Fact("Looked at", f"{calls} of {days}: {values.money(basis.cost_nanousd)}")]
    if not reply.recommendations:
        return [Table(COLUMNS, [], NOTHING_TO_SAVE), Facts(lines)]
    saved = values.money(reply.total_monthly_saving_nanousd)
    lines.append(Fact("Together", f"{saved} a month; no dollar is in two of them", "bold"))
    blocks: list[Block] = [
        Table(COLUMNS, reply.recommendations),
        Facts(lines),
    ]
    if with_calls:
        for each in reply.recommendations:
            blocks.append(Facts([Fact("Behind", each.title, "bold")]))
            blocks.append(Table(call_columns(basis.range.timezone), each.calls))
    return blocks


def evidence(found: o.Evidence) -> str:
    """In a few words."""
    cost = f"{values.plural(found.calls, 'call')}, {values.money(found.cost_nanousd)}"
    match found:
        case o.ModelEvidence():
            low, high = (_signed(each) for each in (found.quality_low, found.quality_high))
            return (
                f"{cost}; quality {_signed(found.quality_difference)} ({low} to {high}) by "
                f"{found.instead_scores:,} scores against {found.scores:,}"
            )
        case o.BatchEvidence():
            return f"{cost}; a discount of {values.percent(found.discount)}"
        case o.CachingEvidence():
            of_whom = "; measured on another model" if found.is_of_another_model else ""
            return (
                f"{cost}; {values.percent(found.cached)} of prompts was read from the cache, "
                f"{values.percent(found.could_be)} could be, by a repeated beginning of "
                f"{found.prefix_tokens:,} tokens{of_whom}"
            )
        case o.FailureEvidence():
            return f"{cost}; {values.percent(found.failed)} of its calls failed"
        case o.GrowthEvidence():
            return f"{cost}; a prompt has {found.tokens_now:,} tokens, had {found.tokens_before:,}"
        case o.ExperimentEvidence():
            made = values.plural(found.completed, "persona")
            return f"{cost}; {made} made, {found.failed:,} failed, none accepted"
        case _:
            assert_never(found)


def _signed(difference: float) -> str:
    return f"{difference:+.3f}"
