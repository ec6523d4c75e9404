"""How a benchmark's batch is described in the ledger."""

from pathlib import Path

from persona.generation.plan import Plan
from persona.generation.prompts import build_prompt
from persona.identity import event_id, now
from persona.resuming import source_of
from personad.contract.batch import BatchStarted, Retry


def started_of(
    plan: Plan,
    *,
    batch: str,
    provider: str,
    model: str,
    base_url: str | None,
    concurrency: int,
    seed: int,
    output: Path,
) -> BatchStarted:
    prompt = build_prompt(plan.segments[0], language=plan.reading.language)
    return BatchStarted(
        id=event_id(),
        at=now(),
        batch=batch,
        source=source_of(plan),
        total=plan.total,
        provider=provider,
        model=model,
        base_url=base_url,
        concurrency=concurrency,
        output=str(output),
        prompt_digest=prompt.template_digest,
        seed=seed,
        retry=Retry(),
    )
