"""What is compared: a batch's personas as documents, and how each of them is written."""

import functools
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from persona.generation.language import detect, stopwords
from persona.generation.model import Persona
from persona.generation.text import sentences, terms, words

LISTS = ("goals", "pain_points", "behaviours", "motivations", "quotes")
PLAIN = ("age", "occupation", "location", "summary")

_FIRST_PERSON = {
    "en": "i i'm i've i'd i'll me my mine myself we we're we've us our ours",
    "de": "ich mich mir mein meine meinem meinen meiner meines wir uns unser unsere unseren",
    "fr": "je j'ai j' me moi mon ma mes nous notre nos",
    "es": "yo me mi mis mí conmigo nosotros nosotras nos nuestro nuestra nuestros nuestras",
    "it": "io mi me mio mia miei mie noi ci nostro nostra nostri nostre",
    "nl": "ik me mij mijn wij we ons onze",
    "pt": "eu me mim meu minha meus minhas nós nos nosso nossa nossos nossas",
}
"""The words by which people speak of themselves; where none are known, nothing is said of it."""


class Compared(Struct, frozen=True, kw_only=True):
    """A batch, as far as its personas still stand in its folder."""

    batch: str
    provider: str
    model: str
    personas: tuple[Persona, ...]
    scores: dict[str, dict[str, float]]
    """By persona: each metric and `composite`, by the scorer that all batches have."""
    cost_per_persona_nanousd: int | None = None

    @property
    def maker(self) -> str:
        return f"{self.provider}/{self.model}"


def text_of(persona: Persona, *, quotes: bool = True) -> str:
    """All that it says, but for its name."""
    parts = [getattr(persona, name) or "" for name in PLAIN]
    for name in LISTS:
        if quotes or name != "quotes":
            parts += getattr(persona, name)
    return "\n".join(part for part in parts if part)


def language_of(personas: Iterable[Persona]) -> str:
    return detect(text_of(persona) for persona in personas)


def terms_of(persona: Persona, language: str) -> list[tuple[str, str]]:
    """(stem, spelling) of each word that says something."""
    return list(terms(text_of(persona), stopwords(language), language))


def style_of(persona: Persona, language: str) -> dict[str, float]:
    """How it is written: words in all, words a sentence, and which share of the words outside of
    quotes speaks in the first person (only in languages whose words for it are known)."""
    text = text_of(persona)
    every = list(words(text))
    told = {"words": float(len(every))}
    if counted := sentences(text):
        told["sentence_words"] = len(every) / len(counted)
    first = _first_person(language)
    plain = [word.casefold().replace("’", "'") for word in words(text_of(persona, quotes=False))]
    if first and plain:
        told["first_person"] = sum(word in first for word in plain) / len(plain)
    return told


@functools.cache
def _first_person(language: str) -> frozenset[str]:
    return frozenset(_FIRST_PERSON.get(language.partition("-")[0], "").split())


def values_of(compared: Compared, language: str) -> Mapping[str, Sequence[float]]:
    """Every figure of a persona by its name, a value a persona: scores, then style."""
    found: dict[str, list[float]] = {}
    for persona in compared.personas:
        told = compared.scores.get(persona.id, {}) | style_of(persona, language)
        for name, value in told.items():
            found.setdefault(name, []).append(value)
    return found
