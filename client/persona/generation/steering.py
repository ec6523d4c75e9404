"""What a runner hears while it works: the ledger, signals, its starter's death, the time limit.

Each is a loop that runs beside the work until it is cancelled. Whatever asks for a stop only asks
the ledger for a pause; what the ledger then says is what holds.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine

import anyio
import msgspec
from msgspec import Struct

from persona.generation.books import Books
from persona.generation.launch import DETACHED
from persona.generation.standing import Standing
from personad.contract.batch import BatchStatus
from personad.contract.errors import LedgerError
from personad.contract.nng import Subscriber
from personad.contract.paths import Paths

RENEW_S = 4.0
SLEEP_LOOK_S = 1.0
SLEPT_MIN_S = 0.5
"""The two clocks are not read at the same time; a shorter sleep breaks no connection."""
STOPPED_BY = {signal.SIGTERM: "shutdown", signal.SIGINT: "user"}

Pause = Callable[[str], Coroutine[None, None, None]]

logger = logging.getLogger(__name__)


async def keep_hold(books: Books, standing: Standing) -> None:
    """Keeps the hold on the batch; where it is lost, nothing more is started."""
    while True:
        await anyio.sleep(RENEW_S)
        await look(books, standing)


async def look(books: Books, standing: Standing) -> None:
    """Asks how the batch stands, and whether it is still ours.

    Raises:
        LedgerError: the ledger can't answer in a way that is no passing absence.
    """
    try:
        standing.now_is(await books.renew())
    except LedgerError as error:
        if error.code != "conflict":
            raise
        status = await books.status()
        if status != standing.status:
            logger.warning("%s; the batch is %s", error.message, status)
        if status in ("queued", "running", "pausing"):
            standing.lose_hold()
        standing.now_is(status)


class _Status(Struct):
    status: BatchStatus


class _Glance(Struct):
    """All that a runner wants of a `BatchFrame`; most of them tell it what it did itself."""

    state: _Status | None


def asleep_s() -> float:
    """How long the machine has slept since it was started, in seconds, and a constant.

    CLOCK_MONOTONIC stands still meanwhile and CLOCK_BOOTTIME does not (clock_gettime(2)).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


async def mind_sleep(
    slept: Callable[[int], Coroutine[None, None, None]], clock: Callable[[], float] = asleep_s
) -> None:
    """Tells for how many milliseconds the machine has slept, each time that it did."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        logger.info("this system does not tell when it slept")
        return
    before = clock()
    while True:
        await anyio.sleep(SLEEP_LOOK_S)
        after = clock()
        if after - before >= SLEPT_MIN_S:
            await slept(round((after - before) * 1_000))
        before = after


async def listen(paths: Paths, batch: str, standing: Standing) -> None:
    """Hears at once what others do to the batch; `keep_hold` says the same a little later."""
    topic = b"batch/" + batch.encode() + b"/"
    frames = msgspec.json.Decoder(_Glance)
    with Subscriber(str(paths.live_socket), (topic,)) as subscriber:
        while True:
            await anyio.wait_readable(subscriber)
            while (message := subscriber.receive()) is not None:
                standing.hear()
                try:
                    frame = frames.decode(message[len(topic) :])
                except msgspec.DecodeError as error:
                    logger.warning("a frame of another version is passed over: %s", error)
                    continue
                if frame.state is not None:
                    standing.now_is(frame.state.status)


async def hear_signals(standing: Standing, pause: Pause) -> None:
    """The first signal pauses; a second one drops what is in flight."""
    with anyio.open_signal_receiver(*STOPPED_BY) as signals:
        async with anyio.create_task_group() as pausing:
            asked = False
            async for number in signals:
                if asked:
                    logger.warning("stopped at once by a second signal")
                    standing.lose_hold()
                asked = True
                pausing.start_soon(pause, STOPPED_BY[number])


async def mind_the_starter(descriptor: int, pause: Pause) -> None:
    """Pauses when the process that started us ends, unless it said that it leaves."""
    heard = b""
    while True:
        await anyio.wait_readable(descriptor)
        part = os.read(descriptor, 64)
        heard += part
        if DETACHED in heard:
            return
        if not part:
            await pause("terminal")
            return


async def mind_the_time(timeout_s: float, pause: Pause) -> None:
    await anyio.sleep(timeout_s)
    await pause("time")
