"""Believable events, made up: what a ledger is filled with."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from persona.identity import event_id, persona_id

from personad.contract.batch import (
    BatchFinished,
    BatchStarted,
    PersonaCompleted,
    PersonaGenerating,
    PersonaQueued,
    PersonaValidating,
    SegmentRef,
    Source,
)
from personad.contract.cost import CostRecorded
from personad.contract.events import AnyEvent

PROVIDER, MODEL = "anthropic", "claude-sonnet-4-5"
_BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def batch_name(number: int) -> str:
    return f"batch-2026-11-01-{number:06x}"


def started(number: int, total: int) -> BatchStarted:
    batch = batch_name(number)
    return BatchStarted(
        id=event_id(),
        at=_BEGAN + timedelta(minutes=number),
        batch=batch,
        source=Source(
            path="/home/ada/interviews", digest="sha256:0", files=21, bytes=206_000, records=3_400
        ),
        total=total,
        provider=PROVIDER,
        model=MODEL,
        concurrency=4,
        output=f"/home/ada/outputs/{batch}",
        prompt_digest="sha256:1",
        experiment="onboarding" if number % 3 else None,
    )


def queued(number: int, total: int) -> list[AnyEvent]:
    """The batch's start and its queue."""
    batch, at = batch_name(number), _BEGAN + timedelta(minutes=number)
    queue: list[AnyEvent] = [
        PersonaQueued(
            id=event_id(),
            at=at,
            batch=batch,
            persona=persona_id(batch, index),
            index=index,
            segment=SegmentRef(digest="sha256:2", record_ids=[f"r{n}" for n in range(12)]),
        )
        for index in range(1, total + 1)
    ]
    return [started(number, total), *queue]


def made(number: int, index: int) -> list[AnyEvent]:
    """The three steps of one persona."""
    batch, at = batch_name(number), _BEGAN + timedelta(minutes=number, seconds=index)
    persona = persona_id(batch, index)
    return [
        PersonaGenerating(id=event_id(), at=at, batch=batch, persona=persona, attempt=1),
        PersonaValidating(id=event_id(), at=at, batch=batch, persona=persona, attempt=1),
        PersonaCompleted(
            id=event_id(),
            at=at,
            batch=batch,
            persona=persona,
            attempt=1,
            provider=PROVIDER,
            model=MODEL,
            name="Margaret Oyelaran",
            duration_ms=8_400,
            digest="sha256:3",
            composite=0.87,
            accepted=True,
        ),
    ]


def finished(number: int) -> BatchFinished:
    return BatchFinished(
        id=event_id(),
        at=_BEGAN + timedelta(minutes=number, hours=1),
        batch=batch_name(number),
        status="completed",
    )


def whole_batch(number: int, total: int) -> list[AnyEvent]:
    steps = [step for index in range(1, total + 1) for step in made(number, index)]
    return [*queued(number, total), *steps, finished(number)]


def costs(count: int, seed: int) -> Iterator[CostRecorded]:
    """What calls cost, spread over fifty batches and three weeks, none of them to come."""
    rng = random.Random(seed)
    for n in range(count):
        batch = batch_name(rng.randrange(50))
        yield CostRecorded(
            id=event_id(),
            at=_BEGAN + timedelta(seconds=n * 20 % 2_000_000),
            call=f"call-{seed:04x}{n:016x}",
            provider=PROVIDER,
            model=MODEL,
            operation="generation",
            outcome="ok",
            input_tokens=rng.randrange(2_000, 9_000),
            output_tokens=rng.randrange(400, 1_600),
            cost_nanousd=rng.randrange(10_000_000, 60_000_000),
            batch=batch,
            persona=persona_id(batch, rng.randrange(1, 50)),
            duration_ms=rng.randrange(3_000, 12_000),
        )
