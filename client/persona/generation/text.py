"""Words, sentences and TF-IDF for any script, shared by segmentation, writing and scoring.

Everything here is a pure function of its arguments, and iterates over nothing unordered: the same
text gives the same numbers in every process.
"""

import functools
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from persona.generation.language import MARKS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_WORD = re.compile(rf"[^\W_][\w{MARKS}]*(?:['’‑-][\w{MARKS}]+)*")
_ELISION = re.compile(r"^(?:qu|jusqu|lorsqu|puisqu|[cdjlmnst]|all|dall|dell|nell|sull|un)['’]")
_UNSPACED = re.compile(
    r"(?P<ideographs>[\u3400-\u9fff\uf900-\ufaff々]+)|(?P<katakana>[\u30a0-\u30ff]+)"
    r"|(?P<hiragana>[\u3041-\u309f]+)|(?P<southeast>[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+)"
)
"""Runs of the scripts that are written without spaces between words."""
_LONGEST_IDEOGRAPHIC_WORD = 4
_STEM_LENGTH = 7
_VOWELS = frozenset("aeiouy")


_MARK = re.compile(r"\[[^\[\]\n]{1,40}\]|<[^<>\n]{1,40}>")


def without_marks(text: str) -> str:
    """`text` without what the reader or a transcriber put in brackets: `[email]`, `[laughs]`."""
    return _MARK.sub(" ", text)


def words(text: str) -> Iterator[str]:
    """The words of `text` as they are spelt; overlapping character n-grams where there are no
    spaces (two ideographs or kana, three letters of Thai, Lao, Burmese or Khmer)."""
    for match in _WORD.finditer(text):
        word = match.group()
        if word.isascii() or not _UNSPACED.search(word):
            yield word
        else:
            yield from _unspaced(word)


def _unspaced(run: str) -> Iterator[str]:
    pieces = [(str(found.lastgroup), found.group()) for found in _UNSPACED.finditer(run)]
    only_hiragana = all(script == "hiragana" for script, _ in pieces)
    for script, piece in pieces:
        if script == "katakana" or (
            script == "ideographs" and len(piece) <= _LONGEST_IDEOGRAPHIC_WORD
        ):
            yield piece
        elif script == "hiragana" and not only_hiragana:
            continue  # beside ideographs these are endings and particles
        else:
            size = 3 if script == "southeast" else 2
            yield from (piece[at : at + size] for at in range(max(1, len(piece) - size + 1)))


def normal(word: str) -> str:
    """`word` without case, elided article and English genitive, with a plain apostrophe."""
    plain = word.casefold()
    if not plain.isascii():
        plain = plain.replace("’", "'").replace("‑", "-")
    if "'" not in plain:
        return plain
    plain = _ELISION.sub("", plain)
    return plain.removesuffix("'s")


def stem(word: str, language: str) -> str:
    """What forms of one word share: English suffixes taken off lightly, else its beginning.

    Cutting to seven letters serves inflecting languages about as well as a stemmer does
    (McNamee & Mayfield 2004, n-gram truncation) and needs no rules a language.
    """
    if language != "en" or not word.isascii() or len(word) < 4:
        return word[:_STEM_LENGTH] if word.isalpha() else word
    return _english_stem(word)


def _english_stem(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "ches", "shes", "zes", "buses")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ing", "ed"):
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) > 2 and _VOWELS & set(rest):
            word = rest[:-1] if rest[-1] == rest[-2] and rest[-1] not in "ls" else rest
            break
    if word.endswith("y") and len(word) > 3:
        word = word[:-1] + "i"
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def terms(text: str, stop: frozenset[str], language: str) -> Iterator[tuple[str, str]]:
    """The (stem, spelling) of every word of `text` that says something."""
    for word in words(text):
        plain, root = _read(word, language)
        if (len(plain) < 2 and plain.isascii()) or plain in stop or plain[0].isdigit():
            continue
        yield root, word


@functools.lru_cache(maxsize=1 << 15)
def _read(word: str, language: str) -> tuple[str, str]:
    """A word's normal form and stem, remembered, since the same few thousand words recur."""
    plain = normal(word)
    return plain, stem(plain, language)


_SENTENCE_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？।॥؟]+[」』”]*|\n+)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mrs?|ms|dr|prof|st|no|nr|vs|etc|approx|ca|bzw|usw|[a-zäöü]|[ap]\.m|e\.g|i\.e"
    r"|z\.\s?b|d\.\s?h|u\.\s?a|p\.\s?ej|sra?|mme|mlle)\.$",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """The sentences of `text`, each one verbatim in it, without surrounding white space."""
    found: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        piece = text[start : end.end()]
        follows = text[end.end() : end.end() + 2].strip()
        if follows and end.group()[0] in ".!?…" and _goes_on(piece, follows):
            continue
        found.append(piece.strip())
        start = end.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def _goes_on(piece: str, follows: str) -> bool:
    """A full stop after an abbreviation, or another mark before a small letter, ends nothing.

    A single full stop before a small letter does: many people type without capitals.
    """
    if _ABBREVIATION.search(piece) and not piece.endswith("I."):
        return follows[0].islower() or not piece.endswith("etc.")
    stop = piece.endswith(".") and not piece.endswith("..")
    return follows[0].islower() and not stop


class Matrix(Struct, frozen=True):
    """A sparse matrix in compressed rows (n rows, m columns), since most counts are nought."""

    starts: Ints
    """n + 1 offsets into the two arrays below: row i is `starts[i]:starts[i + 1]`."""
    columns: Ints
    values: Floats
    width: int

    @property
    def height(self) -> int:
        return len(self.starts) - 1

    def row(self, index: int) -> tuple[Ints, Floats]:
        """The columns and values of one row."""
        part = slice(self.starts[index], self.starts[index + 1])
        return self.columns[part], self.values[part]


