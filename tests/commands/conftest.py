"""A real daemon for commands to talk to, and a batch for them to show."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from persona.client import Ledger

from personad.contract import batch as b
from personad.contract.cost import CostRecorded
from personad.contract.events import AnyEvent
from personad.contract.options import Settings
from personad.contract.paths import resolve_paths

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BATCH = "batch-2026-11-23-a1b2c3"


@pytest.fixture
def ledger(house: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The client of a daemon that runs for this test alone."""
    monkeypatch.setenv("PERSONA_LEDGER", str(house / "ledger"))
    paths = resolve_paths(Settings(), ledger=None, environ=os.environ)
    personad = [sys.executable, "-m", "personad"]
    subprocess.run([*personad, "start"], check=True, capture_output=True)
    with Ledger(paths, autostart=False) as client:
        yield client
    subprocess.run([*personad, "stop"], check=True, capture_output=True)


def started(batch: str = BATCH, total: int = 2) -> list[AnyEvent]:
    """A batch that was planned, with nothing made of it yet."""
    events: list[AnyEvent] = [
        b.BatchStarted(
            id=_id(batch, 0),
            at=NOON,
            batch=batch,
            source=b.Source(path="/data", digest="sha256:0", files=1, bytes=10, records=4),
            total=total,
            provider="local",
            model="local-1",
            concurrency=2,
            output="/out",
            prompt_digest="sha256:1",
            experiment="first",
        )
    ]
    for index in range(1, total + 1):
        segment = b.SegmentRef(digest="sha256:2", record_ids=["a", "b"])
        events.append(
            b.PersonaQueued(
                id=_id(batch, index),
                at=NOON,
                batch=batch,
                persona=persona(batch, index),
                index=index,
                segment=segment,
            )
        )
    return events


def made(batch: str = BATCH, index: int = 1, name: str = "Anna") -> list[AnyEvent]:
    """What happens while one persona is made, and its cost."""
    who, at = persona(batch, index), NOON + timedelta(seconds=index)
    return [
        b.PersonaGenerating(id=_id(batch, 100 + index), at=at, batch=batch, persona=who, attempt=1),
        CostRecorded(
            id=_id(batch, 200 + index),
            at=at,
            call=f"call-{batch}-{index}",
            provider="local",
            model="local-1",
            operation="generation",
            outcome="ok",
            batch=batch,
            persona=who,
            experiment="first",
            input_tokens=1_000,
            output_tokens=200,
            cost_nanousd=4_200_000,
        ),
        b.PersonaCompleted(
            id=_id(batch, 300 + index),
            at=at + timedelta(seconds=2),
            batch=batch,
            persona=who,
            attempt=1,
            provider="local",
            model="local-1",
            name=name,
            duration_ms=1_500,
            digest="sha256:3",
            composite=0.82,
            accepted=True,
            experiment="first",
        ),
    ]


def failed(batch: str = BATCH, index: int = 2) -> list[AnyEvent]:
    """A persona that came to nothing."""
    error = b.ErrorInfo(kind="invalid_output", message="no \x1b[31mJSON\x1b[0m in it")
    return [
        b.PersonaFailed(
            id=_id(batch, 400 + index),
            at=NOON + timedelta(seconds=5),
            batch=batch,
            persona=persona(batch, index),
            provider="local",
            model="local-1",
            attempts=4,
            error=error,
        )
    ]


def finished(status: b.Ended, batch: str = BATCH) -> list[AnyEvent]:
    at = NOON + timedelta(seconds=9)
    return [b.BatchFinished(id=_id(batch, 500), at=at, batch=batch, status=status)]


def paused(reason: str, batch: str = BATCH) -> list[AnyEvent]:
    at = NOON + timedelta(seconds=9)
    return [b.BatchPaused(id=_id(batch, 600), at=at, batch=batch, reason=reason)]


def persona(batch: str, index: int) -> str:
    return f"persona-{batch[-3:]}{index:03d}"


def _id(batch: str, number: int) -> UUID:
    return UUID(int=int.from_bytes(batch[-6:].encode()) << 64 | number)
