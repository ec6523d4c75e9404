"""Telling whoever watches how much of each answer has arrived, a few times a second at most."""

import logging

import anyio

from persona.generation.books import Books
from persona.identity import persona_id
from personad.contract.errors import LedgerError

EVERY_S = 0.5
TOLD_MAX = 1_000
"""Of personas at once: what one message takes."""

logger = logging.getLogger(__name__)


class Arriving:
    """About how many tokens of each answer have come, of those that are still coming."""

    def __init__(self, batch: str) -> None:
        self._batch = batch
        self._tokens: dict[int, int] = {}
        self._is_news = False

    def hear(self, index: int, tokens: int) -> None:
        """So much of the answer of the persona at that place has come; 0: nothing comes now."""
        if tokens:
            self._tokens[index] = tokens
            self._is_news = True
        elif self._tokens.pop(index, None) is not None:
            self._is_news = True

    def news(self) -> dict[str, int] | None:
        """By persona, if anything has changed since this was last asked."""
        if not self._is_news:
            return None
        self._is_news = False
        newest = list(self._tokens.items())[-TOLD_MAX:]
        return {persona_id(self._batch, index): tokens for index, tokens in newest}


async def tell(books: Books, arriving: Arriving) -> None:
    """Tells until it is cancelled, or until the ledger knows nothing of such a message."""
    while True:
        await anyio.sleep(EVERY_S)
        news = arriving.news()
        if news is None:
            continue
        try:
            await books.tell(news)
        except LedgerError as error:
            # Only a hint: what the ledger must know goes another way.
            logger.info("nobody was told what has arrived: %s", error)
            if error.code == "invalid":
                return
