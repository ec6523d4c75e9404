"""What the personas of a batch are made with, and one that is to be made."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from persona.generation.books import Books
from persona.generation.gate import Gate
from persona.generation.model import Segment
from persona.generation.providers.base import Provider
from persona.generation.quality import Settings
from persona.generation.quality.crowd import Crowd
from persona.generation.responses import Saved
from personad.contract import batch as b


class Shop(Struct, frozen=True, kw_only=True):
    """What all personas of a batch are made with."""

    started: b.BatchStarted
    source_digest: str
    language: str
    segments: tuple[Segment, ...]
    provider: Provider
    books: Books
    scoring: Settings
    crowd: Crowd
    """The batch's finished personas, which the next one is compared with."""
    left_out: list[tuple[str, str]]
    """The metrics that a persona has no score of, and why; grows as personas are made."""
    accept: float
    rng: Callable[[], float]
    gate: Gate
    rest: Callable[[float], Awaitable[None]]
    """Sleeps for so many seconds, or raises HoldLost once nothing more is to be started."""
    without_secrets: Callable[[str], str]
    on_tokens: Callable[[int, int], None] | None = None
    """Told, as an answer arrives, the persona's place and about how many tokens have come; 0 once
    nothing more comes."""


class Piece(Struct, frozen=True, kw_only=True):
    """One persona that is to be made."""

    index: int
    persona: str
    attempts: int
    """How many there have been already, in an earlier run."""
    saved: tuple[Saved, ...]
    """Responses that an earlier run received for it."""
