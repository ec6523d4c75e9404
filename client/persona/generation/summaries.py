"""A persona's summary in two or three plain sentences: whom it stands for and what they say."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from persona.generation.demographics import Stated, Trait
from persona.generation.model import Segment


class Phrases(Struct, frozen=True):
    """The fixed words of one language's summary."""

    stands_for: str
    talk_of: str
    both: str
    traits: dict[Trait, str]
    complaint: str
    wish: str | None = None
    """How an infinitive goal is introduced, where goals are put so."""


_ENGLISH = Phrases(
    stands_for="{name} stands for {size} of the {total} participants ({share}%)",
    talk_of=", who talk most of {terms}",
    both=" and ",
    traits={
        "age": "most are aged {value}",
        "occupation": "the most common occupation is {value}",
        "location": "the most common place is {value}",
    },
    complaint="A typical complaint: {complaint}",
    wish="Above all, they want to {goal}",
)
PHRASES: dict[str, Phrases] = {
    "en": _ENGLISH,
    "de": Phrases(
        stands_for="{name} steht für {size} von {total} Befragten ({share} %)",
        talk_of=", die vor allem über {terms} sprechen",
        both=" und ",
        traits={
            "age": "häufigstes Alter: {value}",
            "occupation": "häufigste Tätigkeit: {value}",
            "location": "häufigster Ort: {value}",
        },
        complaint="Eine typische Klage: {complaint}",
    ),
    "fr": Phrases(
        stands_for="{name} représente {size} des {total} participants ({share} %)",
        talk_of=", qui parlent surtout de {terms}",
        both=" et ",
        traits={
            "age": "âge le plus courant : {value}",
            "occupation": "activité la plus courante : {value}",
            "location": "lieu le plus courant : {value}",
        },
        complaint="Une plainte typique : {complaint}",
    ),
    "es": Phrases(
        stands_for="{name} representa a {size} de los {total} participantes ({share} %)",
        talk_of=", que hablan sobre todo de {terms}",
        both=" y ",
        traits={
            "age": "edad más común: {value}",
            "occupation": "ocupación más común: {value}",
            "location": "lugar más común: {value}",
        },
        complaint="Una queja típica: {complaint}",
    ),
}
_LOWERED = re.compile(
    r"(?:They|They're|They've|Their|The|There|There's|Nobody|It|It's|Every|If|When|A|An|No|On|At|"
    r"In|By|For|To|Not|Since|With|Without|After|Before|Because|They'd|Some|Most) "
)


def summary(
    name: str,
    segment: Segment,
    stated: Mapping[Trait, Stated],
    goal: str | None,
    complaints: Sequence[str],
    language: str,
) -> str:
    """The summary; `goal` is an infinitive, `complaints` are sentences, the best first."""
    phrases = PHRASES.get(language, _ENGLISH)
    size = len(segment.participants)
    opening = phrases.stands_for.format(
        name=name,
        size=size,
        total=max(size, round(size / segment.share)) if segment.share else size,
        share=round(100 * segment.share) or "<1",
    )
    parts = [f"{opening}{_marks(phrases, segment)}.", *_traits(phrases, segment, stated)]
    if goal and phrases.wish:
        parts.append(phrases.wish.format(goal=goal[0].lower() + goal[1:]))
    elif complaints:
        shortest = min(complaints[:3], key=lambda text: len(text.split()) > 20)
        parts.append(phrases.complaint.format(complaint=_lowered(shortest)))
    return " ".join(parts)


def _marks(phrases: Phrases, segment: Segment) -> str:
    marks = [f"“{term}”" for term in segment.terms[:3]]
    if not marks:
        return ""
    listed = phrases.both.join([", ".join(marks[:-1]), marks[-1]] if marks[1:] else marks)
    return phrases.talk_of.format(terms=listed)


def _traits(phrases: Phrases, segment: Segment, stated: Mapping[Trait, Stated]) -> list[str]:
    """One sentence with what more than one of several participants has in common."""
    few = len(segment.participants) == 1
    shared = {trait: one for trait, one in stated.items() if few or one.participants > 1}
    traits = [
        phrases.traits[trait].format(
            value=_occupation(one.value) if trait == "occupation" else one.value
        )
        for trait, one in shared.items()
    ]
    joined = "; ".join(traits)
    return [f"{joined[0].upper()}{joined[1:]}."] if traits else []


def _occupation(value: str) -> str:
    return value[0].lower() + value[1:] if value[1:2].islower() else value


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:] if _LOWERED.match(sentence) else sentence
