"""A worker: it makes one persona after the other.

How many calls are on their way at once, those that are repeated with them, is the gate's to say.
"""

from collections.abc import Awaitable, Callable, Iterator

import anyio

from persona.generation.shop import Piece
from personad.contract.batch import BatchStarted

Made = Callable[[Piece, Callable[[], None]], Awaitable[bool]]
"""Makes a piece, and tells when its response is on the disk; False where nothing may follow it."""

IN_TURN = "local"
"""Whose personas are made one after the other, whatever may be made at once: each is compared with
those that were finished before it, and the same seed is to give the same figures."""


def at_once_of(started: BatchStarted) -> int:
    return 1 if started.provider == IN_TURN else started.concurrency


async def one_by_one(pieces: Iterator[Piece], made: Made, *, overlapping: bool) -> None:
    """One after the other, each is compared with all before it. Where they may be `overlapping`,
    the next one's call begins when this one's response is on the disk; the one after that waits
    until this one is finished."""
    is_over = False

    async def make(piece: Piece, received: anyio.Event, done: anyio.Event) -> None:
        nonlocal is_over
        try:
            is_over |= not await made(piece, received.set)
        finally:
            received.set()
            done.set()

    before = anyio.Event()
    before.set()
    async with anyio.create_task_group() as making:
        for piece in pieces:
            received, done = anyio.Event(), anyio.Event()
            making.start_soon(make, piece, received, done)
            await (received if overlapping else done).wait()
            await before.wait()
            before = done
            if is_over:
                return
