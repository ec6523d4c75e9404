"""What is arriving of answers that are not whole yet: told to whoever watches, and never stored."""

from typing import Annotated

from msgspec import Meta, Struct

from .base import BatchId, Count, Done, Moment, Name, Positive, Request
from .batch import Eta

StreamedTokens = Annotated[dict[Name, Count], Meta(max_length=1_000)]
"""By persona, about how many tokens of its answer have come."""


class Progress(Request[Done], frozen=True, tag="progress"):
    """Of all personas that are being answered at this moment."""

    batch: BatchId
    fence: Positive
    tokens: StreamedTokens


class ProgressFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="batch-progress"):
    """Topic `progress/<id>/`: what is arriving now. Each says all there is, and none is missed."""

    batch: str
    tokens: StreamedTokens
    as_of: Moment
    eta_ms: Eta | None = None
    """The rest as it is judged now, as time alone tells something; null: as it was before."""
