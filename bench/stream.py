"""A history out of a process of its own, in groups: `python -m bench.stream SHAPE`.

To make events up takes about as long as to take them in, and there is a second core.
"""

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from personad.contract.codec import codec, encode
from personad.contract.events import AnyEvent

from .history import Shape, history

GROUP = 5_000
_LENGTH_BYTES = 8
_ROOT = Path(__file__).resolve().parent.parent


class Group(Struct, frozen=True):
    events: list[AnyEvent]
    json_bytes: int
    """Of the events as JSON lines."""


def groups(shape: Shape) -> Iterator[Group]:
    """The whole history, in its order; raises RuntimeError where its process failed."""
    decode = codec(Group).msgpack.decode
    command = [sys.executable, "-m", "bench.stream", msgspec.json.encode(shape).decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT) as process:
        assert process.stdout is not None
        while head := process.stdout.read(_LENGTH_BYTES):
            yield decode(process.stdout.read(int.from_bytes(head)))
    if process.returncode:
        raise RuntimeError("no history could be made up; it said why above")


def _write(shape: Shape, out: BinaryIO) -> None:
    events = history(shape)
    while group := list(islice(events, GROUP)):
        body = encode(Group(group, sum(len(encode(event, "json")) + 1 for event in group)))
        out.write(len(body).to_bytes(_LENGTH_BYTES) + body)


if __name__ == "__main__":
    _write(msgspec.json.decode(sys.argv[1], type=Shape), sys.stdout.buffer)
