"""How far what a persona is said to want, suffer and do is borne out by its source."""

import re
from collections.abc import Sequence

from msgspec import Struct

from persona.generation.language import UNSURE
from persona.generation.model import Segment
from persona.generation.quality.metric import Scored, told
from persona.generation.quality.passages import MOST_RECORDS, Passages, passages_of
from persona.generation.quality.stems import language_of, said
from persona.generation.text import normal, stem, words

FIELDS = ("goals", "pain_points", "behaviours")
FLOOR, ENOUGH = 0.10, 0.35
"""A claim is borne out in proportion between these cosines of its nearest passage: sentences that
share a subject by chance come to 0.1 to 0.2, what was reworded to 0.3 and more."""
DOUBTFUL = 0.3
"""Below this share a claim is listed."""

_NAME = re.compile(r"(?<=[a-zà-ÿ,;] )[A-ZÀ-ÖØ-Þ][\w'’-]+")
"""A capitalised word inside a sentence."""
_CAPITALISES_NOUNS = frozenset({"de"})


class Claim(Struct, frozen=True):
    field: str
    """Its path: `goals[0]`."""
    text: str
    support: float
    """0 to 1."""
    lacks: str
    """What it lacks, where that is to be said."""


def borne_out(persona: Scored, segment: Segment) -> tuple[list[Claim], str]:
    """Each different claim, and what is to be said of all.

    There are none where persona and source are in two languages.
    """
    passages = passages_of(segment)
    stated = [
        (f"{field}[{at}]", text)
        for field in FIELDS
        for at, text in enumerate(getattr(persona, field))
        if any(map(str.isalnum, text))
    ]
    language = language_of(told(persona), passages.language)
    if UNSURE not in (language, passages.language) and language != passages.language:
        return [], (
            f"faithfulness: its claims are in `{language}` and the source is in "
            f"`{passages.language}`, so that only quotes and evidence were held against it"
        )
    different = {text: field for field, text in reversed(stated)}
    note = ""
    if len(segment.records) > MOST_RECORDS:
        note = (
            f"faithfulness: claims were compared with the first {MOST_RECORDS:,} of "
            f"{len(segment.records):,} records"
        )
    claims = [(field, text) for text, field in reversed(different.items())]
    terms = [said(text, passages.language) for _, text in claims]
    near = passages.nearest(terms)
    return [
        _judged(field, text, found, likeness, passages)
        for (field, text), found, likeness in zip(claims, terms, near, strict=True)
    ], note


def _judged(field: str, text: str, terms: Sequence[str], near: float, passages: Passages) -> Claim:
    support = min(1.0, max(0.0, (near - FLOOR) / (ENOUGH - FLOOR)))
    if not terms:
        return Claim(field, text, support, "says nothing that a source could bear out")
    invented = _invented(text, terms, passages)
    if invented:
        return Claim(field, text, support / 2, f"has {invented}, which the source has not")
    return Claim(
        field, text, support, "" if support >= DOUBTFUL else "is like nothing in the source"
    )


def _invented(text: str, terms: Sequence[str], passages: Passages) -> str:
    """The first number or name in it that stands nowhere in the source."""
    for term in terms:
        if term[0].isdigit() and term not in passages.numbers:
            return term
    if passages.language in _CAPITALISES_NOUNS:
        return ""
    for found in _NAME.findall(text):
        roots = {stem(normal(word), passages.language) for word in words(found)}
        if roots and not roots & passages.numbers.keys():
            return str(found)
    return ""
