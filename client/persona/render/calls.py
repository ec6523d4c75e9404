"""How single calls look, and the bills that explain them."""

from collections.abc import Sequence

from msgspec import Struct

from personad.contract.calls import (
    BillLine,
    CostCall,
    CostCallsReply,
    CostExplainReply,
    ExplainedCall,
    RepriceRow,
    RepricingReply,
)

from . import values
from .tables import COUNT, MONEY, SPENT, Column, Fact, Facts, Kind, Table, View, when_in

HELD_BACK = "held back: no answer came"
_NAMED_ONCE = Kind(
    lambda named: values.clean(named[0]) if named[1] else "",
    lambda named: values.clean(named[0]),
    right=False,
    is_text=True,
    folds=True,
)
EXACT = Kind(values.exact_money, lambda nanousd: values.decimal(nanousd, 9))


def _tokens(row: CostCall) -> int:
    return row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens


def _source(row: CostCall) -> str:
    if row.outcome == "unknown" and not row.corrected:
        return HELD_BACK
    said = row.price_source or values.UNPRICED
    return f"{row.corrected} over {said}" if row.corrected else said


def call_columns(timezone: str) -> tuple[Column[CostCall], ...]:
    """Of calls, at the time of that zone: the days of a range are its days, too."""
    return (
        Column("When", lambda row: row.at, when_in(timezone)),
        Column("Call", lambda row: row.call),
        Column("Persona", lambda row: row.persona),
        Column("Model", lambda row: f"{row.provider}/{row.model}"),
        Column("Tokens", _tokens, COUNT),
        Column("Cost", lambda row: row.cost_nanousd, EXACT),
        Column("Price source", _source),
    )


def calls(reply: CostCallsReply) -> View:
    empty = "no such calls in this range; --days N looks further back"
    return [Table(call_columns(reply.range.timezone), reply.calls, empty)]


class _Line(Struct, frozen=True):
    """A line of a bill."""

    call: str
    begins: bool
    """Whether it is the first one of its call: people read its name there alone."""
    kind: str
    tokens: int | None
    price_per_million_nanousd: int | None
    cost_nanousd: int | None


def explained(reply: CostExplainReply) -> View:
    """A bill a call, and what they come to."""
    columns: tuple[Column[_Line], ...] = (
        Column("Call", lambda row: (row.call, row.begins), _NAMED_ONCE),
        Column("Kind", lambda row: row.kind),
        Column("Tokens", lambda row: row.tokens, COUNT),
        Column("Per million", lambda row: row.price_per_million_nanousd, EXACT),
        Column("Cost", lambda row: row.cost_nanousd, EXACT),
    )
    rows = [line for call in reply.calls for line in _bill(call)]
    return [Table(columns, rows), Facts([*_sources(reply), Fact("Sum", _sum(reply), "bold")])]


def _bill(call: ExplainedCall) -> list[_Line]:
    if call.before is None:
        priced = _lines(call.call, call.lines, begins=True)
        return priced or [_said(call, _source(call), call.cost_nanousd, begins=True), *_used(call)]
    first = _said(call, f"at first, {_first_source(call)}", call.before.cost_nanousd, begins=True)
    if call.lines:
        return [first, _said(call, f"{call.corrected}:", None), *_lines(call.call, call.lines)]
    return [first, _said(call, f"since then {call.corrected}", call.cost_nanousd)]


def _first_source(call: ExplainedCall) -> str:
    if call.corrected == "settled":
        return HELD_BACK
    return f"by {call.price_source}" if call.price_source else values.UNPRICED


def _said(call: CostCall, what: str, cost_nanousd: int | None, *, begins: bool = False) -> _Line:
    return _Line(call.call, begins, what, None, None, cost_nanousd)


def _lines(call: str, lines: Sequence[BillLine], *, begins: bool = False) -> list[_Line]:
    return [
        _Line(
            call,
            begins and not place,
            line.kind,
            line.tokens,
            line.price_per_million_nanousd,
            line.cost_nanousd,
        )
        for place, line in enumerate(lines)
    ]


def _used(call: CostCall) -> list[_Line]:
    """The tokens of each kind, where no price goes with them."""
    kinds = {
        "input": call.input_tokens,
        "output": call.output_tokens,
        "cache_read": call.cache_read_tokens,
        "cache_write": call.cache_write_tokens,
    }
    return [
        _Line(call.call, False, kind, tokens, None, None)
        for kind, tokens in kinds.items()
        if tokens
    ]


def _sum(reply: CostExplainReply) -> str:
    """Of what is known; a call that nobody knows the price of is not free."""
    known = values.exact_money(reply.cost_nanousd)
    if all(call.cost_nanousd is not None for call in reply.calls):
        return known
    return f"{known} + {values.UNPRICED}" if reply.cost_nanousd else values.UNPRICED


def _sources(reply: CostExplainReply) -> list[Fact]:
    """Where each model's prices come from, once."""
    found: dict[str, str] = {}
    for call in reply.calls:
        if call.price is not None:
            since = call.price.effective_from
            told = f" since {since:%Y-%m-%d}" if since is not None else ""
            found[f"{call.provider}/{call.model}"] = f"{call.price.source}{told}"
    return [Fact(f"Prices of {model}", source) for model, source in found.items()]


def repricing(reply: RepricingReply) -> View:
    """A row a model, and the sums."""
    columns: tuple[Column[RepriceRow], ...] = (
        Column("Model", lambda row: f"{row.provider}/{row.model}"),
        Column("Calls", lambda row: row.calls, COUNT),
        Column("Was", lambda row: (row.was_nanousd, row.unpriced_calls), SPENT),
        Column("Would be", lambda row: row.would_be_nanousd, MONEY),
        Column("Difference", lambda row: row.would_be_nanousd - row.was_nanousd, SIGNED),
    )
    if not reply.rows:
        return [Table(columns, [], "every call of this range costs what it would now")]
    was, would_be = reply.total.was_nanousd, reply.total.would_be_nanousd
    first = values.spent(was, sum(row.unpriced_calls for row in reply.rows))
    total = f"{first} → {values.money(would_be)} ({_signed(would_be - was)})"
    return [Table(columns, reply.rows), Facts([Fact("Total", total, "bold")])]


def _signed(nanousd: int) -> str:
    return f"{'+' if nanousd >= 0 else '-'}{values.money(abs(nanousd))}"


SIGNED = Kind(_signed, lambda nanousd: values.decimal(nanousd, 9))
