"""The stems of a text's content words, for any script, quickly: a whole segment is read for one
persona.

The same stems as `text.terms` gives, and numbers besides; a word's are looked up once.
"""

import functools
import re
from collections.abc import Sequence
from itertools import chain

from persona.generation.language import UNSURE, detect, stopwords
from persona.generation.text import normal, stem, without_marks, words

_REMEMBERED = 50_000
"""Words a language; with more, all are forgotten, which costs time only."""
_SEPARATORS = '.,;:!?()"<>{}|/\\'
_SPACED = re.compile(rf"[^\s{re.escape(_SEPARATORS)}…“”„‟«»。、！？।॥「」『』・]+")
_AS_SPACES = str.maketrans(_SEPARATORS, " " * len(_SEPARATORS))


class _Stems(dict[str, tuple[str, ...]]):
    """What stands between spaces or marks → its stems, found when first asked for."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._stop = stopwords(language)

    def __missing__(self, run: str) -> tuple[str, ...]:
        if len(self) >= _REMEMBERED:
            self.clear()
        plain = (normal(word) for word in words(run))
        found = tuple(
            stem(word, self._language)
            for word in plain
            if word
            and word not in self._stop
            and (len(word) > 1 or not word.isascii() or word.isdigit())
        )
        self[run] = found
        return found


_known: dict[str, _Stems] = {}


def stems(text: str, language: str) -> list[str]:
    """In their order, with repetitions. What stands in brackets (`[email]`) says nothing."""
    known = _known.get(language)
    if known is None:
        known = _known.setdefault(language, _Stems(language))
    if "[" in text or "<" in text:
        text = without_marks(text)
    # The same runs, in a third of the time.
    runs = text.translate(_AS_SPACES).split() if text.isascii() else _SPACED.findall(text)
    return list(chain.from_iterable(map(known.__getitem__, runs)))


@functools.lru_cache(maxsize=512)
def said(text: str, language: str) -> tuple[str, ...]:
    """The stems of a text of a persona, remembered because every metric asks for them."""
    return tuple(stems(text, language))


def language_of(texts: Sequence[str], fallback: str = UNSURE) -> str:
    """The language that the texts are in, `fallback` where they don't tell."""
    found = _detected(tuple(texts))
    return fallback if found == UNSURE else found


@functools.lru_cache(maxsize=64)
def _detected(texts: tuple[str, ...]) -> str:
    """Remembered, because every metric asks it of the same persona."""
    return detect(texts)
