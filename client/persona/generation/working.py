"""A worker: it makes one persona after the other.

How many calls are on their way at once, those that are repeated with them, is the gate's to say.
"""

from collections.abc import Awaitable, Callable, Iterator

import anyio

from persona.generation.shop import Piece

Made = Callable[[Piece, Callable[[], None]], Awaitable[bool]]
"""Makes a piece, and tells when its response is on the disk; False where nothing may follow it."""


async def one_by_one(pieces: Iterator[Piece], made: Made, *, overlapping: bool) -> None:
    """Where they may be `overlapping`, the next one's call begins when this one's response is on
    the disk; the one after that waits until this one is finished."""
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