_CHUNK = 1 << 22
"""How many products are held at once in `dot`: 16 MB of float32."""


def dot(matrix: Matrix, dense: Floats) -> Floats:
    """`matrix @ dense`, shape (n, k), in bounded memory."""
    result = np.zeros((matrix.height, dense.shape[1]), dtype=np.float32)
    filled = np.flatnonzero(np.diff(matrix.starts))
    per_chunk = max(1, _CHUNK // max(1, dense.shape[1]))
    at = 0
    while at < len(filled):
        offset = matrix.starts[filled[at]]
        end = int(np.searchsorted(matrix.starts[filled + 1], offset + per_chunk, side="right"))
        rows = filled[at : max(end, at + 1)]
        part = slice(offset, matrix.starts[rows[-1] + 1])
        products = matrix.values[part, None] * dense[matrix.columns[part]]
        result[rows] = np.add.reduceat(products, matrix.starts[rows] - offset, axis=0)
        at += len(rows)
    return result


def transpose(matrix: Matrix) -> Matrix:
    """The same matrix in compressed columns, as a matrix of its own."""
    order = np.argsort(matrix.columns, kind="stable")
    rows = np.repeat(np.arange(matrix.height), np.diff(matrix.starts))
    counts = np.bincount(matrix.columns, minlength=matrix.width)
    return Matrix(
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        rows[order].astype(np.int64),
        matrix.values[order],
        matrix.height,
    )


class TfIdf(Struct, frozen=True):
    """Documents as unit vectors over a vocabulary."""

    matrix: Matrix
    """(documents, terms), each row of length 1, or empty."""
    vocabulary: tuple[str, ...]
    """The stems, by document frequency, then alphabetically."""
    idf: Floats
    frequency: Ints
    """In how many documents each term occurs."""


def tfidf(
    documents: Iterable[Iterable[str]], *, rarest: int = 1, size: int = 4_000, common: float = 1.0
) -> TfIdf:
    """TF-IDF with sublinear term frequency, `(1 + ln tf) · (1 + ln((1 + N) / (1 + df)))`.

    Terms in fewer than `rarest` documents, or in more than the share `common` of them, are left
    out, and of the others the `size` most frequent are kept.
    """
    numbers: dict[str, int] = {}
    counted: list[tuple[array[int], array[int]]] = []
    for document in documents:
        counts = Counter(document)
        columns = array("q", (numbers.setdefault(term, len(numbers)) for term in counts))
        counted.append((columns, array("q", counts.values())))
    starts = np.cumsum([0, *(len(columns) for columns, _ in counted)], dtype=np.int64)
    every = _joined(columns for columns, _ in counted)
    tf = _joined(counts for _, counts in counted)
    frequency = np.bincount(every, minlength=len(numbers)).astype(np.int64)
    names = list(numbers)
    usable = (frequency >= rarest) & (frequency <= max(1.0, common * len(counted)))
    kept = sorted(np.flatnonzero(usable), key=lambda i: (-frequency[i], names[i]))[:size]
    new = np.full(len(names), -1, dtype=np.int64)
    new[kept] = np.arange(len(kept))
    df = frequency[kept]
    idf = (1 + np.log((1 + len(counted)) / (1 + df))).astype(np.float32)
    inside = new[every] >= 0 if len(every) else np.zeros(0, dtype=bool)
    inner = new[every][inside]
    values = (1 + np.log(tf[inside])).astype(np.float32) * idf[inner]
    lengths = np.concatenate(([0], np.cumsum(inside)))[starts]
    matrix = _unit_rows(Matrix(lengths.astype(np.int64), inner, values, len(kept)))
    return TfIdf(matrix, tuple(names[i] for i in kept), idf, df)


def _joined(parts: Iterable["array[int]"]) -> Ints:
    arrays = [np.frombuffer(part, dtype=np.int64) for part in parts if len(part)]
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)


def _unit_rows(matrix: Matrix) -> Matrix:
    rows = np.repeat(np.arange(matrix.height), np.diff(matrix.starts))
    squares = np.bincount(rows, weights=matrix.values**2, minlength=matrix.height)
    lengths = np.sqrt(np.maximum(squares, 1e-12)).astype(np.float32)
    return Matrix(matrix.starts, matrix.columns, matrix.values / lengths[rows], matrix.width)


def unit(rows: Floats) -> Floats:
    """Each row of `rows` scaled to length 1; rows of zeros stay so."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)


def vector(terms_of: Iterable[str], weights: dict[str, float]) -> dict[str, float]:
    """A short text as a unit vector over `weights` (term → idf), for a few comparisons."""
    counts = Counter(term for term in terms_of if term in weights)
    raw = {term: (1 + float(np.log(count))) * weights[term] for term, count in counts.items()}
    length = float(np.sqrt(sum(value * value for value in raw.values())))
    return {term: value / length for term, value in raw.items()} if length else {}


def cosine(left: dict[str, float], right: dict[str, float]) -> float:
    """The cosine of two unit vectors of `vector`."""
    if len(left) > len(right):
        left, right = right, left
    return sum(value * right[term] for term, value in left.items() if term in right)


def most_common_spelling(counts: Counter[str]) -> str:
    """The commonest spelling, the lower-case one where two are equally common."""
    return min(counts, key=lambda spelling: (-counts[spelling], spelling.swapcase()))
