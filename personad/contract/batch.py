"""Batches and their personas: what happens to them, and how they are asked about and steered."""

from uuid import UUID

from msgspec import Struct

from .base import (
    BatchId,
    Count,
    ErrorInfo,
    Event,
    Integer,
    Milliseconds,
    Moment,
    Name,
    NanoUsd,
    Path,
    Positive,
    Reply,
    Request,
    Score,
    Text,
)
from .batch_parts import (
    OPEN as OPEN,
)
from .batch_parts import (
    BatchStatus as BatchStatus,
)
from .batch_parts import (
    Changes as Changes,
)
from .batch_parts import (
    Ended as Ended,
)
from .batch_parts import (
    PersonaStatus as PersonaStatus,
)
from .batch_parts import (
    Retry as Retry,
)
from .batch_parts import (
    SegmentRef as SegmentRef,
)
from .batch_parts import (
    Source as Source,
)

# Events


class BatchStarted(Event, frozen=True, kw_only=True, tag="batch.started"):
    """A batch was planned and recorded: all that a resume needs; written after segmenting."""

    batch: BatchId
    source: Source
    total: Positive
    provider: Name
    model: Name
    concurrency: Positive
    output: Path
    """Absolute."""
    prompt_digest: Name
    experiment: Name | None = None
    base_url: Text | None = None
    seed: Integer | None = None
    retry: Retry = Retry()
    timeout_ms: Milliseconds | None = None
    call_timeout_ms: Milliseconds | None = None
    budget_nanousd: NanoUsd | None = None
    stop_on_budget: bool = False
    redact: bool = True
    estimate_nanousd: NanoUsd | None = None
    language: Name = "auto"
    text_columns: list[str] = []
    participant_column: Text | None = None


class BatchPausing(Event, frozen=True, kw_only=True, tag="batch.pausing"):
    """A pause was asked for; what is in flight is still being finished."""

    DAEMON_ONLY = True

    batch: BatchId
    reason: Name
    message: Text | None = None
    """What happened, and what to do about it."""


class BatchPaused(Event, frozen=True, kw_only=True, tag="batch.paused"):
    batch: BatchId
    reason: Name
    message: Text | None = None
    """What happened, and what to do about it."""


class BatchResumed(Event, frozen=True, kw_only=True, tag="batch.resumed"):
    batch: BatchId
    reason: Name
    changes: Changes | None = None


class BatchInterrupted(Event, frozen=True, kw_only=True, tag="batch.interrupted"):
    """Its runner was not heard of any more: its lease was lost."""

    DAEMON_ONLY = True

    batch: BatchId
    reason: Name


class BatchHeld(Event, frozen=True, kw_only=True, tag="batch.held"):
    """Its runner starts no call for a while; without a `reason`, it goes on."""

    batch: BatchId
    reason: Name | None = None
    """`breaker`, `rate limit` or `budget`."""
    until: Moment | None = None
    """When it will try again, where that is known."""


class BatchSlept(Event, frozen=True, kw_only=True, tag="batch.slept"):
    """The machine slept while the batch was running: that time is not its own."""

    batch: BatchId
    slept_ms: Milliseconds


class BatchFinished(Event, frozen=True, kw_only=True, tag="batch.finished"):
    batch: BatchId
    status: Ended
    reason: Name | None = None


class PersonaQueued(Event, frozen=True, kw_only=True, tag="persona.queued"):
    batch: BatchId
    persona: Name
    index: Positive
    segment: SegmentRef


class PersonaGenerating(Event, frozen=True, kw_only=True, tag="persona.generating"):
    batch: BatchId
    persona: Name
    attempt: Positive


class PersonaValidating(Event, frozen=True, kw_only=True, tag="persona.validating"):
    batch: BatchId
    persona: Name
    attempt: Positive


class PersonaRetrying(Event, frozen=True, kw_only=True, tag="persona.retrying"):
    batch: BatchId
    persona: Name
    attempt: Positive
    error: ErrorInfo
    delay_ms: Milliseconds


class PersonaCompleted(Event, frozen=True, kw_only=True, tag="persona.completed"):
    batch: BatchId
    persona: Name
    attempt: Positive
    provider: Name
    model: Name
    name: Text
    duration_ms: Milliseconds
    digest: Name
    composite: Score
    accepted: bool
    """Whether the composite reached `[quality] accept`; decided here, once."""
    experiment: Name | None = None
    path: Path | None = None


class PersonaFailed(Event, frozen=True, kw_only=True, tag="persona.failed"):
    batch: BatchId
    persona: Name
    provider: Name
    model: Name
    attempts: Count
    error: ErrorInfo
    experiment: Name | None = None


# Requests and their replies


class Counts(Struct, frozen=True, kw_only=True):
    """How many personas of a batch are in each state."""

    pending: Count = 0
    generating: Count = 0
    validating: Count = 0
    completed: Count = 0
    failed: Count = 0
    retrying: Count = 0
    paused: Count = 0


class Eta(Struct, frozen=True, kw_only=True):
    """When the rest will be done, from now."""

    low: Milliseconds
    expected: Milliseconds
    high: Milliseconds


