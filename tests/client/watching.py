"""A batch to watch, what happens to it, and a clock to watch it by."""

from persona.identity import event_id, now, persona_id

from personad.contract.batch import (
    BatchCost,
    BatchState,
    BatchUsage,
    Counts,
    PersonaGenerating,
    PersonaRow,
)

BATCH = "batch-a"
WAIT_S = 20.0


def state(seq: int, rows: dict[int, int], status: str = "running") -> BatchState:
    """A batch at `seq`; `rows` maps a persona's place to its attempts."""
    return BatchState(
        batch=BATCH,
        experiment=None,
        status=status,  # type: ignore[arg-type]
        reason=None,
        provider="local",
        model="local",
        total=9,
        counts=Counts(generating=seq),
        started_at=now().replace(2026, 11, 23, 12, 0, 0, 0),
        finished_at=None,
        elapsed_ms=seq,
        slept_ms=0,
        eta_ms=None,
        cost=BatchCost(
            spent_nanousd=seq,
            reserved_nanousd=0,
            unresolved_nanousd=0,
            projected_nanousd=None,
            budget_nanousd=None,
        ),
        usage=BatchUsage(
            calls=0, input_tokens=0, output_tokens=0, cache_read_tokens=0, cache_write_tokens=0
        ),
        quality=None,
        concurrency=1,
        output="/out",
        source="/data",
        personas=[
            PersonaRow(index=n, persona=f"persona-{n}", attempts=tries)
            for n, tries in sorted(rows.items())
        ],
        seq=seq,
        as_of=now().replace(2026, 11, 23, 12, 0, 0, 0),
    )


class Clock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def generating(index: int) -> PersonaGenerating:
    return PersonaGenerating(
        id=event_id(), at=now(), batch=BATCH, persona=persona_id(BATCH, index), attempt=1
    )
