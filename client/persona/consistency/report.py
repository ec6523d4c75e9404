"""What a comparison of batches comes to: the document of `quality consistency`."""

from collections.abc import Sequence
from itertools import combinations
from statistics import mean

from msgspec import Struct

from . import agreement
from .compared import Compared, language_of, style_of, values_of

STYLES = ("words", "sentence_words", "first_person")
CONTENT = "content"
_CLOSE, _ALIKE = 0.75, 0.5
"""From here on, in all and in what they say, batches agree: personas of one form and worth alike
come to two thirds in all, whatever they say."""
_OTHER_SIZES = (
    "the batches have different numbers of personas, and who has no partner agrees with nobody: "
    "batches of one size tell"
)


class Pair(Struct, frozen=True, kw_only=True):
    """How far two batches agree, each from 0 to 1."""

    a: str
    b: str
    structural: float
    semantic: float
    quality: float | None
    """Null where the batches were not scored by one scorer."""
    overall: float
    """The plain mean of those that there are."""
    matched: int
    """Personas that have a partner; those without count as unlike everything."""
    personas: int
    """Of the larger batch."""


class Difference(Struct, frozen=True, kw_only=True):
    """How far two batches lie apart by one measure, and whether that is more than chance."""

    a: str
    b: str
    measure: str
    a_mean: float | None
    """Null for `content`, which is no mean."""
    b_mean: float | None
    p: float
    significant: bool
    """At 5 % over all measures of the pair (Holm)."""


class Themes(Struct, frozen=True, kw_only=True):
    """The 20 terms that weigh most in each batch."""

    shared: list[str]
    """In every batch's."""
    only: dict[str, list[str]]
    """By batch: in no other's."""
    jaccard: float
    """Of what is shared to what is in any; the mean over pairs."""


class Made(Struct, frozen=True, kw_only=True):
    """A batch that was compared."""

    batch: str
    provider: str
    model: str
    personas: int
    cost_per_persona_nanousd: int | None


class Consistency(Struct, frozen=True, kw_only=True):
    """The document."""

    kind: str
    """`consistency`, or `reproducibility` where one model made all batches."""
    language: str
    scorer: str | None
    batches: list[Made]
    pairs: list[Pair]
    overall: float
    style: dict[str, dict[str, float]]
    """By batch: words a persona, words a sentence, the share of first-person words outside of
    quotes."""
    differences: list[Difference]
    themes: Themes
    recommendation: str


def compare(batches: Sequence[Compared], scorer: str | None) -> Consistency:
    """Every pair of batches that were made from one source.

    Args:
        batches: at least two, each with at least one persona.
    """
    language = language_of(persona for compared in batches for persona in compared.personas)
    space = agreement.space_of(batches, language)
    places = list(combinations(range(len(batches)), 2))
    pairs = [_pair(batches, space, *pair) for pair in places]
    differences = [
        each for pair in places for each in _differences(batches, space, language, *pair)
    ]
    overall = mean(pair.overall for pair in pairs)
    is_one_model = len({compared.maker for compared in batches}) == 1
    return Consistency(
        kind="reproducibility" if is_one_model else "consistency",
        language=language,
        scorer=scorer,
        batches=[
            Made(
                batch=compared.batch,
                provider=compared.provider,
                model=compared.model,
                personas=len(compared.personas),
                cost_per_persona_nanousd=compared.cost_per_persona_nanousd,
            )
            for compared in batches
        ],
        pairs=pairs,
        overall=overall,
        style={compared.batch: _style(compared, language) for compared in batches},
        differences=differences,
        themes=_themes(batches, space),
        recommendation=_recommendation(batches, pairs, differences, is_one_model),
    )


def _pair(batches: Sequence[Compared], space: agreement.Space, i: int, j: int) -> Pair:
    a, b = batches[i], batches[j]
    found = agreement.matched(space.of(i), space.of(j))
    larger = max(len(a.personas), len(b.personas))
    structural = mean(
        agreement.structural(a.personas[row], b.personas[column]) for row, column, _ in found
    )
    semantic = sum(similarity for *_, similarity in found) / larger
    quality = agreement.quality(a, b)
    known = [each for each in (structural, semantic, quality) if each is not None]
    return Pair(
        a=a.batch,
        b=b.batch,
        structural=structural,
        semantic=semantic,
        quality=quality,
        overall=mean(known),
        matched=len(found),
        personas=larger,
    )


