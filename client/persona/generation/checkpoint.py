"""A batch in one small file: enough to go on with it here, or on another machine.

    {"format": "persona-checkpoint", "version": 1, "sha256": …, "checkpoint": {…}}

The ledger stays the truth: where it has the batch, the file only names it. The digest is over the
bytes of `checkpoint` as they stand in the file. Personas' documents are not in here: they lie in
the output folder.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from persona.files import write_whole
from personad.contract.base import derived_id
from personad.contract.batch import (
    BatchPaused,
    BatchResumed,
    BatchStarted,
    BatchStatus,
    PersonaCompleted,
    PersonaGenerating,
    PersonaQueued,
)
from personad.contract.cost import CallStarted, CostRecorded, unheard
from personad.contract.events import AnyEvent, Exported, Recorded

FORMAT, VERSION = "persona-checkpoint", 1
KEPT = [
    "batch.started",
    "batch.resumed",
    "persona.completed",
    "persona.failed",
    "call.started",
    "cost.recorded",
    "cost.corrected",
    "quality.scored",
]
"""The events that a batch is made of; what merely led to them is left out, and so is the start of a
call whose answer came."""
_PLACE = "checkpoint"
_encoder = msgspec.json.Encoder()


class CheckpointError(Exception):
    """The file is no checkpoint that can be gone on with."""

    EXIT_CODE = 65

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.where = str(path)
        self.hint = "the ledger knows the batch as well: `persona batch list` shows it"


class Checkpoint(Struct, frozen=True, kw_only=True):
    """What stands in the file."""

    batch: str
    status: BatchStatus
    total: int
    completed: int
    failed: int
    written_at: datetime
    items: list[Exported]


class _File(Struct, frozen=True, kw_only=True):
    format: str
    version: int
    sha256: str
    checkpoint: msgspec.Raw


class Head(Struct, frozen=True, kw_only=True):
    """All of a checkpoint but its events."""

    batch: str
    status: BatchStatus
    total: int
    completed: int
    failed: int
    written_at: datetime


def exported(recorded: Recorded) -> bytes:
    """One of a checkpoint's items."""
    event = recorded.event
    derived = type(event).DAEMON_ONLY
    return _encoder.encode(Exported(event=event, receipt=recorded.receipt, derived=derived))


def write(path: Path, head: Head, items: Iterable[bytes]) -> None:
    """On the disk, whole or not at all. Raises OSError."""
    body = _encoder.encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"
    digest = hashlib.sha256(body).hexdigest()
    file = _File(format=FORMAT, version=VERSION, sha256=digest, checkpoint=msgspec.Raw(body))
    write_whole(path, _encoder.encode(file) + b"\n", mode=0o600)


def read(path: Path) -> Checkpoint:
    """Raises CheckpointError; OSError."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CheckpointError(path, "this is no checkpoint, or only a part of one") from None
    if found.format != FORMAT:
        raise CheckpointError(path, f"this is no checkpoint but {found.format!r}")
    if found.version != VERSION:
        said = f"a checkpoint of version {found.version}; this persona reads version {VERSION}"
        raise CheckpointError(path, said)
    if hashlib.sha256(bytes(found.checkpoint)).hexdigest() != found.sha256:
        raise CheckpointError(path, "the checkpoint was changed after it was written")
    try:
        checkpoint = msgspec.json.decode(found.checkpoint, type=Checkpoint)
    except msgspec.DecodeError as error:
        raise CheckpointError(path, f"the checkpoint can't be read: {error}") from None
    except RecursionError:
        raise CheckpointError(path, "the checkpoint can't be read: nested too deeply") from None
    if strange := next((one for one in checkpoint.items if not _belongs(one, checkpoint)), None):
        kind = type(strange.event).__struct_config__.tag
        raise CheckpointError(path, f"a `{kind}` in it is no part of {checkpoint.batch}")
    return checkpoint


def _belongs(item: Exported, checkpoint: Checkpoint) -> bool:
    """Anybody can write the digest of what they changed: no budget nor price comes in this way."""
    kind = type(item.event).__struct_config__.tag
    return kind in KEPT and getattr(item.event, "batch", checkpoint.batch) == checkpoint.batch


def put_down(run_dir: Path, path: Path) -> None:
    """Has the batch's runners write their checkpoint to `path`. Raises OSError."""
    for each in (run_dir.parent, run_dir):
        each.mkdir(mode=0o700, exist_ok=True)
    write_whole(run_dir / _PLACE, str(path.absolute()).encode(errors="surrogateescape"), mode=0o600)


def place(run_dir: Path) -> Path | None:
    """Where the batch's checkpoint is to be written, if anywhere."""
    try:
        return Path((run_dir / _PLACE).read_bytes().decode(errors="surrogateescape"))
    except FileNotFoundError:
        return None


def replayed(
    found: Checkpoint, started: BatchStarted, queue: Sequence[PersonaQueued]
) -> list[Exported]:
    """The batch's events for a ledger that has none of them, and a pause at their end.

    `started` is the batch on its present terms and at its place on this machine. Whoever made the
    calls that were on their way is not here to tell what they cost: they are held back at their
    most, until they are settled.
    """
    items = [Exported(event=started), *(Exported(event=each) for each in queue)]
    begun: set[str] = set()
    for item in found.items:
        event = item.event
        match event:
            case BatchStarted() | BatchResumed():
                continue
            case PersonaCompleted():
                if event.persona not in begun:
                    begun.add(event.persona)
                    items.append(Exported(event=_generating(started, event)))
                items.append(Exported(event=_moved(event, started)))
            case _:
                items.append(item)
    told = {item.event.call for item in found.items if isinstance(item.event, CostRecorded)}
    items += [
        Exported(event=unheard(item.event, found.written_at))
        for item in found.items
        if isinstance(item.event, CallStarted) and item.event.call not in told
    ]
    paused = BatchPaused(
        id=derived_id("batch.paused", started.batch, found.written_at.isoformat()),
        at=found.written_at,
        batch=started.batch,
        reason="checkpoint",
    )
    return [*items, Exported(event=paused)]


def _generating(started: BatchStarted, event: PersonaCompleted) -> AnyEvent:
    return PersonaGenerating(
        id=derived_id("persona.generating", started.batch, event.persona, event.attempt),
        at=event.at,
        batch=started.batch,
        persona=event.persona,
        attempt=event.attempt,
    )


def _moved(event: PersonaCompleted, started: BatchStarted) -> PersonaCompleted:
    """The persona's document, where it is looked for on this machine."""
    if event.path is None:
        return event
    path = Path(started.output) / "personas" / Path(event.path).name
    return msgspec.structs.replace(event, path=str(path))
