"""Single calls: the way from a figure to what it was made of."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from .asking import Filter, Period, Range
from .base import Count, Moment, Name, NanoUsd, Reply, Request
from .cost import Outcome

CALLS_MAX = 10_000
"""Of one answer."""


class CostCall(Struct, frozen=True, kw_only=True):
    """One call, and what counts for it."""

    call: Name
    at: Moment
    seq: Count
    """Of the event that counts."""
    provider: Name
    model: Name
    operation: Name
    outcome: Outcome
    batch: Name | None
    persona: Name | None
    experiment: Name | None
    request_id: Name | None
    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_write_tokens: Count
    estimated: bool
    """Whether the tokens are the producer's guess."""
    cost_nanousd: NanoUsd | None
    """null: nobody knows its price; of one without an answer, what is held back for it."""
    price_source: str | None
    """`genai-prices 0.2.3`, `price.set`, `free`, or `producer` where that said the cost itself."""
    corrected: str | None = None
    """Why a later figure stands over the first: `reprice`, `settled` or `reconciled`."""


class CostCallsReply(Reply, frozen=True, kw_only=True, tag="cost-calls"):
    range: Period
    calls: list[CostCall]
    """The dearest first."""
    more: bool
    """Whether there are more than were asked for."""


class CostCalls(Request[CostCallsReply], frozen=True, tag="cost-calls"):
    """The calls of a range, from the events themselves: none where retention has dropped them."""

    range: Range = Range()
    filter: Filter = Filter()
    unpriced: bool = False
    """Only those of models without a known price."""
    unknown: bool = False
    """Only those whose answer never came."""
    limit: Annotated[int, Meta(ge=1, le=CALLS_MAX)] = 20


class BillLine(Struct, frozen=True, kw_only=True):
    """A kind of token, its price, and what it came to."""

    kind: str
    """`input`, `output`, `cache_read`, `cache_write` or `request`."""
    tokens: Count
    price_per_million_nanousd: NanoUsd
    """Rounded where a price is no whole number of nano-dollars per million."""
    cost_nanousd: NanoUsd


class BillPrice(Struct, frozen=True, kw_only=True):
    source: str
    effective_from: datetime | None


class Bill(Struct, frozen=True, kw_only=True):
    """What a call cost by one of its figures."""

    lines: list[BillLine]
    """They sum to its cost. Empty where somebody said the cost itself, or nobody knows a price."""
    cost_nanousd: NanoUsd | None
    price: BillPrice | None


class ExplainedCall(CostCall, frozen=True, kw_only=True):
    """A call with the lines that its cost is the sum of."""

    lines: list[BillLine]
    """Empty where somebody said the cost itself, or nobody knows a price."""
    price: BillPrice | None
    before: Bill | None = None
    """Of a corrected call, what it cost at first."""


class CostExplainReply(Reply, frozen=True, kw_only=True, tag="cost-explain"):
    calls: list[ExplainedCall]
    """In their order."""
    cost_nanousd: NanoUsd
    more: bool


class CostExplain(Request[CostExplainReply], frozen=True, tag="cost-explain"):
    """How calls came to their cost, to the last nano-dollar."""

    id: Name
    """A call's, persona's or batch's, the only one that begins so, or `last` for the last batch."""
    limit: Annotated[int, Meta(ge=1, le=CALLS_MAX)] = 1_000


REPRICED_AT_ONCE = 1_000
"""Calls of one request: so long may nothing else be written."""


class RepriceRow(Struct, frozen=True, kw_only=True):
    """A model whose calls would cost something else."""

    provider: Name
    model: Name
    calls: Count
    was_nanousd: NanoUsd
    """An unpriced call is nothing here."""
    would_be_nanousd: NanoUsd
    unpriced_calls: Count
    """Of `calls`, those that had no price."""


class RepriceTotal(Struct, frozen=True, kw_only=True):
    """What the rows sum to."""

    was_nanousd: NanoUsd
    would_be_nanousd: NanoUsd


class RepricingReply(Reply, frozen=True, kw_only=True, tag="repricing"):
    range: Period
    rows: list[RepriceRow]
    total: RepriceTotal
    calls: list[Name]
    """The first of those that would change, for `reprice`."""
    more: bool
    """Whether there are more of them than `calls`; ask again when these are repriced."""


class Repricing(Request[RepricingReply], frozen=True, tag="repricing"):
    """What the calls of a range would cost at the prices that are known now for their moment.

    What a producer priced itself stays as it is.
    """

    range: Range = Range()
    filter: Filter = Filter()
    unpriced: bool = False
    """Only those without a price."""


class RepricedReply(Reply, frozen=True, kw_only=True, tag="repriced"):
    calls: Count
    """That cost something else from now on; one that didn't change isn't counted."""


class Reprice(Request[RepricedReply], frozen=True, tag="reprice"):
    """Appends a `cost.corrected` for each of these calls that would cost something else now."""

    calls: Annotated[list[Name], Meta(max_length=REPRICED_AT_ONCE)]
