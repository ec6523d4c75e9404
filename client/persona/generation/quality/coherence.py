"""How far a persona agrees with itself: nothing contradicts, nothing is said twice, one voice.

Repetition is found in any language; contradictions need the words of `life_stages` and of negation
below, and voices the pronouns below. Where those of a language are not known, that is said.
"""

import re
from collections.abc import Sequence
from itertools import combinations

from msgspec import Struct

from persona.generation.cleaning import clean_line
from persona.generation.language import UNSURE
from persona.generation.model import Segment
from persona.generation.quality.life_stages import contradictions
from persona.generation.quality.metric import (
    STATEMENTS,
    NotMeasurable,
    Score,
    Scored,
    Settings,
    told,
)
from persona.generation.quality.passages import passages_of
from persona.generation.quality.stems import language_of, said

name = "coherence"

CONTRADICTED = 0.6
"""What is left after each contradiction."""
VOICE = 0.2
"""How much the voice counts."""
SAME = 0.75
"""From this share of common stems on, two statements are about the same."""
LEAST = 3
"""With fewer statements and quotes, there is nothing to measure."""
MOST = 500
"""So many statements are held against each other; each more would cost as many comparisons."""
FEWEST = 3
"""With fewer stems, only equal statements are the same."""

_NEGATIONS = {
    "de": r"\b(?:nicht|nichts|nie|niemals|niemand|ohne|kein\w*)\b",
    "en": r"\b(?:not|no|never|nobody|nothing|none|neither|nor|without|cannot|hardly)\b|n['’]t\b",
    "es": r"\b(?:no|nunca|jamás|nada|nadie|sin|tampoco)\b",
    "fr": r"\b(?:ne|pas|jamais|rien|sans|aucune?)\b|\bn['’]",
    "hi": r"(?:नहीं|मत|बिना|कभी न)",
    "it": r"\b(?:non|mai|niente|nessun\w*|senza)\b",
    "ja": r"ない|ません|なかった|なく|ずに",
    "nl": r"\b(?:niet|niets|nooit|geen|zonder|niemand)\b",
    "pt": r"\b(?:não|nunca|jamais|nada|sem|ninguém)\b",
    "zh": r"不|没|無|无",
}
_NEGATED = {code: re.compile(pattern, re.IGNORECASE) for code, pattern in _NEGATIONS.items()}

_PRONOUNS = {
    "de": (r"\b(?:ich|mein\w*|mir|mich|wir|uns\w*)\b", r"^\W*(?:er|sie)\b"),
    "en": (
        r"\b(?:I|I['’](?:m|ve|d|ll)|my|me|mine|we|our|us)\b",
        r"^\W*(?:he|she)(?:['’](?:s|d|ll))?\b",
    ),
    "es": (r"\b(?:yo|me|mi|mis|nos|nuestr\w+)\b", r"^\W*(?:él|ella)\b"),
    "fr": (r"\b(?:je|moi|mes|mon|ma|nous)\b|\bj['’]", r"^\W*(?:il|elle)\b"),
    "hi": (r"मैं|मेर|मुझे|हम", r"^\W*(?:वह|वे)\s"),
    "ja": (r"私|僕|俺|自分|うち", r"^\W*(?:彼女|彼)は"),
}
_VOICES = {
    code: (re.compile(own, re.IGNORECASE), re.compile(others, re.IGNORECASE))
    for code, (own, others) in _PRONOUNS.items()
}


class _Statement(Struct, frozen=True):
    field: str
    text: str
    stems: frozenset[str]
    negated: bool


def score(persona: Scored, segment: Segment, peers: Sequence[Scored], settings: Settings) -> Score:
    """What contradictions leave × the share said once × how much of the quotes is one voice."""
    written = passages_of(segment).language if segment.records else UNSURE
    language = language_of(told(persona), written)
    statements = _statements(persona, language)
    quotes = [quote for quote in persona.quotes if any(map(str.isalnum, quote))]
    if len(statements) + len(quotes) < LEAST:
        raise NotMeasurable("hardly anything is said of the persona that could contradict")
    repeated, opposed = _pairs(statements[:MOST])
    found = [*contradictions(persona.age, persona.occupation, persona.summary), *opposed]
    spoken = written if written != UNSURE else language_of(quotes, language)
    total = min(len(statements), MOST) + len(quotes)
    again = repeated + len(quotes) - len({" ".join(quote.casefold().split()) for quote in quotes})
    parts = {
        "consistency": CONTRADICTED ** len(found),
        "repetition": 1.0 - again / total,
    }
    if quotes and spoken in _VOICES:
        parts["voice"] = 1.0 - sum(
            _is_about(quote, persona.name, spoken) for quote in quotes
        ) / len(quotes)
    value = parts["consistency"] * parts["repetition"]
    value *= 1.0 - VOICE * (1.0 - parts.get("voice", 1.0))
    notes = [*map(_line, found), *_unknown(language, spoken)]
    if len(statements) > MOST:
        notes.append(
            f"coherence: only the first {MOST} of {len(statements)} statements are looked at"
        )
    return Score(value=value, parts=parts, notes=notes)


def _line(contradiction: str) -> str:
    return f"coherence: {clean_line(contradiction, 160)}"


def _unknown(language: str, spoken: str) -> list[str]:
    """What could not be looked at for want of a language's words."""
    notes = []
    if language not in _NEGATED:
        notes.append(f"coherence: no words of negation are known for `{language}`")
    if spoken not in _VOICES:
        notes.append(f"coherence: whose voice quotes are in can't be told for `{spoken}`")
    return notes


def _statements(persona: Scored, language: str) -> list[_Statement]:
    negation = _NEGATED.get(language)
    return [
        _Statement(
            field,
            " ".join(text.casefold().split()),
            frozenset(said(text, language)),
            negation is not None and negation.search(text) is not None,
        )
        for field in STATEMENTS
        for text in getattr(persona, field)
        if any(map(str.isalnum, text))
    ]


def _pairs(statements: Sequence[_Statement]) -> tuple[int, list[str]]:
    """How many statements repeat an earlier one, and which contradict each other.

    To want what one lacks is no contradiction; to want what one suffers is.
    """
    repeating: set[int] = set()
    opposed = []
    for (_, first), (at, second) in combinations(enumerate(statements), 2):
        if not _same(first, second):
            continue
        between = {first.field, second.field} == {"goals", "pain_points"}
        if first.negated != second.negated:
            if not between:
                opposed.append(f"“{first.text}” against “{second.text}”")
        elif between:
            opposed.append(f"wants and suffers the same: “{second.text}”")
        else:
            repeating.add(at)
    return len(repeating), opposed


def _same(first: _Statement, second: _Statement) -> bool:
    if first.text == second.text:
        return True
    sizes = len(first.stems), len(second.stems)
    fewest = min(sizes)
    if fewest < max(FEWEST, SAME * max(sizes)):
        return False
    common = len(first.stems & second.stems)
    return common >= SAME * (sum(sizes) - common)


def _is_about(quote: str, name: str, language: str) -> bool:
    """Whether somebody else speaks in it: of the persona by name, or only of him or her."""
    own, others = _VOICES[language]
    first = name.split()[0] if name.split() else ""
    if len(first) > 1 and re.search(rf"(?<!\w){re.escape(first)}(?!\w)", quote):
        return True
    return others.search(quote) is not None and own.search(quote) is None
