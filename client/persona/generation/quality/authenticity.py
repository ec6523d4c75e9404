"""How much a persona sounds like the people of its source, and not like a brochure.

Words that the source uses, no brochure's words, quotes that read as speech, statements that say
something definite, and a name that somebody could have. Brochures' words are known for the
languages of `brochure`; the source's words can be looked for where persona and source are in one
language. A part that can't be judged is left out, the rest makes up the whole, and it is said.
"""

import math
import re
from collections.abc import Sequence

from persona.generation.language import UNSURE, stopwords
from persona.generation.model import Segment
from persona.generation.quality import brochure
from persona.generation.quality.completeness import is_placeholder
from persona.generation.quality.metric import (
    STATEMENTS,
    NotMeasurable,
    Score,
    Scored,
    Settings,
    told,
)
from persona.generation.quality.passages import Passages, passages_of
from persona.generation.quality.stems import language_of, said, stems
from persona.generation.text import normal, words

name = "authenticity"

WEIGHTS = {"plain": 0.40, "own words": 0.25, "speech": 0.15, "definite": 0.10, "name": 0.10}
BEARABLE = 2.5
"""So many brochures' words in a hundred content words leave a third of `plain`."""
ENOUGH_OWN = 0.7
"""A persona also generalises: beyond this share of words from the source, more is no better."""
DEFINITE = 2
"""Content words of a statement that says something definite, without a number or name."""
_LONGEST_QUOTE = 70
_LABEL = re.compile(r"^\W*(?:#|[-*•] |\w+(?: \w+)?:\s)|\*\*|__|\bhttps?://")
_SPEECH_SHARE = 0.2
"""The least share of small words (and, that, was) in what people say."""
_INSIDE_CAPITALS = re.compile(r"(?<=[a-zà-ÿ,;] )[A-ZÀ-ÖØ-Þ][\w'’-]+")
_NO_NAME = re.compile(
    r"\d|[/@#_<>\[\]{}]|^(?:the|der|die|das|le|la|el)\s|^(?:persona|user|customer|participant|"
    r"segment|nutzer|kunde|client|utilisateur|usuario|cliente)\b|\b(?:persona|user|customer|"
    r"shopper|buyer|seeker|enthusiast|professional|commuter)$",
    re.IGNORECASE,
)


def score(persona: Scored, segment: Segment, peers: Sequence[Scored], settings: Settings) -> Score:
    """The weighted mean of the parts that there are."""
    sentences, quotes = told(persona), [each for each in persona.quotes if _says(each)]
    if not sentences and not quotes:
        raise NotMeasurable("the persona has no text")
    source = passages_of(segment) if segment.records else None
    language = language_of(sentences or quotes, source.language if source is not None else UNSURE)
    statements = [text for field in STATEMENTS for text in getattr(persona, field) if _says(text)]
    parts, notes = {}, []
    if brochure.is_known(language):
        parts["plain"] = _plain([*sentences, *quotes], language, source)
    else:
        notes.append(f"authenticity: no words of brochures are known for `{language}`")
    if source is None:
        notes.append("authenticity: without a source, whose words these are can't be told")
    elif language != source.language:
        notes.append(
            f"authenticity: the persona is in `{language}` and the source in `{source.language}`, "
            "so that their words were not compared"
        )
    elif (own := _own_words(statements, source)) is not None:
        parts["own words"] = own
    if quotes:
        written = source.language if source is not None else UNSURE
        spoken = written if written != UNSURE else language_of(quotes, language)
        parts["speech"] = math.fsum(_reads_as_speech(each, spoken) for each in quotes) / len(quotes)
    if statements:
        definite = sum(_is_definite(each, language) for each in statements)
        parts["definite"] = definite / len(statements)
    parts["name"] = float(_is_name(persona.name))
    whole = math.fsum(WEIGHTS[part] for part in parts)
    value = math.fsum(WEIGHTS[part] * share for part, share in parts.items()) / whole
    return Score(value=value, parts=parts, notes=notes)


def _says(text: str) -> bool:
    return any(map(str.isalnum, text))


def _plain(texts: Sequence[str], language: str, source: Passages | None) -> float:
    """1 without brochures' words, and ever less the denser they stand."""
    total = max(20, sum(len(said(text, language)) for text in texts))
    found = [
        each
        for text in texts
        for each in brochure.found_in(text, language)
        if source is None or not _uses(source, each)
    ]
    return math.exp(-100 * len(found) / total / BEARABLE)


def _uses(source: Passages, phrase: str) -> bool:
    roots = stems(phrase, source.language)
    return bool(roots) and all(root in source.numbers for root in roots)


def _own_words(statements: Sequence[str], source: Passages) -> float | None:
    """How many of the different content words the source has; None where there are none."""
    used = {root for text in statements for root in said(text, source.language)}
    if not used:
        return None
    return min(1.0, len(used & source.numbers.keys()) / len(used) / ENOUGH_OWN)


def _reads_as_speech(quote: str, language: str) -> float:
    """1 for what somebody may have said; a half for what is too long, or has too few small words.

    Labels, headings and links are said by nobody.
    """
    spoken = [normal(word) for word in words(quote)]
    if _LABEL.search(quote) or not spoken or (len(spoken) > 3 and quote.isupper()):
        return 0.0
    small = stopwords(language)
    share = sum(word in small for word in spoken) / len(spoken)
    is_stiff = bool(small) and len(spoken) >= 6 and share < _SPEECH_SHARE
    return 0.5 if is_stiff or len(spoken) > _LONGEST_QUOTE else 1.0


def _is_definite(statement: str, language: str) -> bool:
    return (
        len(said(statement, language)) >= DEFINITE
        or any(map(str.isdigit, statement))
        or _INSIDE_CAPITALS.search(statement) is not None
    )


def _is_name(name: str) -> bool:
    """Whether somebody could be called so: a few words of letters, and no role or number."""
    pieces = name.split()
    return (
        1 <= len(pieces) <= 6
        and len(name) <= 80
        and not is_placeholder(name)
        and not _NO_NAME.search(name)
        and any(piece[0].isalpha() and piece[0] == piece[0].upper() for piece in pieces)
    )
