"""Calls and what they cost."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from .asking import Filter, Interval, Period, Range
from .base import (
    MAX_APPEND_EVENTS,
    BatchId,
    BilledBatch,
    Count,
    Event,
    Milliseconds,
    Name,
    NanoUsd,
    Positive,
    Reply,
    Request,
    derived_id,
)
from .budget import Budget

Outcome = Literal["ok", "error", "unknown"]


class CallStarted(Event, frozen=True, kw_only=True, tag="call.started"):
    """Granted: from now on this call may cost up to what was reserved."""

    DAEMON_ONLY = True

    call: Name
    provider: Name
    model: Name
    batch: BatchId | None = None
    persona: Name | None = None
    attempt: Positive | None = None
    experiment: Name | None = None
    reserved_nanousd: NanoUsd | None = None


class CallAbandoned(Event, frozen=True, kw_only=True, tag="call.abandoned"):
    """Nothing was sent: the reservation is free again."""

    call: Name
    reason: Name


class CostRecorded(Event, frozen=True, kw_only=True, tag="cost.recorded"):
    """What one call used, and cost.

    Without `cost_nanousd` the daemon prices it once, at the prices of `at`. Of several for one
    call the greatest by (total tokens, output tokens, id) counts.
    """

    call: Name
    provider: Name
    model: Name
    operation: Name
    outcome: Outcome
    input_tokens: Count = 0
    """Neither read from nor written to a cache."""
    output_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    request_id: Name | None = None
    batch: BilledBatch | None = None
    persona: Name | None = None
    experiment: Name | None = None
    service_tier: Name | None = None
    cost_nanousd: NanoUsd | None = None
    estimated: bool = False
    error_kind: Name | None = None
    duration_ms: Milliseconds | None = None
    ttft_ms: Milliseconds | None = None


def unheard(call: CallStarted, at: datetime) -> CostRecorded:
    """What is known of a call when nobody waits for its answer any more: nothing.

    The id is the least there is: whatever is told of such a call after all counts more.
    """
    return CostRecorded(
        id=UUID(int=derived_id("cost.recorded", "lost", call.call).int >> 32),
        at=at,
        call=call.call,
        provider=call.provider,
        model=call.model,
        operation="generation",
        outcome="unknown",
        error_kind="interrupted",
        batch=call.batch,
        persona=call.persona,
        experiment=call.experiment,
    )


class CostCorrected(Event, frozen=True, kw_only=True, tag="cost.corrected"):
    """A later, better figure for a call; both stay in the ledger."""

    DAEMON_ONLY = True

    call: Name
    cost_nanousd: NanoUsd
    reason: Literal["reprice", "settled", "reconciled"]
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class Granted(Reply, frozen=True, tag="granted"):
    reserved_nanousd: NanoUsd | None


class Wait(Reply, frozen=True, tag="wait"):
    """Calls in flight, once settled, may free enough: ask again."""


class Refused(Reply, frozen=True, tag="refused"):
    """A budget stands in the way, and nothing that is in flight could clear it."""

    budget: str
    """Its scope: `monthly`, `experiment:tone`, `batch:batch-2026-11-23-a1b2c3`."""
    spent_nanousd: NanoUsd
    reserved_nanousd: NanoUsd
    limit_nanousd: NanoUsd
    unresolved_nanousd: NanoUsd = 0
    """Held back for calls whose answer never came, until they are settled."""
    maximum_nanousd: NanoUsd | None = None
    """The most that this call could cost; null: nobody knows its price, so no limit could hold."""


class StartCall(Request[Granted | Wait | Refused], frozen=True, tag="start-call"):
    """Before every call that may cost. Idempotent by `call`, for as long as the call is open."""

    call: Name
    provider: Name
    model: Name
    max_input_tokens: Count
    """However they turn out to be billed: none of a prompt's UTF-8 bytes is more than one token."""
    max_output_tokens: Count
    batch: BatchId | None = None
    persona: Name | None = None
    attempt: Positive | None = None
    experiment: Name | None = None
    fence: Positive | None = None
    begins: bool = False
    """Whether the `persona` is `generating` once granted: the daemon then records that, too."""


class SettledCall(Struct, frozen=True, kw_only=True):
    """A call that nobody waits for any more."""

    call: Name
    batch: BatchId | None
    held_nanousd: NanoUsd
    """What was held back for it until now."""
    cost_nanousd: NanoUsd
    """What it counts from now on, unless its bill still comes."""


class Settled(Reply, frozen=True, kw_only=True, tag="settled"):
    calls: list[SettledCall]
    """Those that were settled now; one that was before is left out."""


class Settle(Request[Settled], frozen=True, kw_only=True, tag="settle"):
    """Says what calls cost whose answer never came. Sent again, it changes nothing more."""

    calls: Annotated[list[Name], Meta(max_length=MAX_APPEND_EVENTS)] = []
    """Ids, or the only one that begins so; none: every unresolved one."""
    cost_nanousd: NanoUsd = 0
    """Of each."""


COST_MAX = 2**63 - 1
PROMPTS_MAX = 10_000
PROMPT_TOKENS_MAX = 10**9
"""Of one prompt: no sum of them is then too large for the wire."""


class Guess(Struct, frozen=True, kw_only=True):
    low: Count
    expected: Count
    high: Count


class Estimated(Reply, frozen=True, kw_only=True, tag="estimated"):
    """What a batch will take. Money is null where nobody knows the model's price."""

    provider: str
    model: str
    calls: Guess
    """With the repeated ones, as often as they were needed before."""
    input_tokens: Guess
    output_tokens: Guess
    low_nanousd: NanoUsd | None
    expected_nanousd: NanoUsd | None
    high_nanousd: NanoUsd | None
    price_source: str | None
    history_batches: Count
    """Earlier batches of this model that it is judged by; without any it is a rule of thumb."""
    history_personas: Count
    refused: Refused | None = None
    """By a budget that has no room for one call: the batch could not begin."""


