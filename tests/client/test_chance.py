"""Chance that no other thread or process gets."""

import os
from concurrent.futures import ThreadPoolExecutor

from persona import chance


def test_threads_never_get_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: [chance.bits64() for _ in range(500)], range(20)))
    found = [each for some in drawn for each in some]
    assert len(set(found)) == len(found) == 10_000
    assert max(found) >> 60


def test_a_child_gets_other_than_its_parent() -> None:
    chance.bits64()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - another process
        os.write(writing, chance.bits64().to_bytes(8, "big"))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        theirs = int.from_bytes(told.read(), "big")
    assert theirs not in [chance.bits64() for _ in range(1_000)]
