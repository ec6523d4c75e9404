"""A worker's personas overlap as far as nothing can be lost by it, and no further."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from persona.generation.working import one_by_one


def worked(
    pieces: list[Any], made: Callable[..., Any], *, overlapping: bool, told: list[str]
) -> list[str]:
    async def make(piece: Any, received: Callable[[], None]) -> bool:
        told.append(f"call {piece}")
        await anyio.sleep(0.01)
        received()
        told.append(f"received {piece}")
        await anyio.sleep(0.05 if piece == 1 else 0.01)
        told.append(f"made {piece}")
        return bool(made(piece))

    async def run() -> None:
        with anyio.fail_after(10):
            await one_by_one(iter(pieces), make, overlapping=overlapping)

    anyio.run(run)
    return told


def test_the_next_call_begins_when_a_response_is_safe_and_the_one_after_when_it_is_made() -> None:
    told = worked([1, 2, 3], lambda piece: True, overlapping=True, told=[])

    assert told[:3] == ["call 1", "received 1", "call 2"]
    assert told.index("call 3") > told.index("made 1") > told.index("received 2")
    assert told.count("made 3") == 1


def test_one_at_a_time_is_one_after_the_other() -> None:
    told = worked([1, 2], lambda piece: True, overlapping=False, told=[])

    assert told == [f"{what} {n}" for n in (1, 2) for what in ("call", "received", "made")]


@pytest.mark.parametrize("overlapping", [False, True])
def test_after_one_that_nothing_may_follow_only_what_had_begun_is_made(overlapping: bool) -> None:
    told = worked([1, 2, 3, 4], lambda piece: piece != 1, overlapping=overlapping, told=[])

    begun = 2 if overlapping else 1
    assert [each for each in told if each.startswith("made")] == [
        f"made {n}" for n in sorted(range(1, begun + 1), reverse=True)
    ]


@pytest.mark.parametrize("overlapping", [False, True])
def test_what_goes_wrong_ends_the_worker(overlapping: bool) -> None:
    def broken(piece: int) -> bool:
        raise KeyError(piece)

    with pytest.raises(ExceptionGroup) as raised:
        worked([1, 2, 3], broken, overlapping=overlapping, told=[])
    assert raised.group_contains(KeyError)
