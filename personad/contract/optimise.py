"""What could have been spent less, judged by the calls that were made."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .asking import Filter, Period, Range
from .base import Count, Finite, Name, NanoUsd, Reply, Request, Score, Text
from .calls import CostCall

Confidence = Literal["high", "medium", "low"]
CALLS_BEHIND_MAX = 100


class _Evidence(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What a recommendation rests on: calls, and what the others leave of their cost."""

    calls: Count
    cost_nanousd: NanoUsd
    """What these calls cost."""
    would_be_nanousd: NanoUsd
    """What they would have cost. The difference is the saving."""


class ModelEvidence(_Evidence, frozen=True, kw_only=True, tag="model"):
    """Another model that scored no worse here, beyond chance."""

    provider: Name
    model: Name
    instead_provider: Name
    instead_model: Name
    scorer: Name
    scores: Count
    """Of the model that is used,"""
    instead_scores: Count
    """and of the other one: composites of this range, by one scorer."""
    quality: Score
    instead_quality: Score
    quality_difference: Finite
    """Of the other one; negative: it is worse."""
    quality_low: Finite
    """The ends of the difference's 95 % interval."""
    quality_high: Finite
    output_ratio: Finite
    """Tokens that the other one writes a call, for each of the one that is used; at least 1."""
    attempts_ratio: Finite
    """Likewise calls until one has an answer."""


class BatchEvidence(_Evidence, frozen=True, kw_only=True, tag="batch"):
    """The provider's discount for what may wait."""

    provider: Name
    model: Name
    discount: Score
    """Of these calls' cost."""


class CachingEvidence(_Evidence, frozen=True, kw_only=True, tag="caching"):
    """A prompt's beginning that is the same in every call, and was paid for in full."""

    provider: Name
    model: Name
    operation: Name
    prefix_tokens: Count
    """As measured by what calls read from the cache."""
    is_of_another_model: bool
    """Whether it was measured on another model's calls, as these read nothing from a cache."""
    cached: Score
    """The share of prompts' tokens that was read from a cache,"""
    could_be: Score
    """and that could have been."""


class FailureEvidence(_Evidence, frozen=True, kw_only=True, tag="failures"):
    """Calls that failed, and were paid for."""

    provider: Name
    model: Name
    failed: Score
    """Of the model's calls."""
    error_kind: Name | None
    """The most frequent one among its newest failed calls."""


class GrowthEvidence(_Evidence, frozen=True, kw_only=True, tag="growth"):
    """Prompts that have become longer, beyond chance."""

    provider: Name
    model: Name
    operation: Name
    tokens_before: Count
    """Of a prompt, on average, in the first third of the range's days with calls,"""
    tokens_now: Count
    """and in the last."""


class ExperimentEvidence(_Evidence, frozen=True, kw_only=True, tag="experiment"):
    """An experiment of which no persona was ever accepted."""

    experiment: Name
    completed: Count
    """Personas of it in the range,"""
    failed: Count


Evidence = (
    ModelEvidence
    | BatchEvidence
    | CachingEvidence
    | FailureEvidence
    | GrowthEvidence
    | ExperimentEvidence
)


class Recommendation(Struct, frozen=True, kw_only=True):
    """A way to spend less."""

    id: Text
    """`batch:openai/gpt-4o`: the same for the same way."""
    title: Text
    evidence: Evidence
    saving_nanousd: NanoUsd
    """Of the range, judged on what the others leave of the bill: no dollar is in two of them."""
    monthly_saving_nanousd: NanoUsd
    """The same for a month of the range's days."""
    confidence: Confidence
    apply: Text
    """The command that does it, or begins it."""
    calls: list[CostCall] = []
    """The newest of those behind it, where they were asked for."""


class Basis(Struct, frozen=True, kw_only=True):
    """What was looked at."""

    range: Period
    days: Count
    """Of the range, that have begun."""
    calls: Count
    cost_nanousd: NanoUsd


class CostOptimiseReply(Reply, frozen=True, kw_only=True, tag="cost-optimise"):
    basis: Basis
    recommendations: list[Recommendation]
    """The greatest saving first."""
    total_monthly_saving_nanousd: NanoUsd
    notes: list[Text]
    """What could not be judged, and why."""


class CostOptimise(Request[CostOptimiseReply], frozen=True, tag="cost-optimise"):
    """Where the calls of a range could have cost less."""

    range: Range = Range()
    filter: Filter = Filter()
    models: bool = True
    """Whether to look for cheaper models that are no worse,"""
    batch: bool = True
    """at batch discounts,"""
    caching: bool = True
    """at prompt caching,"""
    retries: bool = True
    """and at what failed."""
    calls: Annotated[int, Meta(ge=0, le=CALLS_BEHIND_MAX)] = 0
    """How many of those behind each way are told."""