class BatchCost(Struct, frozen=True, kw_only=True):
    spent_nanousd: NanoUsd
    reserved_nanousd: NanoUsd
    unresolved_nanousd: NanoUsd
    projected_nanousd: NanoUsd | None
    budget_nanousd: NanoUsd | None


class BatchUsage(Struct, frozen=True, kw_only=True):
    """What the calls of a batch used, over all that were answered or failed."""

    calls: Count
    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_write_tokens: Count
    unpriced_calls: Count = 0
    """Of a model without a known price: their cost is in no figure."""


class PersonaRow(Struct, frozen=True, kw_only=True):
    """Where one persona of a batch stands."""

    index: Positive
    persona: str
    name: str | None = None
    status: PersonaStatus = "pending"
    attempts: Count = 0
    duration_ms: Milliseconds | None = None
    cost_nanousd: NanoUsd | None = 0
    """null: nobody knows the price of its model."""
    quality: Score | None = None
    accepted: bool | None = None
    error: ErrorInfo | None = None
    started_at: Moment | None = None
    """When its newest attempt began."""
    retry_at: Moment | None = None
    path: str | None = None


class BatchSummary(Struct, frozen=True, kw_only=True):
    """A line of `batch list`."""

    batch: str
    experiment: str | None
    status: BatchStatus
    provider: str
    model: str
    total: Count
    completed: Count
    failed: Count
    started_at: Moment
    cost_nanousd: NanoUsd | None
    """null: nobody knows the price of its model."""


class BatchState(Reply, frozen=True, tag="batch"):
    """A batch as of `seq`; `personas` holds the changed ones only in a live frame."""

    batch: str
    experiment: str | None
    status: BatchStatus
    reason: str | None
    provider: str
    model: str
    total: Count
    counts: Counts
    started_at: Moment
    finished_at: Moment | None
    elapsed_ms: Milliseconds
    """Time spent running: neither paused nor asleep."""
    slept_ms: Milliseconds
    eta_ms: Eta | None
    cost: BatchCost
    usage: BatchUsage
    quality: Score | None
    """Mean composite of the completed personas."""
    concurrency: Positive
    output: str
    source: str
    personas: list[PersonaRow]
    seq: Count
    """The newest event of this batch that is in here."""
    as_of: Moment
    held_until: Moment | None = None
    """When its runner will try again, where it runs and starts no call for `reason`."""


class BatchListReply(Reply, frozen=True, tag="batches"):
    batches: list[BatchSummary]


class BatchList(Request[BatchListReply], frozen=True, tag="batch-list"):
    """The newest batches first."""

    statuses: list[BatchStatus] = []
    limit: Positive = 100


class BatchShow(Request[BatchState], frozen=True, tag="batch-show"):
    batch: Name
    """An id, a unique beginning of one, or `last`."""


class Pause(Request[BatchState], frozen=True, tag="pause"):
    """What is in flight is finished; the batch is then `paused`."""

    batch: BatchId
    reason: Name = "user"
    id: UUID | None = None
    """Of this request: sent again with the same id, it is done once."""
    message: Text | None = None
    """What happened, and what to do about it."""


class Resume(Request[BatchState], frozen=True, tag="resume"):
    """Allows a paused or interrupted batch to run again; a new runner then claims it."""

    batch: BatchId
    reason: Name = "user"
    id: UUID | None = None
    changes: Changes | None = None


class RetryFailed(Request[BatchState], frozen=True, tag="retry"):
    """Has the failed personas of a `partial` or `failed` batch made again; the others stay."""

    batch: BatchId
    reason: Name = "retry"
    id: UUID | None = None
    changes: Changes | None = None


class Cancel(Request[BatchState], frozen=True, tag="cancel"):
    batch: BatchId
    reason: Name = "user"
    id: UUID | None = None


class Claimed(Reply, frozen=True, tag="claimed"):
    fence: Positive
    """Goes with everything the runner appends; a newer claim makes it stale."""
    status: BatchStatus
    """Anything but `queued` and `running` tells the runner to stop."""


class Claim(Request[Claimed], frozen=True, tag="claim"):
    """One runner a batch: refused while another one's lease lives."""

    batch: BatchId
    runner: Name
    ttl_ms: Positive = 15_000


class Renew(Request[Claimed], frozen=True, tag="renew"):
    batch: BatchId
    runner: Name
    fence: Positive
    ttl_ms: Positive = 15_000


class Resign(Request[Claimed], frozen=True, tag="resign"):
    """The runner is done: a batch that was `pausing` is `paused` by this, in one step.

    Refused as a conflict while the batch is to go on: a pause may have been taken back.
    """

    batch: BatchId
    runner: Name
    fence: Positive


# What the live socket publishes


class BatchFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="batch-changed"):
    """Topic `batch/<id>/`: one commit's change to one batch."""

    batch: str
    seq: Count
    previous_seq: Count
    """The batch's seq before this commit: another one than you have means you missed one."""
    state: BatchState | None
    """Absent where the change is too large for a frame: ask `batch-show`."""
