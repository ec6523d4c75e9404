"""Cost events as rows for other tools, each with what counts for it, a page at a time."""

from typing import Annotated

from msgspec import Meta, Struct

from .asking import Filter, Range
from .base import Count, Moment, Name, NanoUsd, Reply, Request, Text
from .cost import Outcome

ROWS_MAX = 500
"""Of one answer: however long their names are, so many fit a message."""


class CostRow(Struct, frozen=True, array_like=True, gc=False):
    """A `cost.recorded`, or a call that was granted and that only a correction tells of.

    What its call counts is its cost: so the rows of a range sum to what `cost history` says.
    """

    at: Moment
    seq: Count
    call: Name
    batch: Name | None
    persona: Name | None
    experiment: Name | None
    provider: Name
    model: Name
    operation: Name
    outcome: Outcome
    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_write_tokens: Count
    estimated: bool
    cost_nanousd: NanoUsd | None
    """null: unpriced, or without an answer and without a known maximum. 0 where it doesn't count.
    """
    price_source: str | None
    request_id: Name | None
    duration_ms: Count | None
    ttft_ms: Count | None
    counts: bool
    """Whether it is the event that counts for its call; of another one, tokens are as told."""
    recorded_nanousd: NanoUsd | None
    """What it cost before any correction."""
    corrected: str | None
    """Why another figure stands over that: `reprice`, `settled` or `reconciled`."""


class CostRowsReply(Reply, frozen=True, kw_only=True, tag="cost-rows"):
    rows: list[CostRow]
    cursor: Text | None
    """For the next page; null: this was the last one."""


class CostRows(Request[CostRowsReply], frozen=True, tag="cost-rows"):
    """The cost events of a range: none where retention has dropped them."""

    range: Range = Range()
    filter: Filter = Filter()
    cursor: Text = ""
    """What the page before said; empty for the first one."""
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = ROWS_MAX