def _differences(
    batches: Sequence[Compared], space: agreement.Space, language: str, i: int, j: int
) -> list[Difference]:
    a, b = batches[i], batches[j]
    ours, theirs = values_of(a, language), values_of(b, language)
    told: list[tuple[str, float | None, float | None, float]] = [
        (
            name,
            mean(ours[name]),
            mean(theirs[name]),
            agreement.rarity_of_means(ours[name], theirs[name]),
        )
        for name in ours
        if name in theirs
    ]
    if min(len(a.personas), len(b.personas)) > 1:
        rarity = agreement.rarity_of_contents(space.of(i), space.of(j))
        told.append((CONTENT, None, None, rarity))
    kept = agreement.holm([rarity for *_, rarity in told])
    return [
        Difference(
            a=a.batch, b=b.batch, measure=name, a_mean=one, b_mean=other, p=p, significant=holds
        )
        for (name, one, other, p), holds in zip(told, kept, strict=True)
    ]


def _style(compared: Compared, language: str) -> dict[str, float]:
    told = [style_of(persona, language) for persona in compared.personas]
    return {
        name: mean(each[name] for each in told if name in each)
        for name in STYLES
        if any(name in each for each in told)
    }


def _themes(batches: Sequence[Compared], space: agreement.Space) -> Themes:
    found = [agreement.themes(space, place) for place in range(len(batches))]
    sets = [set(names) for names in found]
    shared = set.intersection(*sets)
    jaccards = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in combinations(sets, 2)]
    return Themes(
        shared=[space.spellings[name] for name in found[0] if name in shared],
        only={
            compared.batch: [
                space.spellings[name]
                for name in names
                if not any(name in other for at, other in enumerate(sets) if at != place)
            ]
            for place, (compared, names) in enumerate(zip(batches, found, strict=True))
        },
        jaccard=mean(jaccards),
    )


def _recommendation(
    batches: Sequence[Compared],
    pairs: Sequence[Pair],
    differences: Sequence[Difference],
    is_one_model: bool,
) -> str:
    """What follows from it, in a sentence."""
    by_name = {compared.batch: compared for compared in batches}
    better = [each for each in differences if each.measure == "composite" and each.significant]
    agree = mean(pair.overall for pair in pairs) >= _CLOSE and all(
        pair.semantic >= _ALIKE for pair in pairs
    )
    are_of_one_size = len({len(compared.personas) for compared in batches}) == 1
    if is_one_model:
        if not are_of_one_size:
            return f"{_OTHER_SIZES} whether another run gives the same"
        if better or not agree:
            return (
                "another run gives other personas: make more of them and keep what recurs, "
                "or give a seed or a lower temperature where the provider has one"
            )
        return "another run gives about the same personas: one run is enough"
    if better:
        names = {_better(each) for each in better}
        if len(names) == 1:
            best = by_name[names.pop()]
            return f"{best.maker} scores higher beyond chance: prefer it where quality counts"
        return "no batch is best by every comparison: read the pairs"
    priced = [each for each in batches if each.cost_per_persona_nanousd is not None]
    if len(priced) == len(batches):
        cheapest = min(priced, key=lambda each: each.cost_per_persona_nanousd or 0)
        if len({each.cost_per_persona_nanousd for each in priced}) > 1:
            said = "none scores higher beyond chance"
            if agree:
                said = f"the batches agree, and {said}"
            return f"{said}: {cheapest.maker} is the cheapest"
    if agree:
        return "the batches agree, and none scores higher beyond chance: take whichever you like"
    if not are_of_one_size:
        return f"{_OTHER_SIZES} whether they tell the same stories; none scores better"
    return "the batches tell different stories, and none scores higher beyond chance: read them all"


def _better(each: Difference) -> str:
    return each.a if (each.a_mean or 0) > (each.b_mean or 0) else each.b
