"""A persona's summary in two or three plain sentences: whom it stands for and what they say."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from persona.generation.demographics import Stated, Trait
from persona.generation.model import Segment


class Phrases(Struct, frozen=True):
    """The fixed words of one language's summary."""

    stands_for: str
    typically: str
    aged: str
    living_in: str
    speak_of: str
    both: str
    complaint: str
    wish: str | None = None
    """How an infinitive goal is introduced, where goals are put so."""


_ENGLISH = Phrases(
    stands_for="{name} stands for {size} of the {total} participants ({share}%)",
    typically=", typically {traits}",
    aged="aged {age}",
    living_in="living in {location}",
    speak_of="What sets the group apart is talk of {terms}.",
    both=" and ",
    complaint="A typical complaint: {complaint}",
    wish="Above all, they want to {goal}",
)
PHRASES: dict[str, Phrases] = {
    "en": _ENGLISH,
    "de": Phrases(
        stands_for="{name} steht für {size} von {total} Befragten ({share} %)",
        typically=", typischerweise: {traits}",
        aged="Alter {age}",
        living_in="Wohnort {location}",
        speak_of="Die Gruppe spricht öfter als andere von {terms}.",
        both=" und ",
        complaint="Eine typische Klage: {complaint}",
    ),
    "fr": Phrases(
        stands_for="{name} représente {size} des {total} participants ({share} %)",
        typically=", en général : {traits}",
        aged="âge {age}",
        living_in="lieu {location}",
        speak_of="Le groupe se distingue par ces mots : {terms}.",
        both=" et ",
        complaint="Une plainte typique : {complaint}",
    ),
    "es": Phrases(
        stands_for="{name} representa a {size} de los {total} participantes ({share} %)",
        typically=", normalmente: {traits}",
        aged="edad {age}",
        living_in="lugar {location}",
        speak_of="El grupo se distingue por estas palabras: {terms}.",
        both=" y ",
        complaint="Una queja típica: {complaint}",
    ),
}
_LOWERED = frozenset(
    "They They're They've Their The There There's Nobody It It's Every If When A An No On At In By "
    "For To Not".split()
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
    parts = [
        phrases.stands_for.format(
            name=name,
            size=size,
            total=max(size, round(size / segment.share)) if segment.share else size,
            share=round(100 * segment.share) or "<1",
        )
        + _traits(phrases, stated)
        + "."
    ]
    marks = [f"“{term}”" for term in segment.terms[:3]]
    if marks:
        listed = phrases.both.join([", ".join(marks[:-1]), marks[-1]] if marks[1:] else marks)
        parts.append(phrases.speak_of.format(terms=listed))
    if goal and phrases.wish:
        parts.append(phrases.wish.format(goal=goal[0].lower() + goal[1:]))
    elif complaints:
        shortest = min(complaints[:3], key=lambda text: len(text.split()) > 20)
        parts.append(phrases.complaint.format(complaint=_lowered(shortest)))
    return " ".join(parts)


def _traits(phrases: Phrases, stated: Mapping[Trait, Stated]) -> str:
    traits = []
    if "age" in stated:
        traits.append(phrases.aged.format(age=stated["age"].value))
    if "occupation" in stated:
        traits.append(_occupation(stated["occupation"].value))
    if "location" in stated:
        traits.append(phrases.living_in.format(location=stated["location"].value))
    return phrases.typically.format(traits=", ".join(traits)) if traits else ""


def _occupation(value: str) -> str:
    return value[0].lower() + value[1:] if value[1:2].islower() else value


def _lowered(sentence: str) -> str:
    first = sentence.partition(" ")[0]
    return sentence[0].lower() + sentence[1:] if first in _LOWERED else sentence
