"""Required and expected fields filled, with enough items, and no placeholders.

Age, occupation and place are expected of nobody, because a persona states them only where the
source does; but one that is filled with a placeholder counts against it.
"""

import math
import re
from collections.abc import Sequence

from persona.generation.model import Evidence, Segment
from persona.generation.quality.metric import LIST_FIELDS, TEXT_FIELDS, Score, Scored, Settings

name = "completeness"

ENOUGH_ITEMS = {"goals": 3, "pain_points": 3, "behaviours": 2, "motivations": 2, "quotes": 2}
ENOUGH_EVIDENCE = 3
SUMMARY_LENGTH = 20
"""Letters and digits; a shorter summary counts in proportion."""
EXPECTED = ("name", "summary", *LIST_FIELDS)
REQUIRED_WEIGHT, EXPECTED_WEIGHT = 2, 1
LEFT = 0.85
"""What is left for each field that has nothing at all: a list of one is much better than none."""

_PLACEHOLDERS = frozenset(
    {
        "anonymous",
        "desconocida",
        "desconocido",
        "empty",
        "example",
        "fixme",
        "inconnu",
        "inconnue",
        "k.a",
        "k. a",
        "n.a",
        "n/a",
        "na",
        "nan",
        "nil",
        "none",
        "null",
        "onbekend",
        "optional",
        "placeholder",
        "required",
        "sample",
        "sconosciuto",
        "string",
        "tba",
        "tbc",
        "tbd",
        "text",
        "todo",
        "unbekannt",
        "undefined",
        "unknown",
        "unspecified",
        "value",
        "xxx",
        "not applicable",
        "not available",
        "not given",
        "not known",
        "not mentioned",
        "not provided",
        "not specified",
        "not stated",
        "to be determined",
        "to be done",
        "your text here",
        "no data",
        "no information",
        "keine angabe",
        "keine angaben",
        "nicht angegeben",
        "non précisé",
        "no especificado",
    }
)
_TEMPLATE = re.compile(
    r"lorem ipsum.*|\[[^\[\]]*\]|<[^<>]*>|\{[^{}]*\}|\{\{[^{}]*\}\}"
    r"|(?:goal|pain[ _]point|behaviou?r|motivation|quote|item|name|summary|persona|text)"
    r"[ _#]*(?:[0-9]+|one|two|three|here)"
    r"|(?:string[ ,]*)+",
    re.DOTALL,
)
_EDGES = " \t\n.,;:!?…()\"'“”‘’*_-–—"


def score(persona: Scored, segment: Segment, peers: Sequence[Scored], settings: Settings) -> Score:
    """The mean over the fields, required ones counting twice, and less for each that is empty.

    `parts` has each field.
    """
    parts: dict[str, float] = {}
    weights: dict[str, int] = {}
    for field in (*TEXT_FIELDS, *LIST_FIELDS, "evidence"):
        required = field in settings.required_fields
        given = getattr(persona, field)
        if required or field in EXPECTED or (isinstance(given, str) and is_placeholder(given)):
            parts[field] = _filled(field, given)
            weights[field] = REQUIRED_WEIGHT if required else EXPECTED_WEIGHT
    total = math.fsum(weights[field] * part for field, part in parts.items())
    empty = sum(not parts[field] for field in parts)
    return Score(value=total / sum(weights.values()) * LEFT**empty, parts=parts)


def is_placeholder(text: str) -> bool:
    """Whether `text` only stands for something that is not there: nothing, `N/A`, `Goal 1`, …"""
    bare = " ".join(text.casefold().strip(_EDGES).split())
    return (
        not any(map(str.isalnum, bare)) or bare in _PLACEHOLDERS or bool(_TEMPLATE.fullmatch(bare))
    )


def _filled(field: str, given: str | list[str] | list[Evidence] | None) -> float:
    if isinstance(given, list):
        items = [item.quote if isinstance(item, Evidence) else item for item in given]
        return _share_of_items(items, ENOUGH_ITEMS.get(field, ENOUGH_EVIDENCE))
    if given is None or is_placeholder(given):
        return 0.0
    if field == "summary":
        return min(1.0, sum(map(str.isalnum, given)) / SUMMARY_LENGTH)
    return 1.0


def _share_of_items(items: list[str], enough: int) -> float:
    """Different items ÷ what is enough; a placeholder takes a place, a repetition does not."""
    empty = sum(map(is_placeholder, items))
    different = {" ".join(item.casefold().split()) for item in items if not is_placeholder(item)}
    return len(different) / max(enough, len(different) + empty)
