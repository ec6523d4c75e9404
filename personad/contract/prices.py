"""What the tokens of models cost."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from .base import Count, Name, NanoUsd, Reply, Request


class PriceRow(Struct, frozen=True, kw_only=True):
    """A model's prices now, in nano-dollars per million tokens; null: that kind has none."""

    provider: Name
    model: Name
    input_nanousd: NanoUsd | None
    output_nanousd: NanoUsd | None
    cache_read_nanousd: NanoUsd | None
    cache_write_nanousd: NanoUsd | None
    source: str | None
    """`genai-prices 0.2.3`, `price.set` or `free`; null: nobody knows a price."""
    effective_from: datetime | None
    is_used: bool
    """Whether this ledger has calls of it."""


class PricesReply(Reply, frozen=True, kw_only=True, tag="prices"):
    prices: list[PriceRow]
    data_age_days: Count
    """Of the public price list; null prices may only be missing in it."""
    data_source: str


class PriceList(Request[PricesReply], frozen=True, tag="price-list"):
    """The prices of the models that were used or priced, or of those that are named."""

    models: Annotated[list[Name], Meta(max_length=1_000)] = []
    """`PROVIDER/MODEL`, or a model's name alone where the ledger knows it."""


class PricesUpdated(Reply, frozen=True, kw_only=True, tag="prices-updated"):
    """The list counts from now on; what is recorded keeps its cost."""

    models: Count
    data_source: str
    changed: list[Name]
    """`PROVIDER/MODEL` of those that were used and cost something else from now on."""


class PricesUpdate(Request[PricesUpdated], frozen=True, kw_only=True, tag="prices-update"):
    """Takes a newer public price list, which somebody has fetched: the daemon fetches nothing."""

    text: str
    """As `genai-prices` publishes it: a JSON array of providers."""
