"""What a batch will be made from: the source read, split into segments, and named.

The command line plans so that a mistake in the data is shown at once; a runner plans again from the
same bytes, and comes to the same segments, so nothing but the batch's id passes between them.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from persona.generation.model import Reading, Segment
from persona.generation.segments import segment
from persona.generation.sources import read_sources
from persona.identity import persona_id
from personad.contract.base import derived_id
from personad.contract.batch import BatchStarted, PersonaQueued, SegmentRef, Source

RECORD_IDS_BYTES = 256 << 10
"""How much of a `persona.queued` the names of its segment's records may take, as msgpack."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What to read, and how."""

    path: Path
    count: int
    """How many personas are asked for."""
    seed: int | None = None
    language: str = "auto"
    text_columns: tuple[str, ...] = ()
    participant_column: str | None = None
    redact: bool = True


class Plan(Struct, frozen=True, kw_only=True):
    """The source and the segments, one a persona."""

    reading: Reading
    segments: tuple[Segment, ...]

    @property
    def total(self) -> int:
        return len(self.segments)


def make_plan(wanted: Wanted, progress: Callable[[int, int], None] | None = None) -> Plan:
    """Reads and segments.

    Raises:
        SourceError: nothing in there can be read.
    """
    reading = read_sources(
        wanted.path,
        text_columns=wanted.text_columns,
        participant_column=wanted.participant_column,
        redact=wanted.redact,
        language=wanted.language,
        progress=progress,
    )
    return Plan(reading=reading, segments=segment(reading, wanted.count, seed=wanted.seed))


def wanted_by(started: BatchStarted) -> Wanted:
    """What the batch was planned from."""
    return Wanted(
        path=Path(started.source.path),
        count=started.total,
        seed=started.seed,
        language=started.language,
        text_columns=tuple(started.text_columns),
        participant_column=started.participant_column,
        redact=started.redact,
    )


def source_change(then: Source, now: Reading) -> str | None:
    """In what the source differs from the one that a batch was planned from; None: in nothing."""
    if now.digest == then.digest:
        return None
    files, size = len(now.files), now.size_bytes
    if (files, size) == (then.files, then.bytes):
        was, is_called = Path(then.path).name, Path(now.path).name
        if was != is_called and Path(now.path).is_file():
            return (
                f"it was {was}, and this is {is_called}, with as many bytes ({size:,}); quotes "
                "name the file that they are from, so it keeps its name"
            )
        return f"as many files and bytes ({files}; {size:,}), but others"
    return f"{then.files} files of {then.bytes:,} bytes then, {files} of {size:,} now"


def queue_of(started: BatchStarted, segments: tuple[Segment, ...]) -> list[PersonaQueued]:
    """The batch's personas, in order; planning twice gives the same events, so they count once."""
    return [
        PersonaQueued(
            id=derived_id("persona.queued", started.batch, index),
            at=started.at,
            batch=started.batch,
            persona=persona_id(started.batch, index),
            index=index,
            segment=SegmentRef(digest=each.digest, record_ids=_named(each)),
        )
        for index, each in enumerate(segments, 1)
    ]


def _named(segment: Segment) -> list[str]:
    """The segment's first records, as many as fit into an event; its digest is over all."""
    room, named = RECORD_IDS_BYTES, []
    for record in segment.records:
        room -= len(record.id.encode()) + 5
        if room < 0:
            break
        named.append(record.id)
    return named
