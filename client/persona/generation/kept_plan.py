"""The plan of a batch, kept in its run folder so that its runner need not read and segment again.

It is a shortcut and nothing more: it counts only while the source is, byte for byte, what it was
made from, and a runner that finds none, or a damaged one, plans from the source. It holds what the
reader gave, so nothing that redaction took out, and it goes when the batch has ended.
"""

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.files import write_whole
from persona.generation.model import Reading, Segment
from persona.generation.plan import Plan
from persona.generation.reading.files import Candidate, walk
from persona.generation.reading.formats import FORMATS

NAME = "plan.msgpack"


class _Kept(Struct, frozen=True):
    fingerprint: str
    reading: Reading
    segments: tuple[Segment, ...]


_encoder = msgspec.msgpack.Encoder()


def keep(folder: Path, plan: Plan) -> None:
    """Raises OSError."""
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True)
    kept = _Kept(fingerprint(Path(plan.reading.path)), plan.reading, plan.segments)
    write_whole(folder / NAME, _encoder.encode(kept), mode=0o600)


def kept(folder: Path, source: Path) -> Plan | None:
    """The plan that was kept, if the source is still the same."""
    try:
        found = msgspec.msgpack.decode((folder / NAME).read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None
    if found.fingerprint != fingerprint(source):
        return None
    return Plan(reading=found.reading, segments=found.segments)


def forget(folder: Path) -> None:
    (folder / NAME).unlink(missing_ok=True)


def fingerprint(source: Path) -> str:
    """`sha256:…` over the names and bytes of every file that a reader would look into."""
    digest = hashlib.sha256()
    for each in walk(source):
        if not isinstance(each, Candidate) or each.path.suffix.lower() not in FORMATS:
            continue
        digest.update(each.name.encode(errors="surrogateescape") + b"\0")
        try:
            if each.path.is_file():
                with each.path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            digest.update(f"unreadable: {error.errno}".encode())
    return f"sha256:{digest.hexdigest()}"
