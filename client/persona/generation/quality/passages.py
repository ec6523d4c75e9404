"""A segment's passages as TF-IDF vectors: how near the nearest one comes to a claim.

A passage is a record, or of a long one a stretch of so many content words; each is half over the
next, so that no thought is cut in two.
"""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from persona.generation.model import Record, Segment
from persona.generation.quality.stems import language_of, stems
from persona.generation.text import Floats, Ints

LONGEST = 16
STEP = 8
MOST_RECORDS = 20_000
"""Of a larger segment the most typical participants' are read."""
AT_ONCE = 256
"""So many claims are held against all passages together: each takes as much room as those are."""
SAMPLE = 12
KEPT = 8


class Passages(Struct, frozen=True):
    """Every term's passages, so that a claim meets only those that share a term with it."""

    language: str
    """Of the source; `und` where it doesn't tell."""
    numbers: dict[str, int]
    """Each term's number, in the order in which they were read."""
    idf: Floats
    starts: Ints
    """Term i stands in the passages `members[starts[i]:starts[i + 1]]`."""
    members: Ints
    lengths: Floats
    """Of the passages' vectors."""

    def nearest(self, claims: Sequence[Sequence[str]]) -> list[float]:
        """Of each claim's stems the highest cosine of any passage with them, 0 to 1."""
        starts = range(0, len(claims), AT_ONCE)
        return [each for at in starts for each in self._nearest(claims[at : at + AT_ONCE])]

    def _nearest(self, claims: Sequence[Sequence[str]]) -> list[float]:
        numbers, at, claim_of = self.numbers, list[int](), list[int]()
        unknown = []
        for place, claim in enumerate(claims):
            different = set(claim)
            known = sorted(numbers[term] for term in different if term in numbers)
            at += known
            claim_of += [place] * len(known)
            unknown.append(len(different) - len(known))
        if not at:
            return [0.0] * len(claims)
        terms, owners = np.array(at), np.array(claim_of)
        squares = self.idf[terms] ** 2
        begins, sizes = self.starts[terms], self.starts[terms + 1] - self.starts[terms]
        # Each term's passages, one after the other.
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) + np.repeat(begins - ends + sizes, sizes)
        count = len(self.lengths)
        cells = np.repeat(owners * count, sizes) + self.members[places]
        products = np.bincount(
            cells, weights=np.repeat(squares, sizes), minlength=count * len(claims)
        ).reshape(len(claims), count)
        highest = np.max(products / self.lengths, axis=1)
        # A term that the source never uses is rarer than any it uses once.
        rarest = 1 + np.log(1 + count)
        mass = np.bincount(owners, weights=squares, minlength=len(claims))
        lengths = np.sqrt(mass + np.array(unknown) * rarest**2)
        # A claim without stems has neither a product nor a length.
        near = np.divide(highest, lengths, out=np.zeros_like(highest), where=lengths > 0)
        return [min(1.0, each) for each in near.tolist()]


_indexes: OrderedDict[str, tuple[tuple[Record, ...], Passages]] = OrderedDict()
_lock = threading.Lock()


def passages_of(segment: Segment) -> Passages:
    """Made once a segment; the last few are kept."""
    with _lock:
        records, known = _indexes.get(segment.digest, (None, None))
        if known is not None and records == segment.records:
            _indexes.move_to_end(segment.digest)
            return known
    made = _read(segment.records[:MOST_RECORDS])
    with _lock:
        _indexes[segment.digest] = (segment.records, made)
        while len(_indexes) > KEPT:
            _indexes.popitem(last=False)
    return made


def _read(records: Sequence[Record]) -> Passages:
    language = language_of([record.text for record in records[:SAMPLE]])
    numbers: dict[str, int] = {}
    flat, sizes = array("q"), array("q")
    for record in records:
        found = stems(record.text, language)
        flat.extend([numbers.setdefault(term, len(numbers)) for term in found])
        sizes.append(len(found))
    owners, terms, count = _passages(_ints(flat), _ints(sizes))
    frequency = np.bincount(terms, minlength=len(numbers))
    idf = (1 + np.log((1 + count) / (1 + frequency))).astype(np.float32)
    squares = np.bincount(owners, weights=idf[terms] ** 2, minlength=count)
    return Passages(
        language=language,
        numbers=numbers,
        idf=idf,
        starts=np.concatenate(([0], np.cumsum(frequency))).astype(np.int64),
        members=owners[np.argsort(terms, kind="stable")],
        lengths=np.sqrt(squares).astype(np.float32),
    )


def _passages(flat: Ints, sizes: Ints) -> tuple[Ints, Ints, int]:
    """Each passage's different terms as pairs (passage, term), and how many passages there are.

    A record is so many blocks of `STEP` terms; two blocks that follow each other are a passage.
    """
    blocks = -(-sizes // STEP)
    passages = np.where(sizes > 0, np.maximum(1, blocks - 1), 0)
    first = np.cumsum(passages) - passages
    record = np.repeat(np.arange(len(sizes)), sizes)
    block = (np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)) // STEP
    begins, ends = block < passages[record], block > 0
    owners = np.concatenate(
        (first[record[begins]] + block[begins], first[record[ends]] + block[ends] - 1)
    )
    terms = np.concatenate((flat[begins], flat[ends]))
    width = int(flat.max()) + 1 if len(flat) else 1
    pairs = np.unique(owners * width + terms)
    return pairs // width, pairs % width, int(passages.sum())


def _ints(numbers: "array[int]") -> Ints:
    return np.array(numbers, dtype=np.int64)
