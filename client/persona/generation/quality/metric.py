"""What a metric is: a module or object with a `name` and a `score`, from 0 to 1.

Another package joins one by an entry point of the group `persona.metrics`.
"""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct, field

from persona.generation.model import Draft, Persona, Segment

GROUP = "persona.metrics"
Scored = Draft | Persona
"""A persona before or after it is finished: what is scored stands in both."""

WEIGHTS = {
    "coherence": 0.25,
    "faithfulness": 0.30,
    "completeness": 0.20,
    "distinctiveness": 0.15,
    "authenticity": 0.10,
}
TEXT_FIELDS = ("name", "age", "occupation", "location", "summary")
LIST_FIELDS = ("goals", "pain_points", "behaviours", "motivations", "quotes")
STATEMENTS = ("goals", "pain_points", "behaviours", "motivations")
"""What is said of a persona; quotes are what it says, maybe in another language."""
REQUIRED_FIELDS = ("name", "summary", "goals", "pain_points", "behaviours", "quotes")


class NotMeasurable(Exception):
    """There is nothing that this metric could be measured on; the message says why, for people."""


class Score(Struct, frozen=True):
    """One metric's answer about one persona."""

    value: float
    """0 to 1."""
    parts: dict[str, float] = {}
    """What `value` was made of, each 0 to 1."""
    unsupported: list[str] = []
    """Claims that the source does not bear out, each as a line for people."""
    notes: list[str] = []
    """What could not be judged and why, each as a line for people."""


class Settings(Struct, frozen=True, kw_only=True):
    """How personas are scored: `[quality]` of the configuration. Raises ValueError."""

    weights: dict[str, float] = field(default_factory=WEIGHTS.copy)
    required_fields: tuple[str, ...] = REQUIRED_FIELDS

    def __post_init__(self) -> None:
        for metric, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of {metric} must be 0 or more, and is {weight}")
        known = (*TEXT_FIELDS, *LIST_FIELDS, "evidence")
        for required in self.required_fields:
            if required not in known:
                raise ValueError(f"{required!r} is no field of a persona: {', '.join(known)}")


def told(persona: Scored) -> list[str]:
    """What is said of a persona in whole sentences: the summary, then its statements."""
    texts = [persona.summary, *(text for field in STATEMENTS for text in getattr(persona, field))]
    return [text for text in texts if any(map(str.isalnum, text))]


@runtime_checkable
class Metric(Protocol):
    """A deterministic function of the persona, its segment's source and the batch's others."""

    @property
    def name(self) -> str: ...

    def score(
        self, persona: Scored, segment: Segment, peers: Sequence[Scored], settings: Settings
    ) -> Score:
        """`peers` are the batch's other personas, without `persona`.

        Raises NotMeasurable, or whatever it likes: the metric is then left out, and it is said.
        """
        ...
