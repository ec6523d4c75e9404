"""Responses that were received, kept until the persona made from them is finished.

A response is paid for, so its bytes reach the disk before anything else is done with them. A runner
that follows a dead one finds them here, and asks nobody twice.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.files import LEFTOVER, write_whole
from persona.generation.providers.base import Ending, Usage

_ENDING = ".response"
_encoder = msgspec.msgpack.Encoder()


class Saved(Struct, frozen=True, kw_only=True):
    """One response, with all that its `cost.recorded` says."""

    call: str
    persona: str
    attempt: int
    body: bytes
    usage: Usage
    duration_ms: int
    request_id: str | None = None
    ttft_ms: int | None = None
    ending: Ending = "whole"
    operation: str = "generation"
    prompt_digest: str | None = None
    """Of what was asked."""


_decoder = msgspec.msgpack.Decoder(Saved)


def save(folder: Path, saved: Saved) -> None:
    """On the disk, whole, when it returns. Raises OSError."""
    path, data = folder / f"{saved.call}{_ENDING}", _encoder.encode(saved)
    try:
        write_whole(path, data, mode=0o600)
    except FileNotFoundError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, data, mode=0o600)


def load(folder: Path) -> Iterator[Saved]:
    """All that lie there, in the order of their calls; one that can't be read is passed over.

    A damaged one can only come from a disk error: its call then counts as one without an answer. So
    does one that was being written when its runner died; what there is of it is removed.
    """
    for unfinished in folder.glob(LEFTOVER):
        unfinished.unlink(missing_ok=True)
    for path in sorted(folder.glob(f"*{_ENDING}")):
        try:
            yield _decoder.decode(path.read_bytes())
        except msgspec.DecodeError:
            path.rename(path.with_suffix(".damaged"))


def forget(folder: Path, call: str) -> None:
    """The persona is finished: its response is no longer needed."""
    (folder / f"{call}{_ENDING}").unlink(missing_ok=True)
