"""What a runner records about a persona: the events, as functions of what happened.

An event that may be recorded again by a runner that follows a dead one has an id that is derived
from what it is about, so that it counts once.
"""

from datetime import datetime
from pathlib import Path

from persona.generation.quality import Scores
from persona.generation.responses import Saved
from persona.identity import event_id, now
from personad.contract import batch as b
from personad.contract import cost as c
from personad.contract.base import ErrorInfo, derived_id
from personad.contract.events import AnyEvent
from personad.contract.quality import QualityScored

FREE = frozenset({"local", "simulated"})
"""Providers whose calls cost nothing, whatever they use."""
AS_SPOKEN = frozenset({"local", "simulated"})
"""Providers that repeat what was said, in the language it was said in, and can't be corrected."""


def held(batch: str, reason: str | None, until: datetime | None) -> b.BatchHeld:
    return b.BatchHeld(id=event_id(), at=now(), batch=batch, reason=reason, until=until)


def slept(batch: str, slept_ms: int) -> b.BatchSlept:
    return b.BatchSlept(id=event_id(), at=now(), batch=batch, slept_ms=slept_ms)


def generating(started: b.BatchStarted, persona: str, attempt: int) -> b.PersonaGenerating:
    return b.PersonaGenerating(
        id=event_id(), at=now(), batch=started.batch, persona=persona, attempt=attempt
    )


def validating(started: b.BatchStarted, persona: str, attempt: int) -> b.PersonaValidating:
    return b.PersonaValidating(
        id=event_id(), at=now(), batch=started.batch, persona=persona, attempt=attempt
    )


def retrying(
    started: b.BatchStarted, persona: str, attempt: int, error: ErrorInfo, wait_ms: int
) -> b.PersonaRetrying:
    return b.PersonaRetrying(
        id=event_id(),
        at=now(),
        batch=started.batch,
        persona=persona,
        attempt=attempt,
        error=error,
        delay_ms=wait_ms,
    )


def given_up(
    started: b.BatchStarted, persona: str, attempt: int, error: ErrorInfo
) -> b.PersonaFailed:
    return b.PersonaFailed(
        id=derived_id("persona.failed", started.batch, persona, attempt),
        at=now(),
        batch=started.batch,
        persona=persona,
        provider=started.provider,
        model=started.model,
        experiment=started.experiment,
        attempts=attempt,
        error=error,
    )


def not_sent(call: str, reason: str) -> c.CallAbandoned:
    return c.CallAbandoned(
        id=derived_id("call.abandoned", call), at=now(), call=call, reason=reason
    )


def answered(started: b.BatchStarted, saved: Saved) -> c.CostRecorded:
    """What the call of a kept response used."""
    usage = saved.usage
    return c.CostRecorded(
        id=derived_id("cost.recorded", saved.call),
        at=now(),
        call=saved.call,
        request_id=saved.request_id,
        provider=started.provider,
        model=started.model,
        operation=saved.operation,
        outcome="ok",
        batch=started.batch,
        persona=saved.persona,
        experiment=started.experiment,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_nanousd=0 if started.provider in FREE else None,
        duration_ms=saved.duration_ms,
        ttft_ms=saved.ttft_ms,
        estimated=usage.estimated,
    )


def unanswered(
    started: b.BatchStarted,
    persona: str,
    call: str,
    *,
    kind: str,
    refused: bool,
    duration_ms: int,
    operation: str = "generation",
    request_id: str | None = None,
) -> c.CostRecorded:
    """A call that gave no answer; where it was not `refused`, it may have been paid for."""
    return c.CostRecorded(
        id=derived_id("cost.recorded", call),
        at=now(),
        call=call,
        provider=started.provider,
        model=started.model,
        request_id=request_id,
        operation=operation,
        outcome="error" if refused else "unknown",
        error_kind=kind,
        batch=started.batch,
        persona=persona,
        experiment=started.experiment,
        input_tokens=0,
        output_tokens=0,
        cost_nanousd=0 if refused or started.provider in FREE else None,
        duration_ms=duration_ms,
    )


def made(
    started: b.BatchStarted,
    saved: Saved,
    scores: Scores,
    *,
    name: str,
    path: Path,
    digest: str,
    accept: float,
) -> list[AnyEvent]:
    """A persona's scores, then its completion."""
    return [
        QualityScored(
            id=derived_id("quality.scored", started.batch, saved.persona, saved.call),
            at=now(),
            persona=saved.persona,
            batch=started.batch,
            experiment=started.experiment,
            provider=started.provider,
            model=started.model,
            scores=scores.scores,
            composite=scores.composite,
            scorer=scores.scorer,
        ),
        b.PersonaCompleted(
            id=derived_id("persona.completed", started.batch, saved.persona, saved.call),
            at=now(),
            batch=started.batch,
            persona=saved.persona,
            attempt=saved.attempt,
            provider=started.provider,
            model=started.model,
            experiment=started.experiment,
            name=name,
            duration_ms=saved.duration_ms,
            path=str(path),
            digest=digest,
            composite=scores.composite,
            accepted=scores.composite >= accept,
        ),
    ]
