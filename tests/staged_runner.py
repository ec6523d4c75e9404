"""The runner as a process that ends at a chosen point, and writes down what it was promised.

    python tests/staged_runner.py FOLDER POINT NUMBER BATCH …

FOLDER gets `calls`, a line a provider call, and `acknowledged`, the id of every event that the
ledger or the spool took. At the NUMBER-th time of POINT the process is gone, as after a SIGKILL.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

from persona.client import Ledger
from persona.generation import books, making, output, runner, steering
from persona.generation.providers.base import GenerationRequest, Response
from persona.generation.providers.simulated import SimulatedProvider
from persona.generation.responses import Responses, Saved
from persona.spool import Spool

from personad.contract.batch import BatchFinished, Claim, PersonaCompleted, Renew
from personad.contract.cost import CostRecorded

TTL_MS = 1_500
"""A lease so short that nobody waits long for a dead runner's to end. A runner that has no core for
that long has lost it, so it is for those who kill: the product's own is ten times as long."""
OWN_LEASE = "STAGED_OWN_LEASE"
"""Set, the runner keeps the product's."""

POINTS = (
    "granted",
    "answered",
    "half saved",
    "saved",
    "paid",
    "half written",
    "written",
    "before completed",
    "completed",
    "forgotten",
    "before finished",
    "finished",
)


class Stage:
    def __init__(self, folder: Path, point: str, number: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._calls = os.open(folder / "calls", flags)
        self._acknowledged = os.open(folder / "acknowledged", flags)
        self._point = point
        self._left = number

    def reach(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os._exit(9)

    def is_next(self, point: str) -> bool:
        """Whether the process ends when `point` is reached once more."""
        if point == self._point:
            self._left -= 1
        return point == self._point and self._left == 0

    def called(self, request: GenerationRequest) -> None:
        os.write(self._calls, f"{request.index}/{request.attempt}\n".encode())

    def acknowledged(self, events: Sequence[Any]) -> None:
        os.write(self._acknowledged, "".join(f"{event.id}\n" for event in events).encode())


def _after(function: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        then()
        return found

    return wrapped


def _before(function: Callable[..., Any], first: Callable[[Any], None]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        first(args)
        return function(*args, **kwargs)

    return wrapped


def _told(function: Callable[..., Any], stage: Stage) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(self: Any, events: Sequence[Any], **kwargs: Any) -> Any:
        found = function(self, events, **kwargs)
        stage.acknowledged(events)
        return found

    return wrapped


def set_up(stage: Stage) -> None:
    answer, record = SimulatedProvider.generate, books._recorded
    start_call, keep = books.Books.start_call, Responses.keep

    async def generate(self: Any, request: GenerationRequest, progress: Any = None) -> Response:
        stage.called(request)
        response = await answer(self, request, progress)
        stage.reach("answered")
        return response

    def recorded(line: Any, events: Sequence[Any], fence: Any) -> bool:
        points = {CostRecorded: "paid", PersonaCompleted: "completed", BatchFinished: "finished"}
        found = {points[type(event)] for event in events if type(event) in points}
        for point in found:
            stage.reach(f"before {point}")
        done = record(line, events, fence)
        for point in found:
            stage.reach(point)
        return done

    async def granted(self: Any, *args: Any, **about: Any) -> None:
        await start_call(self, *args, **about)
        stage.reach("granted")

    def renaming(args: Any) -> None:
        name = str(args[1])
        if name.endswith(".json") and "personas" in name:
            stage.reach("half written")

    _put(SimulatedProvider, "generate", generate)
    _put(books, "_recorded", recorded)
    _put(books.Books, "start_call", granted)
    _put(os, "replace", _before(os.replace, renaming))

    def kept(self: Any, records: Any) -> None:
        records = list(records)
        is_response = any(isinstance(each, Saved) for each in records)
        if is_response and stage.is_next("half saved"):
            _tear()
        keep(self, records)
        if is_response:
            stage.reach("saved")

    _put(Responses, "keep", kept)
    _put(Responses, "forget", _after(Responses.forget, partial(stage.reach, "forgotten")))
    _put(making, "write_papers", _after(output.write_papers, partial(stage.reach, "written")))
    _put(Ledger, "append", _told(Ledger.append, stage))
    _put(Spool, "write", _told(Spool.write, stage))
    if OWN_LEASE not in os.environ:
        _put(books.b, "Claim", partial(Claim, ttl_ms=TTL_MS))
        _put(books.b, "Renew", partial(Renew, ttl_ms=TTL_MS))
        _put(steering, "RENEW_S", 0.2)


def _tear() -> None:
    """The next that is written is written by half, and the process ends."""
    write = os.write

    def half(descriptor: int, data: Any) -> int:
        write(descriptor, bytes(data)[: len(data) // 2])
        os._exit(9)

    _put(os, "write", half)


def _put(owner: Any, name: str, value: Callable[..., Any] | Awaitable[Any] | float) -> None:
    setattr(owner, name, value)


if __name__ == "__main__":
    folder, point, number, *rest = sys.argv[1:]
    set_up(Stage(Path(folder), point, int(number)))
    sys.exit(runner.main(rest))
