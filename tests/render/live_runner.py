"""A runner that a test plays, and its batch."""

import os

from persona.client import Ledger
from persona.identity import event_id, now

from personad.contract import batch as b
from personad.contract.events import AnyEvent, Fence

BATCH = "batch-2026-11-23-a1b2c3"


class Runner:
    """Plays a batch's runner: says what happens to its personas."""

    def __init__(self, ledger: Ledger, total: int) -> None:
        self._ledger = ledger
        self._fence: Fence | None = None
        source = b.Source(path="/data", digest="d", files=1, bytes=1, records=1)
        started = b.BatchStarted(
            id=event_id(),
            at=now(),
            batch=BATCH,
            source=source,
            total=total,
            provider="simulated",
            model="simulated-1",
            concurrency=2,
            output=os.path.join(os.getcwd(), "outputs"),
            prompt_digest="p",
        )
        queue = [
            b.PersonaQueued(
                id=event_id(),
                at=now(),
                batch=BATCH,
                persona=_name(index),
                index=index,
                segment=b.SegmentRef(digest="d", record_ids=[]),
            )
            for index in range(1, total + 1)
        ]
        self._say(started, *queue)
        self.claim()

    @property
    def state(self) -> b.BatchState:
        return self._ledger.ask(b.BatchShow(batch=BATCH))

    def claim(self) -> None:
        held = self._ledger.ask(b.Claim(batch=BATCH, runner="test", ttl_ms=60_000))
        self._fence = Fence(batch=BATCH, fence=held.fence)

    def begin(self, *indices: int) -> None:
        self._say(
            *(
                b.PersonaGenerating(
                    id=event_id(), at=now(), batch=BATCH, persona=_name(index), attempt=1
                )
                for index in indices
            )
        )

    def complete(self, *indices: int) -> None:
        self._say(
            *(
                b.PersonaCompleted(
                    id=event_id(),
                    at=now(),
                    batch=BATCH,
                    persona=_name(index),
                    attempt=1,
                    provider="simulated",
                    model="simulated-1",
                    name=f"Anna the {index}.",
                    duration_ms=1_500,
                    digest="d",
                    composite=0.82,
                    accepted=True,
                )
                for index in indices
            )
        )

    def fail(self, index: int) -> None:
        self._say(
            b.PersonaFailed(
                id=event_id(),
                at=now(),
                batch=BATCH,
                persona=_name(index),
                provider="simulated",
                model="simulated-1",
                attempts=4,
                error=b.ErrorInfo(kind="timeout", message="\x1b[2Jno answer"),
            )
        )

    def finish(self, status: b.Ended) -> None:
        self._say(b.BatchFinished(id=event_id(), at=now(), batch=BATCH, status=status))

    def stand_still(self, reason: str) -> None:
        """Says that it is paused, and lets go of it; in one step where it was asked to pause."""
        if self.state.status != "pausing":
            self._say(b.BatchPaused(id=event_id(), at=now(), batch=BATCH, reason=reason))
        assert self._fence is not None
        self._ledger.ask(b.Resign(batch=BATCH, runner="test", fence=self._fence.fence))
        self._fence = None

    def _say(self, *events: AnyEvent) -> None:
        self._ledger.append(events, fence=self._fence)


def _name(index: int) -> str:
    return f"persona-{index:012x}"
