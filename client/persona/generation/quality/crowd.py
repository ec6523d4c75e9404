"""The personas of a batch as far as they are finished, and how like the nearest of them one is.

Whatever their number, a persona is compared closely with a few only: with those that share most of
its rarest words, of the newest that use each. Who says nearly the same shares many of them.
"""

import threading
from array import array
from collections.abc import Hashable, Sequence
from typing import overload

import numpy as np

from persona.generation.quality.metric import Scored, told
from persona.generation.quality.stems import language_of, said
from persona.generation.text import Floats, Ints

RAREST = 32
"""By so many of its words a persona's nearest are looked for."""
USERS = 256
"""Of each word so many that use it are remembered."""
CANDIDATES = 24
_ANY = np.finfo(float).tiny


class Peers(Sequence[Scored]):
    """Those who were there when somebody joined, and how like the nearest of them he was."""

    def __init__(self, members: Sequence[Scored], own: int, terms: int, likeness: float) -> None:
        self._members = members
        self._size = len(members)
        self._own = own
        self.terms = terms
        """How many different ones are in what is said of oneself."""
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
        self._users: list[array[int]] = []
        """Of each term the places that use it, the newest written over the oldest."""
        self._frequency = np.zeros(1_024, dtype=np.int64)

    def join(self, key: Hashable, persona: Scored) -> Peers:
        """Takes it in, and tells who was there and how like the nearest it is."""
        found = content(persona)
        with self._lock:
            place = self._places.setdefault(key, len(self._members))
            self._put(place, persona, found)
            terms = len(self._terms[place])
            return Peers(self._members, place, terms, self._likeness(place))

    def _put(self, place: int, persona: Scored, found: Sequence[str]) -> None:
        terms = self._numbered(found)
        if place < len(self._members):
            self._frequency[self._terms[place]] -= 1
            self._members[place], self._terms[place] = persona, terms
        else:
            self._members.append(persona)
            self._terms.append(terms)
        users_of, frequency = self._users, self._frequency
        for term in terms.tolist():
            users = users_of[term]
            if len(users) < USERS:
                users.append(place)
            else:
                users[int(frequency[term]) % USERS] = place
        self._frequency[terms] += 1

    def _numbered(self, found: Sequence[str]) -> Ints:
        """The different terms' numbers, rising."""
        numbers = self._numbers
        different = dict.fromkeys(found)
        for term in different:
            if term not in numbers:
                numbers[term] = len(numbers)
                self._users.append(array("q"))
        if len(self._numbers) > len(self._frequency):
            more = np.zeros(len(self._numbers), dtype=np.int64)
            self._frequency = np.concatenate((self._frequency, more))
        return np.array(sorted(map(numbers.__getitem__, different)), dtype=np.int64)

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
        others = [self._terms[other] for other in self._near(place)]
        others = [terms for terms in others if len(terms)]
        if not others:
            return 0.0
        weights = self._weights(own)
        shared = np.zeros(len(self._numbers), dtype=np.float32)
        shared[own] = weights
        together = np.concatenate(others)
        starts = np.cumsum([0, *map(len, others[:-1])])
        products = np.add.reduceat(shared[together], starts)
        lengths = np.add.reduceat(self._weights(together), starts)
        return min(1.0, float(np.max(products / np.sqrt(lengths * weights.sum()))))

    def _near(self, place: int) -> list[int]:
        """The others that share most of its rarest terms, by weight."""
        size, own = len(self._members), self._terms[place]
        if size <= CANDIDATES:
            return [other for other in range(size) if other != place]
        shared = own[self._frequency[own] > 1]
        rarest = shared[np.argsort(self._frequency[shared], kind="stable")[:RAREST]]
        if not len(rarest):
            return []
        users = [self._users[term] for term in rarest.tolist()]
        weights = np.repeat(self._weights(rarest), [len(each) for each in users])
        found = np.frombuffer(b"".join(users), dtype=np.int64)
        votes = np.bincount(found, weights=weights, minlength=size)
        votes[place] = 0
        least = max(float(np.partition(votes, -CANDIDATES)[-CANDIDATES]), _ANY)
        voted = np.flatnonzero(votes >= least)
        most: list[int] = voted[np.argsort(-votes[voted], kind="stable")[:CANDIDATES]].tolist()
        return most


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
    return [term for text in (*facts, *sentences, *persona.quotes) for term in said(text, language)]
