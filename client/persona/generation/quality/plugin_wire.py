"""What passes between a plug-in's process and the one that asks it."""

from msgspec import Struct

from persona.generation.model import Draft, Segment
from persona.generation.quality.metric import Score, Settings


class Question(Struct, frozen=True, kw_only=True):
    persona: Draft
    segment: Segment | None
    """None: that of the last question."""
    known: int
    """How many of the peers of the last question still stand, from the first on."""
    more: list[Draft]
    """The peers after those."""
    settings: Settings


class Answer(Struct, frozen=True, kw_only=True):
    score: Score | None = None
    reason: str = ""
    """Why there is none."""
