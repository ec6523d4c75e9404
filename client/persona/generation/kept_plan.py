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
    files: dict[str, str] = {}
    """What each file's bytes come to, by its name."""


_encoder = msgspec.msgpack.Encoder()


def keep(folder: Path, plan: Plan) -> None:
    """Raises OSError."""
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True)
    files = _digests(Path(plan.reading.path))
    kept = _Kept(_together(files), plan.reading, plan.segments, files)
    write_whole(folder / NAME, _encoder.encode(kept), mode=0o600)


def kept(folder: Path, source: Path) -> Plan | None:
    """The plan that was kept, if the source is still the same."""
    found = _found(folder)
    if found is None or found.fingerprint != fingerprint(source):
        return None
    return Plan(reading=found.reading, segments=found.segments)


def forget(folder: Path) -> None:
    (folder / NAME).unlink(missing_ok=True)


def differences(folder: Path, source: Path) -> list[str]:
    """What has become of the source's files since the plan was kept; empty where none was kept."""
    found = _found(folder)
    if found is None or not found.files:
        return []
    before, now = found.files, _digests(source)
    return [
        *(f"{name} has changed" for name in before if name in now and now[name] != before[name]),
        *(f"{name} is gone" for name in before if name not in now),
        *(f"{name} is new" for name in now if name not in before),
    ]


def fingerprint(source: Path) -> str:
    """`sha256:…` over the names and bytes of every file that a reader would look into."""
    return _together(_digests(source))


def _found(folder: Path) -> _Kept | None:
    try:
        return msgspec.msgpack.decode((folder / NAME).read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None


def _together(files: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name, bytes_digest in files.items():
        digest.update(f"{name}\0{bytes_digest}\0".encode())
    return f"sha256:{digest.hexdigest()}"


def _digests(source: Path) -> dict[str, str]:
    """Of every file that a reader would look into, by a name that is valid text."""
    found: dict[str, str] = {}
    for each in walk(source):
        if not isinstance(each, Candidate) or each.path.suffix.lower() not in FORMATS:
            continue
        name = each.name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        try:
            if each.path.is_file():
                with each.path.open("rb") as file:
                    found[name] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            found[name] = f"unreadable: {error.errno}"
    return found
