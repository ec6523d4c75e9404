"""Keeping a batch's checkpoint up to date while it is made."""

import logging
from pathlib import Path

import anyio
import anyio.to_thread

from persona.generation import checkpoint
from persona.generation.books import Books
from persona.generation.standing import Standing
from persona.identity import now
from personad.contract.batch import BatchStarted, PersonaCompleted, PersonaFailed
from personad.contract.cost import CallStarted, CostRecorded
from personad.contract.errors import LedgerError
from personad.contract.events import AnyEvent, Read

EVERY_S = 0.25
"""Changes that come faster share one writing of the file."""

logger = logging.getLogger(__name__)


class Keeper:
    """Writes one batch's checkpoint, from what the ledger has of it."""

    def __init__(self, books: Books, standing: Standing, batch: str, path: Path) -> None:
        self._books = books
        self._standing = standing
        self._batch = batch
        self._path = path
        self._items: dict[str, bytes] = {}
        """By event; a call's start by the call, while no answer to it has come."""
        self._known = 0
        self._total = 0
        self._completed: set[str] = set()
        self._failed: set[str] = set()
        self._seq = 0
        self._written: object = None
        self._trouble: str | None = None

    async def keep(self) -> None:
        """At every change, until it is cancelled."""
        while True:
            heard = self._standing.heard
            await self.write()
            await anyio.sleep(EVERY_S)
            await heard.wait()

    async def write(self) -> None:
        """Writes what is new; a trouble with it is told in the log, and stops nothing."""
        with anyio.CancelScope(shield=True):
            try:
                await self._read()
                about = (self._known, self._standing.status)
                if about != self._written:
                    head, items = self._head(), tuple(self._items.values())
                    await anyio.to_thread.run_sync(checkpoint.write, self._path, head, items)
                    self._written, self._trouble = about, None
            except (OSError, LedgerError) as error:
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    logger.warning("no checkpoint could be written to %s: %s", self._path, error)

    def _head(self) -> checkpoint.Head:
        return checkpoint.Head(
            batch=self._batch,
            status=self._standing.status,
            total=self._total,
            completed=len(self._completed),
            failed=len(self._failed - self._completed),
            written_at=now(),
        )

    async def _read(self) -> None:
        more = True
        while more:
            question = Read(after_seq=self._seq, types=checkpoint.KEPT, batch=self._batch)
            reply = await self._books.ask(question)
            for each in reply.events:
                if each.anomaly is None:
                    self._known += 1
                    self._count(each.event)
                    self._items[_name(each.event)] = checkpoint.exported(each)
            self._seq, more = reply.next_seq, reply.more

    def _count(self, event: AnyEvent) -> None:
        match event:
            case BatchStarted():
                self._total = event.total
            case PersonaCompleted():
                self._completed.add(event.persona)
            case PersonaFailed():
                self._failed.add(event.persona)
            case CostRecorded() if event.outcome != "unknown":
                self._items.pop(event.call, None)
            case _:
                pass


def _name(event: AnyEvent) -> str:
    return event.call if isinstance(event, CallStarted) else str(event.id)
