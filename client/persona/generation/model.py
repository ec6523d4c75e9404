"""What generation passes from hand to hand: records, segments and personas.

Everything here has already been redacted: a name, an e-mail address or a telephone number
never leaves `sources`.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct


class Record(Struct, frozen=True):
    """One thing that one participant said or wrote, and where it stands."""

    id: str
    """`<source>#<locator>`, unique within one reading, the same on every reading."""
    participant: str
    """A pseudonym (`P07`); never a name, unless redaction is off."""
    source: str
    """The file, relative to the folder that was read, with `/`."""
    locator: str
    """Where in the file: `line 12`, `row 17, column why`, `cue 00:01:02.000`, `item 3`."""
    text: str
    question: str | None = None
    """What was asked: the column's heading or the interviewer's words, where known."""
    kind: Literal["speech", "fact"] = "speech"
    """A `fact` is a closed answer or a header line (`question` its heading: age, city), and
    speaks about the participant, not for him: it takes no part in segmentation."""


class Unreadable(Struct, frozen=True):
    """A file, or a part of one, that could not be read, and why."""

    source: str
    reason: str
    line: int | None = None


class FileRead(Struct, frozen=True):
    """What was found out about one file while it was read."""

    source: str
    format: str
    size_bytes: int
    records: int
    participants: int
    encoding: str | None = None
    delimiter: str | None = None
    text_columns: tuple[str, ...] = ()
    participant_column: str | None = None
    notes: tuple[str, ...] = ()


class Reading(Struct, frozen=True):
    """A file or folder, read, redacted and split into records."""

    path: str
    digest: str
    """`sha256:…` over the names and bytes of every file that was read."""
    size_bytes: int
    files: tuple[FileRead, ...]
    unreadable: tuple[Unreadable, ...]
    records: tuple[Record, ...]
    language: str
    redactions: dict[str, int]
    """How many of each kind were replaced: `email`, `phone`, `name`."""


class Segment(Struct, frozen=True):
    """A group of participants who say similar things; one persona is written from it."""

    digest: str
    records: tuple[Record, ...]
    """Of every participant in the segment, the most typical participant first."""
    participants: tuple[str, ...]
    share: float
    """The segment's participants ÷ all participants, 0 to 1."""
    terms: tuple[str, ...]
    """The terms that mark it off from the other segments, the strongest first."""


class SegmentOfPersona(Struct, frozen=True):
    share: float
    size: int
    terms: list[str]


class Evidence(Struct, frozen=True):
    """Which words of the source a claim rests on."""

    field: str
    """The claim, as a path: `goals[0]`, `age`, `quotes[1]`."""
    source: str
    locator: str
    quote: str
    """Verbatim in the (redacted) source at that locator."""


class Provenance(Struct, frozen=True):
    provider: str
    model: str
    batch: str
    seed: int | None
    prompt_digest: str
    source_digest: str
    created_at: datetime


class Draft(Struct, frozen=True):
    """A persona as a provider answers it, before it is checked, scored and given an id."""

    name: str
    age: str | None = None
    occupation: str | None = None
    location: str | None = None
    summary: str = ""
    goals: list[str] = []
    pain_points: list[str] = []
    behaviours: list[str] = []
    motivations: list[str] = []
    quotes: list[str] = []
    evidence: list[Evidence] = []


class Persona(Struct, frozen=True):
    """A finished persona: the JSON document of one persona has exactly these fields."""

    id: str
    name: str
    age: str | None
    occupation: str | None
    location: str | None
    summary: str
    goals: list[str]
    pain_points: list[str]
    behaviours: list[str]
    motivations: list[str]
    quotes: list[str]
    segment: SegmentOfPersona
    evidence: list[Evidence]
    quality: dict[str, float]
    """Each metric's score and `composite`, 0 to 1."""
    provenance: Provenance
