"""What a run does with what was kept: at its start puts documents back, at its end lets it go."""

import logging
from pathlib import Path

import anyio.to_thread
import msgspec

from persona.generation import facts
from persona.generation.books import Books
from persona.generation.model import Persona
from persona.generation.output import papers_of, write_papers
from persona.generation.responses import Document
from personad.contract import batch as b

logger = logging.getLogger(__name__)


async def put_back(books: Books, started: b.BatchStarted) -> None:
    """Writes documents again that the power went from under: the ledger has them as made.

    Raises OSError; LedgerError.
    """
    found = await anyio.to_thread.run_sync(books.responses.found)
    if not found.documents:
        return
    state = await books.show()
    made = {row.persona for row in state.personas if row.status == "completed"}
    for document in found.documents:
        if document.persona in made:
            await anyio.to_thread.run_sync(_put_back, started, document)


def _put_back(started: b.BatchStarted, document: Document) -> None:
    """What stands there whole is let alone: it may be the user's own version."""
    persona = msgspec.json.decode(document.data, type=Persona)
    papers = papers_of(Path(started.output), document.index, persona, total=started.total)
    try:
        msgspec.json.decode(papers.document.read_bytes())
        is_whole = papers.page.stat().st_size > 0
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        is_whole = False
    if not is_whole:
        logger.info("%s is written once more, from what was kept", papers.document)
        write_papers(papers, synced=False)


async def let_go(
    books: Books, started: b.BatchStarted, state: b.BatchState, *, is_synced: bool
) -> None:
    """Removes what was kept, unless something is still to be made of it, or what was made of it is
    not on the disk. A batch that has ended makes nothing more, and its costs are recorded."""
    found = await anyio.to_thread.run_sync(books.responses.found)
    if state.status not in b.OPEN:
        # What a dead runner received and did not record was paid for.
        for saved in found.saved:
            await books.record([facts.answered(started, saved)], held=False)
            books.responses.forget(saved.call)
    elif found.saved:
        return
    if is_synced:
        try:
            await anyio.to_thread.run_sync(books.responses.drop)
        except OSError as error:
            logger.warning("what was received is kept on: %s", error)
