"""Batches for the live view to show, as a daemon would give them."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from personad.contract.base import ErrorInfo
from personad.contract.batch import (
    BatchCost,
    BatchState,
    BatchStatus,
    BatchUsage,
    Counts,
    Eta,
    PersonaRow,
    PersonaStatus,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BUSY = ErrorInfo(kind="server_error", message="503: the model is overloaded, try again later")
LIMITED = ErrorInfo(kind="rate_limit", message="429: 50,000 input tokens per minute")
SILENT = ErrorInfo(kind="timeout", message="no answer within 120 s")


def row(index: int, status: PersonaStatus = "pending", **changes: object) -> PersonaRow:
    """A persona in `status`, with what usually belongs to it."""
    made = PersonaRow(index=index, persona=f"persona-{0xD4E500 + index:012x}", status=status)
    match status:
        case "completed":
            made = replace(
                made,
                name="Anna Müller",
                attempts=1,
                duration_ms=3_200,
                cost_nanousd=4_200_000,
                quality=0.81,
                accepted=True,
            )
        case "generating" | "validating":
            made = replace(made, attempts=1, started_at=NOON - timedelta(seconds=4.2))
        case "retrying":
            made = replace(made, attempts=2, error=BUSY, retry_at=NOON + timedelta(seconds=20))
        case "failed":
            made = replace(made, attempts=4, error=SILENT)
        case "paused":
            made = replace(made, attempts=1, error=BUSY)
        case "pending":
            pass
    return replace(made, **changes)


def batch(status: BatchStatus, rows: list[PersonaRow], **changes: object) -> BatchState:
    """A batch of `rows`; the counts follow from them."""
    found: dict[str, int] = {}
    for each in rows:
        found[each.status] = found.get(each.status, 0) + 1
    state = BatchState(
        batch="batch-2026-11-23-a1b2c3",
        experiment="transport-study",
        status=status,
        reason=None,
        provider="anthropic",
        model="claude-sonnet-4-5",
        total=len(rows),
        counts=Counts(**found),
        started_at=NOON - timedelta(seconds=72),
        finished_at=None,
        elapsed_ms=72_000,
        slept_ms=0,
        eta_ms=Eta(low=40_000, expected=52_000, high=64_000),
        cost=BatchCost(
            spent_nanousd=25_200_000,
            reserved_nanousd=0,
            unresolved_nanousd=0,
            projected_nanousd=50_000_000,
            budget_nanousd=2_000_000_000,
        ),
        usage=BatchUsage(
            calls=9,
            input_tokens=9_000,
            output_tokens=4_000,
            cache_read_tokens=0,
            cache_write_tokens=0,
        ),
        quality=0.81,
        concurrency=4,
        output="/home/anna/study/outputs/batch-2026-11-23-a1b2c3",
        source="/home/anna/study/interviews",
        personas=rows,
        seq=1,
        as_of=NOON,
    )
    return replace(state, **changes)


def mixed() -> list[PersonaRow]:
    """One of each kind, and names that are out to do harm."""
    return [
        row(1, "completed"),
        row(2, "completed", name="李小龙", quality=0.6, accepted=False),
        row(3, "failed"),
        row(4, "completed", name="\x1b[31mMallory\x1b[0m \u202eevil [red]x[/red]\r\n"),
        row(5, "retrying"),
        row(6, "completed", name="Jean-Baptiste de La Tour d’Auvergne-Lauraguais", cost_nanousd=1),
        row(7, "validating"),
        row(8, "generating", persona="p\x07\x1b]0;owned\x07"),
        row(9, "generating", attempts=2, started_at=NOON - timedelta(seconds=72)),
        row(10),
        row(11),
        row(12),
    ]


def stages() -> dict[str, BatchState]:
    """A batch in each of its states, by name."""
    held = [replace(r, status="paused") if r.index in (5, 7, 8, 9) else r for r in mixed()]
    done = [row(n, "completed") for n in range(1, 7)]
    return {
        "queued": batch("queued", [row(n) for n in range(1, 4)], eta_ms=None, elapsed_ms=0),
        "running": batch("running", mixed()),
        "pausing": batch("pausing", mixed(), reason="user", eta_ms=None),
        "paused": batch("paused", held, reason="budget", eta_ms=None),
        "interrupted": batch("interrupted", held, reason="lease lost", eta_ms=None),
        "completed": batch("completed", done, eta_ms=None),
        "partial": batch("partial", [*done, row(7, "failed")], eta_ms=None),
        "failed": batch("failed", [row(1, "failed")], quality=None, eta_ms=None),
        "cancelled": batch("cancelled", [*done, row(7)], reason="user", eta_ms=None),
    }


def arriving() -> dict[str, int]:
    """Tokens of the personas that are being generated in `mixed`, as they stream."""
    rows = mixed()
    return {rows[7].persona: 1, rows[8].persona: 1_234, rows[0].persona: 900}


def money(spent: int, *, budget: int | None = 2_000, **changes: int | None) -> BatchCost:
    """In thousandths of a dollar."""
    told = {"reserved": 0, "unresolved": 0, "projected": 2_300, **changes}
    return BatchCost(
        spent_nanousd=spent * 1_000_000,
        budget_nanousd=None if budget is None else budget * 1_000_000,
        **{
            f"{name}_nanousd": None if amount is None else amount * 1_000_000
            for name, amount in told.items()
        },
    )


def scenes() -> dict[str, BatchState]:
    """A running batch in trouble, by the trouble's name."""
    limited = [
        row(n, "retrying", error=LIMITED, retry_at=NOON + timedelta(seconds=40 * n))
        for n in range(1, 4)
    ]
    nameless = [replace(r, cost_nanousd=None) if r.attempts else r for r in mixed()]
    usage = batch("running", []).usage
    return {
        "limited": batch("running", [*limited, row(4, "completed"), row(5)], eta_ms=None),
        "near-budget": batch("running", mixed(), cost=money(1_500, reserved=120)),
        "over-budget": batch(
            "paused",
            stages()["paused"].personas,
            reason="budget",
            eta_ms=None,
            cost=money(1_950, unresolved=60, projected=4_700),
        ),
        "no-budget": batch("running", mixed(), cost=money(25, budget=None, projected=50)),
        "unpriced": batch(
            "running",
            nameless,
            provider="openai",
            model="my-own-model",
            cost=money(0, projected=None),
            usage=replace(usage, unpriced_calls=7),
        ),
        "partly-unpriced": batch(
            "running",
            mixed(),
            cost=money(12, projected=None),
            usage=replace(usage, unpriced_calls=2),
        ),
        "asleep": batch("running", mixed(), slept_ms=5_400_000),
    }
