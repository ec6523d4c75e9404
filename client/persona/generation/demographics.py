"""Age, occupation and place of a segment, where its participants stated them and not otherwise."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from persona.generation.model import Record, Segment
from persona.generation.text import normal, words

Trait = Literal["age", "occupation", "location"]
TRAITS: tuple[Trait, ...] = ("age", "occupation", "location")

_HEADINGS: dict[Trait, re.Pattern[str]] = {
    "age": re.compile(
        r"\b(?:age|ages|alter|altersgruppe|âge|tranche d['’]âge|edad|età|leeftijd|idade|"
        r"years old|年齢|उम्र|आयु)\b",
        re.IGNORECASE,
    ),
    "occupation": re.compile(
        r"\b(?:occupation|job|job title|profession|role|work as|living|beruf|tätigkeit|métier|"
        r"profession|ocupación|profesión|occupazione|professione|beroep|profissão|職業|पेशा)\b",
        re.IGNORECASE,
    ),
    "location": re.compile(
        r"\b(?:location|city|town|village|district|neighbou?rhood|borough|place|lives? in|home|"
        r"residence|where do you live|wohnort|stadt|ort|stadtteil|ville|quartier|ciudad|barrio|"
        r"città|woonplaats|cidade|居住地|शहर)\b",
        re.IGNORECASE,
    ),
}
_SAID: dict[Trait, re.Pattern[str]] = {
    "age": re.compile(
        r"\b(?:I['’]m|I am|I turned|I've just turned|ich bin|j['’]ai|tengo)(?: \w+)? "
        r"(?P<value>1[4-9]|[2-9]\d)"
        r"(?= (?:years? old|now\b|and (?:I|my)\b|Jahre|ans\b|años\b)|[.!,;]|$)",
        re.IGNORECASE,
    ),
    "occupation": re.compile(
        r"\b(?:I work as an? |I['’]m working as an? |my job is being an? |"
        r"ich arbeite als (?:eine? )?|je travaille comme (?:une? )?|trabajo (?:como|de) (?:una? )?)"
        r"(?P<value>[^\W\d_][\w'’-]*(?: (?!(?:and|in|at|for|on|so|which|but|with|und|et|y|i|the|"
        r"because|from|near|when|since|here|full|part|there)\b)[^\W\d_][\w'’-]*){0,2})",
        re.IGNORECASE,
    ),
    "location": re.compile(
        r"\b(?:I live in|I(?:'m| am) (?:based|living) in|ich wohne in|j['’]habite (?:à|en)|"
        r"vivo en) (?P<value>[A-ZÀ-ÖØ-Þ][\w'’-]+(?: [A-ZÀ-ÖØ-Þ][\w'’-]+){0,2})"
    ),
}
_NUMBER = re.compile(r"\d{1,3}")
_SILENT = re.compile(
    r"^(?:n/?a|none|-+|—|\?+|unknown|prefer not to say|other|k\.\s?a\.|keine angabe)?$", re.I
)
LONGEST_VALUE = 60


class Stated(Struct, frozen=True):
    """What a trait is said to be, and the records that say it."""

    value: str
    evidence: tuple[tuple[Record, str], ...]
    """Each record with the words in it, verbatim."""
    participants: int
    """How many say so; for an age, how many are in the range."""


def demographics(segment: Segment) -> dict[Trait, Stated]:
    """What the segment's participants stated about themselves, the commonest answer of each.

    Ages become the middle half of the stated ones (lower to upper quartile), so that one
    persona's age says how old its people are.
    """
    result: dict[Trait, Stated] = {}
    for trait in TRAITS:
        statements = list(_statements(segment, trait))
        stated = _age(statements) if trait == "age" else _commonest(statements)
        if stated is not None:
            result[trait] = stated
    return result


def _statements(segment: Segment, trait: Trait) -> Iterator[tuple[Record, str]]:
    """One statement a participant: a fact if there is one, else his or her own words."""
    facts: dict[str, tuple[Record, str]] = {}
    said: dict[str, tuple[Record, str]] = {}
    for record in segment.records:
        if record.kind == "fact":
            value = record.text.strip()
            if (
                record.participant not in facts
                and _HEADINGS[trait].search((record.question or "").replace("_", " "))
                and not _SILENT.match(value)
                and len(value) <= LONGEST_VALUE
                and "[" not in value
            ):
                facts[record.participant] = (record, value)
        elif record.participant not in said:
            match = _SAID[trait].search(record.text)
            if match:
                said[record.participant] = (record, match["value"])
    for participant in segment.participants:
        statement = facts.get(participant) or said.get(participant)
        if statement:
            yield statement


def _commonest(statements: Sequence[tuple[Record, str]]) -> Stated | None:
    """The commonest value; where values are worded freely, the one with the commonest words.

    Of equally common ones it is the most typical participant's.
    """
    if not statements:
        return None
    counts = Counter(_same(value) for _, value in statements)
    used = Counter(word for value in counts for word in set(_content(value)))

    def commonness(value: str) -> tuple[int, int, int]:
        """Free wording is told by its commonest word, and the plainest value that has it."""
        often = counts[value] if counts[value] > 2 else 0
        return often, max((used[word] for word in _content(value)), default=0), -len(value)

    best = max(counts, key=commonness)
    supporting = [(record, value) for record, value in statements if _same(value) == best]
    value = supporting[0][1]
    return Stated(value[0].upper() + value[1:], (supporting[0],), len(supporting))


def _content(value: str) -> list[str]:
    return [normal(word) for word in words(value) if len(word) > 2]


def _same(value: str) -> str:
    return " ".join(value.casefold().split())


def _age(statements: Sequence[tuple[Record, str]]) -> Stated | None:
    exact: dict[int, tuple[Record, str]] = {}
    ages: list[int] = []
    bands: list[tuple[Record, str]] = []
    for record, value in statements:
        numbers = [int(number) for number in _NUMBER.findall(value)]
        if len(numbers) == 1 and 10 <= numbers[0] <= 110 and not re.search(r"[+<>]", value):
            ages.append(numbers[0])
            exact.setdefault(numbers[0], (record, value))
        elif numbers:
            bands.append((record, value))
    if not ages or len(bands) > len(ages):
        return _commonest(bands)
    ages.sort()
    lower, upper = ages[(len(ages) - 1) // 4], ages[(3 * (len(ages) - 1) + 3) // 4]
    if lower == upper:
        return Stated(str(lower), (exact[lower],), ages.count(lower))
    inside = sum(1 for age in ages if lower <= age <= upper)
    return Stated(f"{lower}–{upper}", (exact[lower], exact[upper]), inside)