class Estimate(Request[Estimated], frozen=True, tag="estimate"):
    """What a batch would cost that is not recorded yet."""

    provider: Name
    model: Name
    input_tokens: Annotated[
        list[Annotated[int, Meta(ge=0, le=PROMPT_TOKENS_MAX)]], Meta(max_length=PROMPTS_MAX)
    ]
    """Of each prompt."""
    max_output_tokens: Annotated[int, Meta(ge=0, le=PROMPT_TOKENS_MAX)]
    """Of one call."""
    largest_call_bytes: Annotated[int, Meta(ge=0, le=PROMPT_TOKENS_MAX)] = 0
    """Of the longest prompt: none of its bytes is more than one token."""
    experiment: Name | None = None
    stop_nanousd: Positive | None = None
    """What the batch itself may cost at most; a standing budget with `stop` counts without it."""


class CostSums(Struct, frozen=True, kw_only=True, gc=False):
    """What some calls add up to; a call whose answer never came counts at its maximum."""

    cost_nanousd: NanoUsd
    calls: Count
    failed_calls: Count
    unpriced_calls: Count
    """Their cost is not in `cost_nanousd`, as nobody knows it."""
    personas: Count
    """Completed ones."""
    accepted: Count
    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_write_tokens: Count


class CostSlice(CostSums, frozen=True, kw_only=True, gc=False):
    """An hour, a day, a week or a month, or the part of it that is in the range."""

    start: Name
    """A day, `2026-10-05`, in the asked zone; of hours a time in UTC, `2026-10-05T14:00:00Z`."""


class CostTotal(CostSums, frozen=True, kw_only=True, gc=False):
    """The same over the whole range; averages are rounded, and null where there is no divisor."""

    daily_average_nanousd: NanoUsd | None
    """Over the days of the range that have begun."""
    cost_per_persona_nanousd: NanoUsd | None
    cost_per_accepted_persona_nanousd: NanoUsd | None


class Coverage(Struct, frozen=True, kw_only=True):
    """How much of a cost is known: every call is priced, unpriced or unknown."""

    priced_calls: Count
    estimated_calls: Count
    """Of those with an answer: their tokens are the producer's guess."""
    unpriced_calls: Count
    unpriced_tokens: Count
    unknown_calls: Count
    """Sent, and no answer came."""
    unknown_max_nanousd: NanoUsd
    """What these count in the cost."""


class CostHistoryReply(Reply, frozen=True, kw_only=True, tag="cost-history"):
    range: Period
    interval: Interval
    rows: list[CostSlice]
    """One for each of the range, also where nothing happened; they sum to the total."""
    total: CostTotal
    coverage: Coverage


class CostHistory(Request[CostHistoryReply], frozen=True, tag="cost-history"):
    """What calls cost over time."""

    range: Range = Range()
    filter: Filter = Filter()
    interval: Interval = "day"


Dimension = Literal[
    "provider",
    "model",
    "experiment",
    "batch",
    "operation",
    "outcome",
    "hour",
    "day",
    "week",
    "month",
]
MAX_ROWS = 10_000
"""Of one answer."""


class CostShare(Struct, frozen=True, gc=False):
    """What the calls of one key cost."""

    key: Name | None
    """null: those without."""
    cost_nanousd: NanoUsd
    share: float | None
    """Of the total, from 0 to 1; null where that is nothing."""
    calls: Count
    personas: Count | None
    """null by operation and by outcome, which a persona has none of."""
    accepted: Count | None
    cost_per_persona_nanousd: NanoUsd | None
    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_write_tokens: Count
    unpriced_calls: Count = 0
    """Their cost is not in `cost_nanousd`, as nobody knows it."""
    cost_per_accepted_persona_nanousd: NanoUsd | None = None


class CostBreakdownReply(Reply, frozen=True, kw_only=True, tag="cost-breakdown"):
    range: Period
    by: Dimension
    rows: list[CostShare]
    """The dearest first; over time, in its order."""
    rest: CostShare | None
    """All beyond the request's limit, together. Rows and rest sum to the total."""
    rest_rows: Count
    total: CostTotal
    coverage: Coverage


class CostBreakdown(Request[CostBreakdownReply], frozen=True, tag="cost-breakdown"):
    """What the calls of a range cost, by one of their dimensions."""

    by: Dimension
    range: Range = Range()
    filter: Filter = Filter()
    limit: Annotated[int, Meta(ge=1, le=MAX_ROWS)] = MAX_ROWS


class CostDay(Struct, frozen=True, kw_only=True):
    start: date
    cost_nanousd: NanoUsd


class CostOverviewReply(Reply, frozen=True, kw_only=True, tag="cost-overview"):
    """Where costs stand now."""

    timezone: Name
    today_nanousd: NanoUsd
    week_nanousd: NanoUsd
    """Since its first day."""
    month_nanousd: NanoUsd
    unpriced_calls: Count
    """Of the month; their cost is in no figure."""
    budgets: list[Budget]
    last_days: list[CostDay]
    today_unpriced_calls: Count = 0
    week_unpriced_calls: Count = 0


class CostOverview(Request[CostOverviewReply], frozen=True, tag="cost-overview"):
    """What today, this week and this month cost so far."""

    days: Annotated[int, Meta(ge=1, le=366)] = 7
    """How many of the last days are told one by one."""
    timezone: Name | None = None
