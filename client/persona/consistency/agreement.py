"""How far two batches of one source agree: in structure, in what they say, in how good they are.

Personas are paired so that their similarity is greatest in all (Jonker and Volgenant's assignment
algorithm); one that has no partner counts as unlike everything.
"""

from collections import Counter
from collections.abc import Sequence
from typing import cast

import lap
import numpy as np
from msgspec import Struct

from persona.generation.model import Persona
from persona.generation.text import Floats, TfIdf, most_common_spelling, tfidf

from .compared import LISTS, PLAIN, Compared, terms_of

ALIKE_LENGTHS = 0.1
"""Lists whose lengths differ by no more than this share of the longer are as long."""
THEMES = 20
PERMUTATIONS = 999
_SEED = 20_261_126
"""The same batches always give the same answer."""


class Space(Struct, frozen=True):
    """All personas of all batches in one vocabulary."""

    vectors: Floats
    """(personas, terms), unit rows, batch by batch."""
    model: TfIdf
    spellings: dict[str, str]
    """The commonest spelling of each stem."""
    firsts: tuple[int, ...]
    """Where each batch begins, and one past the last."""

    def of(self, place: int) -> Floats:
        return self.vectors[self.firsts[place] : self.firsts[place + 1]]


def space_of(batches: Sequence[Compared], language: str) -> Space:
    documents = [
        terms_of(persona, language) for compared in batches for persona in compared.personas
    ]
    spelt: dict[str, Counter[str]] = {}
    for document in documents:
        for stem, spelling in document:
            spelt.setdefault(stem, Counter())[spelling] += 1
    model = tfidf([stem for stem, _ in document] for document in documents)
    vectors = np.zeros((len(documents), model.matrix.width), dtype=np.float32)
    for row in range(len(documents)):
        columns, values = model.matrix.row(row)
        vectors[row, columns] = values
    firsts = [0]
    for compared in batches:
        firsts.append(firsts[-1] + len(compared.personas))
    spellings = {stem: most_common_spelling(counts) for stem, counts in spelt.items()}
    return Space(vectors, model, spellings, tuple(firsts))


def matched(a: Floats, b: Floats) -> list[tuple[int, int, float]]:
    """Which row of one goes with which of the other, and their cosine."""
    similarity = np.clip(a @ b.T, 0, 1).astype(np.float64)
    _, partners, _ = lap.lapjv(1 - similarity, extend_cost=True)
    return [
        (row, int(column), float(similarity[row, column]))
        for row, column in enumerate(partners)
        if column >= 0
    ]


def structural(a: Persona, b: Persona) -> float:
    """The mean of: fields that both fill of those that either fills; of these, the share of one
    type; and of lists, the share that is about as long."""
    ours, theirs = _filled(a), _filled(b)
    either, both = ours.keys() | theirs.keys(), ours.keys() & theirs.keys()
    if not either:
        return 1.0
    parts = [len(both) / len(either)]
    if both:
        parts.append(sum(type(ours[name]) is type(theirs[name]) for name in both) / len(both))
    if lists := [name for name in LISTS if name in either]:
        alike = sum(_is_as_long(getattr(a, name), getattr(b, name)) for name in lists)
        parts.append(alike / len(lists))
    return sum(parts) / len(parts)


def _filled(persona: Persona) -> dict[str, object]:
    every = {name: getattr(persona, name) for name in (*PLAIN, *LISTS)}
    return {name: value for name, value in every.items() if value}


def _is_as_long(a: Sequence[str], b: Sequence[str]) -> bool:
    return abs(len(a) - len(b)) <= ALIKE_LENGTHS * max(len(a), len(b))


def quality(a: Compared, b: Compared) -> float | None:
    """One minus the mean absolute difference of the metrics' means; None without scores."""
    means = [_means(compared) for compared in (a, b)]
    common = sorted(means[0].keys() & means[1].keys())
    if not common:
        return None
    return 1 - sum(abs(means[0][name] - means[1][name]) for name in common) / len(common)


def _means(compared: Compared) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for persona in compared.personas:
        for name, score in compared.scores.get(persona.id, {}).items():
            values.setdefault(name, []).append(score)
    return {name: sum(some) / len(some) for name, some in values.items()}


def themes(space: Space, place: int) -> list[str]:
    """The stems that weigh most in a batch, the heaviest first; equals alphabetically."""
    weights = space.of(place).sum(axis=0)
    names = space.model.vocabulary
    order = sorted(np.flatnonzero(weights), key=lambda at: (-weights[at], names[at]))
    return [names[at] for at in order[:THEMES]]


def rarity_of_means(a: Sequence[float], b: Sequence[float]) -> float:
    """How often shuffled personas differ as much: a permutation test of the difference of means,
    both ways, with one added (Phipson and Smyth 2010)."""
    pooled = np.asarray([*a, *b], dtype=np.float64)
    labels = _shuffled(len(a), len(b))
    sums = labels @ pooled
    differences = np.abs(sums / len(a) - (pooled.sum() - sums) / len(b))
    return _rarity(differences[1:], float(differences[0]))


def rarity_of_contents(a: Floats, b: Floats) -> float:
    """How often shuffled batches are as unlike: those of one batch to each other, less those of
    two (an energy statistic, one-sided)."""
    every = np.vstack((a, b))
    similarity = every @ every.T
    np.fill_diagonal(similarity, 0)
    labels = _shuffled(len(a), len(b)).astype(np.float32)
    others = 1 - labels
    within_a = np.einsum("pi,pi->p", labels @ similarity, labels)
    within_b = np.einsum("pi,pi->p", others @ similarity, others)
    between = np.einsum("pi,pi->p", labels @ similarity, others)
    n, m = len(a), len(b)
    within = within_a / max(1, n * (n - 1)) + within_b / max(1, m * (m - 1))
    unlike = within / 2 - between / (n * m)
    return _rarity(unlike[1:], float(unlike[0]))


def _shuffled(n: int, m: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Who is of the first batch: as it is in the first row, by chance in the others."""
    true = np.repeat([1.0, 0.0], [n, m])
    rng = np.random.default_rng(_SEED)
    chance = rng.permuted(np.tile(true, (PERMUTATIONS, 1)), axis=1)
    return cast("np.ndarray[tuple[int, int], np.dtype[np.float64]]", np.vstack((true, chance)))


def _rarity(by_chance: np.ndarray[tuple[int], np.dtype[np.float64]], found: float) -> float:
    at_least = int((by_chance >= found - 1e-9).sum())
    return (1 + at_least) / (1 + len(by_chance))


def holm(rarities: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of several tests hold at `level` together (Holm 1979)."""
    kept = [False] * len(rarities)
    order = sorted(range(len(rarities)), key=rarities.__getitem__)
    for rank, place in enumerate(order):
        if rarities[place] > level / (len(rarities) - rank):
            break
        kept[place] = True
    return kept
