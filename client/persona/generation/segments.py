"""Participants grouped by what they talk about: one segment for each persona to be written.

A participant is one document (everything he or she said), because a persona stands for people and
not for remarks. Facts (age, occupation) describe a segment and don't steer it.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from persona.generation.clusters import cluster
from persona.generation.language import stopwords
from persona.generation.model import Reading, Record, Segment
from persona.generation.text import (
    Ints,
    TfIdf,
    most_common_spelling,
    terms,
    tfidf,
    without_marks,
)

DEFAULT_SEED = 20_240_229
TERMS_SHOWN = 10
_FEW = 8
"""Up to so many participants every term counts; above, a term needs two who use it."""
_MANY = 30
"""From so many participants on, a term that most of them use tells nobody apart."""

_PART = re.compile(r"\w+", re.ASCII)


class _Corpus(Struct, frozen=True):
    participants: tuple[str, ...]
    stems: tuple[tuple[str, ...], ...]
    """The stems that each participant used, with repetition, in the order spoken."""
    spellings: dict[str, Counter[str]]


def segment(reading: Reading, count: int, *, seed: int | None = None) -> tuple[Segment, ...]:
    """At most `count` segments, the largest first; the same `seed` gives the same ones.

    There are fewer than `count` only where fewer participants say different things: nobody is
    split, and no segment is a copy of another.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"the number of segments must be at least 1, not {count}")
    speech = _speech(reading.records)
    if not speech:
        return ()
    corpus = _corpus(speech, reading.language)
    voices = _voices(speech)
    wanted = min(count, int(voices.max()) + 1)
    vectors = _vectors(corpus, common=0.5 if len(corpus.participants) > _MANY else 1.0)
    if wanted == int(voices.max()) + 1:
        labels = voices
    else:
        rng = np.random.default_rng(DEFAULT_SEED if seed is None else seed)
        labels = cluster(vectors.matrix, wanted, rng)
    return _segments(reading, corpus, vectors, labels)


def _speech(records: Sequence[Record]) -> dict[str, list[str]]:
    """What each participant said, in the order of the reading."""
    speech: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.kind == "speech" and record.text.strip():
            speech[record.participant].append(record.text)
    return speech


def _corpus(speech: dict[str, list[str]], language: str) -> _Corpus:
    """Stems without function words; with them, where nobody says anything else."""
    pseudonyms = frozenset(participant.casefold() for participant in speech)
    for stop in (stopwords(language), frozenset[str]()):
        spellings: dict[str, Counter[str]] = defaultdict(Counter)
        documents: list[tuple[str, ...]] = []
        for texts in speech.values():
            document: list[str] = []
            for text in texts:
                for stem, spelling in terms(without_marks(text), stop, language):
                    # `P07's` is a word, too, and so is `P07가`.
                    if pseudonyms.isdisjoint(_PART.findall(spelling.casefold())):
                        document.append(stem)
                        spellings[stem][spelling] += 1
            documents.append(tuple(document))
        if spellings:
            break
    return _Corpus(tuple(speech), tuple(documents), spellings)


def _voices(speech: dict[str, list[str]]) -> Ints:
    """For each participant a number that those share who say exactly the same."""
    numbers: dict[str, int] = {}
    return np.array(
        [
            numbers.setdefault(" ".join("\n".join(texts).casefold().split()), len(numbers))
            for texts in speech.values()
        ],
        dtype=np.int64,
    )


def _vectors(corpus: _Corpus, common: float) -> TfIdf:
    rarest = 1 if len(corpus.participants) <= _FEW else 2
    vectors = tfidf(corpus.stems, rarest=rarest, common=common)
    return vectors if vectors.vocabulary else tfidf(corpus.stems)


def _segments(
    reading: Reading, corpus: _Corpus, vectors: TfIdf, labels: Ints
) -> tuple[Segment, ...]:
    lift = _lift(vectors, labels)
    records: dict[str, list[Record]] = defaultdict(list)
    for record in reading.records:
        records[record.participant].append(record)
    found = []
    for group in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == group)
        typical = sorted(members, key=lambda row: (-_fit(vectors, int(row), lift[group]), row))
        people = tuple(corpus.participants[row] for row in typical)
        own = tuple(record for participant in people for record in records[participant])
        found.append(
            Segment(
                digest=_digest(own),
                records=own,
                participants=people,
                share=len(people) / len(corpus.participants),
                terms=_terms(corpus, vectors, labels, group),
            )
        )
    return tuple(sorted(found, key=lambda segment: (-segment.share, segment.digest)))


def _lift(vectors: TfIdf, labels: Ints) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The log of how much more weight a term has in a group than overall, (groups, terms)."""
    matrix = vectors.matrix
    rows = np.repeat(np.arange(matrix.height), np.diff(matrix.starts))
    weights = np.full((int(labels.max()) + 1, max(1, matrix.width)), 1e-9)
    np.add.at(weights, (labels[rows], matrix.columns), matrix.values)
    overall = weights.sum(axis=0) / weights.sum()
    smoothed = weights + 0.5 * matrix.width * overall
    lift: np.ndarray[tuple[int, int], np.dtype[np.float64]] = np.log(
        smoothed / smoothed.sum(axis=1, keepdims=True) / overall
    )
    return lift


def _fit(vectors: TfIdf, row: int, lift: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """How much likelier a participant's words are in the segment than overall."""
    columns, values = vectors.matrix.row(row)
    return round(float(values @ lift[columns]), 6)


def _terms(corpus: _Corpus, vectors: TfIdf, labels: Ints, group: int) -> tuple[str, ...]:
    """The terms by the share of the segment's participants who use them, times the log of how
    much larger it is than among the others (class-based TF-IDF on participants, so that one
    talkative person doesn't decide)."""
    matrix = vectors.matrix
    rows = np.repeat(np.arange(matrix.height), np.diff(matrix.starts))
    size = int((labels == group).sum())
    others = len(labels) - size
    users = np.bincount(matrix.columns[labels[rows] == group], minlength=matrix.width)
    inside = users / size
    outside = (vectors.frequency - users + 0.5) / (others + 1)
    score = inside * np.log((inside + 1e-9) / outside)
    score[users < min(2, max(1, size // 2))] = -1
    best = sorted(np.flatnonzero(score > 0), key=lambda i: (-round(float(score[i]), 9), i))
    return tuple(
        most_common_spelling(corpus.spellings[vectors.vocabulary[i]]) for i in best[:TERMS_SHOWN]
    )


def _digest(records: Sequence[Record]) -> str:
    """`sha256:…` over the records' ids and texts, whatever their order."""
    digest = hashlib.sha256()
    for record in sorted(records, key=lambda record: record.id):
        for part in (record.id, record.text):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
    return f"sha256:{digest.hexdigest()}"
