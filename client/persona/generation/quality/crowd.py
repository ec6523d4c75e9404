"""The personas of a batch as far as they are finished, and how like the nearest of them one is.

Whatever their number, a persona is compared closely with a few only: the terms of each are added up
in a short vector (feature hashing, Weinberger et al. 2009), and those whose vectors are nearest are
compared term by term.
"""

import threading
import zlib
from collections.abc import Hashable, Sequence
from typing import overload

import numpy as np

from persona.generation.quality.metric import Scored, told
from persona.generation.quality.stems import language_of, stems
from persona.generation.text import Floats, Ints

SKETCH = 128
CANDIDATES = 24


class Peers(Sequence[Scored]):
    """Those who were there when somebody joined, and how like the nearest of them he was."""

    def __init__(self, members: Sequence[Scored], own: int, likeness: float) -> None:
        self._members = members
        self._size = len(members)
        self._own = own
        self.likeness = likeness
        """0 to 1; 0 where there is nobody."""

    def __len__(self) -> int:
        return self._size - 1

    @overload
    def __getitem__(self, at: int) -> Scored: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Scored]: ...
    def __getitem__(self, at: int | slice) -> Scored | Sequence[Scored]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        place = at + len(self) if at < 0 else at
        if not 0 <= place < len(self):
            raise IndexError(at)
        return self._members[place if place < self._own else place + 1]


class Crowd:
    """Personas by key; one that joins again takes its own place. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[Hashable, int] = {}
        self._members: list[Scored] = []
        self._terms: list[Ints] = []
        self._numbers: dict[str, int] = {}
        self._columns: list[int] = []
        """Of each term, its column in the sketches, below 0 where it is subtracted."""
        self._frequency = np.zeros(1_024, dtype=np.int64)
        self._sketches = np.zeros((64, SKETCH), dtype=np.float32)

    def join(self, key: Hashable, persona: Scored) -> Peers:
        """Takes it in, and tells who was there and how like the nearest it is."""
        found = content(persona)
        with self._lock:
            place = self._places.setdefault(key, len(self._members))
            self._put(place, persona, found)
            return Peers(self._members, place, self._likeness(place))

    def _put(self, place: int, persona: Scored, found: Sequence[str]) -> None:
        terms = self._numbered(found)
        if place < len(self._members):
            self._frequency[self._terms[place]] -= 1
            self._members[place], self._terms[place] = persona, terms
        else:
            self._members.append(persona)
            self._terms.append(terms)
            if place >= len(self._sketches):
                self._sketches = np.concatenate((self._sketches, np.zeros_like(self._sketches)))
        self._frequency[terms] += 1
        self._sketches[place] = self._sketch(terms)

    def _numbered(self, found: Sequence[str]) -> Ints:
        """The different terms' numbers, rising."""
        for term in found:
            if term not in self._numbers:
                self._numbers[term] = len(self._numbers)
                hashed = zlib.crc32(term.encode())
                column = hashed % SKETCH
                self._columns.append(column if hashed & 0x8000_0000 else ~column)
        if len(self._numbers) > len(self._frequency):
            more = np.zeros(len(self._numbers), dtype=np.int64)
            self._frequency = np.concatenate((self._frequency, more))
        return np.array(sorted({self._numbers[term] for term in found}), dtype=np.int64)

    def _sketch(self, terms: Ints) -> Floats:
        """By the weights of today; they say well enough who is worth a closer look."""
        sketch = np.zeros(SKETCH, dtype=np.float64)
        columns = np.array([self._columns[term] for term in terms], dtype=np.int64)
        signs = np.where(columns < 0, -1.0, 1.0)
        weights = np.sqrt(self._weights(terms))
        np.add.at(sketch, np.where(columns < 0, ~columns, columns), signs * weights)
        return np.asarray(sketch / max(1e-12, float(np.linalg.norm(sketch))), dtype=np.float32)

    def _weights(self, terms: Ints) -> Floats:
        """Each term's idf, squared."""
        size = len(self._members)
        idf = 1 + np.log((1 + size) / (1 + self._frequency[terms]))
        return np.asarray(idf * idf, dtype=np.float32)

    def _likeness(self, place: int) -> float:
        """The highest TF-IDF cosine with any other, over which terms each has."""
        size, own = len(self._members), self._terms[place]
        if size < 2 or not len(own):
            return 0.0
        near = self._sketches[:size] @ self._sketches[place]
        near[place] = -2
        if size - 1 > CANDIDATES:
            others = np.sort(np.argpartition(near, size - CANDIDATES)[size - CANDIDATES :])
        else:
            others = np.flatnonzero(near > -2)
        weights = self._weights(own)
        mine = float(np.sqrt(weights.sum()))
        shares = np.zeros(len(self._numbers), dtype=np.float32)
        shares[own] = weights
        return max(self._cosine(self._terms[other], shares, mine) for other in others)

    def _cosine(self, theirs: Ints, shares: Floats, mine: float) -> float:
        if not len(theirs):
            return 0.0
        length = float(np.sqrt(self._weights(theirs).sum()))
        return min(1.0, float(shares[theirs].sum()) / (mine * length))


def among(peers: Sequence[Scored], persona: Scored) -> Peers:
    """`persona` as it joins `peers`, who may be any others."""
    crowd = Crowd()
    for at, each in enumerate(peers):
        crowd.join(at, each)
    return crowd.join(None, persona)


def content(persona: Scored) -> list[str]:
    """The stems of all that is said of a persona, and of what it says; another name or age makes
    nobody another."""
    sentences = told(persona)
    language = language_of(sentences or persona.quotes)
    facts = filter(None, (persona.occupation, persona.location))
    return [
        term for text in (*facts, *sentences, *persona.quotes) for term in stems(text, language)
    ]
