"""Models that would have cost less, and whose personas here were no worse."""

import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from personad.analytics.optimising import Bill, Saving, Terms, Usage, Way, moved
from personad.contract import optimise as o
from personad.projections.optimise_facts import Facts, Model
from personad.projections.optimise_ways import Candidate, by_model, named, told, used_models

if TYPE_CHECKING:
    from personad.analytics.score_difference import Difference, Sample

LEAST_SCORES = 20
LEAST_CALLS = 20
LOSS_MOST = 0.05
"""What an interval may reach below no difference, so that "no worse" says something."""
LOSS_MEDIUM, LOSS_HIGH = 0.03, 0.01
_NO_MODELS = frozenset({"simulated"})
"""Providers whose models nobody would use."""
_OF_GENERATE = frozenset({"anthropic", "gemini", "local", "ollama", "openai"})
"""Those that `persona generate` has."""
_UNIT = 10_000
_SEED = 20_261


def models(facts: Facts, notes: list[str], least_nanousd: int) -> Iterator[Candidate]:
    """Models that are cheaper by so much at least, and no worse here beyond chance; `notes`
    gets those of which too little is known."""
    totals, samples = by_model(facts), _Samples(facts)
    for used in used_models(facts):
        untold = []
        for other in sorted(facts.scores):
            if other == used or other[0] in _NO_MODELS or used[0] in _NO_MODELS:
                continue
            changed = _to_model(used, other, totals)
            if changed is None or _saved(facts, changed) < least_nanousd:
                continue
            found = samples.compared(used, other)
            if found is None:
                untold.append(named(other))
                continue
            scorer, difference = found
            if difference.high < 0:
                continue
            if difference.low < -LOSS_MOST:
                untold.append(named(other))
                continue
            yield _model(facts, used, other, scorer, difference, changed, totals)
        if untold:
            notes.append(
                f"{' and '.join(untold)} would cost less than {named(used)}, but there are too few "
                "scores of both here to say whether it is worse; "
                "`persona generate --compare` makes some"
            )


def _model(
    facts: Facts,
    used: Model,
    other: Model,
    scorer: str,
    difference: "Difference",
    changed: Callable[[Bill], Terms | None],
    totals: dict[Model, dict[str, Usage]],
) -> Candidate:
    ours, theirs = facts.scores[used][scorer], facts.scores[other][scorer]
    output_ratio, attempts_ratio = _ratios(totals[used], totals[other])

    def evidence(saving: Saving) -> o.Evidence:
        return o.ModelEvidence(
            provider=used[0],
            model=used[1],
            instead_provider=other[0],
            instead_model=other[1],
            scorer=scorer,
            scores=ours.n,
            instead_scores=theirs.n,
            quality=ours.mean / _UNIT,
            instead_quality=theirs.mean / _UNIT,
            quality_difference=difference.mean,
            quality_low=difference.low,
            quality_high=difference.high,
            output_ratio=output_ratio,
            attempts_ratio=attempts_ratio,
            **told(saving),
        )

    confidence: o.Confidence = "low"
    if difference.low >= -LOSS_HIGH:
        confidence = "high"
    elif difference.low >= -LOSS_MEDIUM:
        confidence = "medium"
    return Candidate(
        way=Way(f"model:{named(used)}>{named(other)}", changed, excludes=f"model:{named(used)}"),
        title=f"Use {named(other)} instead of {named(used)}",
        evidence=evidence,
        confidence=confidence,
        apply=chosen_by(other),
        behind=lambda call: (call.provider, call.model) == used,
    )


def chosen_by(model: Model) -> str:
    """The command by which it is the one that is used."""
    provider, name = model
    if provider not in _OF_GENERATE:
        return f"name {named(model)} in the program that makes these calls"
    return (
        f"persona config set generate.provider {shlex.quote(provider)} && "
        f"persona config set generate.model {shlex.quote(name)}"
    )


def _ratios(used: dict[str, Usage], other: dict[str, Usage]) -> tuple[float, float]:
    """Output tokens a call that had an answer, and calls until one has: of the other model, for
    each of the used one. Below 1 they count as 1: what is saved should not rest on it."""

    def written(by: dict[str, Usage]) -> float:
        return by["ok"].output_tokens / by["ok"].calls

    def attempts(by: dict[str, Usage]) -> float:
        return sum(usage.calls for usage in by.values()) / by["ok"].calls

    output = written(other) / written(used) if written(used) else 1.0
    return max(1.0, output), max(1.0, attempts(other) / attempts(used))


def _to_model(
    used: Model, other: Model, totals: dict[Model, dict[str, Usage]]
) -> Callable[[Bill], Terms | None] | None:
    """None where either was called too seldom to say what it takes."""
    for model in (used, other):
        answered = totals.get(model, {}).get("ok")
        if answered is None or answered.calls < LEAST_CALLS:
            return None
    ratios = _ratios(totals[used], totals[other])

    def changed(bill: Bill) -> Terms | None:
        terms = bill.terms
        if terms.is_moved or (terms.provider, terms.model) != used:
            return None
        return Terms(*other, moved(terms.usage, *ratios), terms.is_batch, is_moved=True)

    return changed


def _saved(facts: Facts, changed: Callable[[Bill], Terms | None]) -> int:
    """By prices alone, before anything is asked of quality; 0 where nobody knows these."""
    saved = 0
    for bill in facts.bills:
        if (terms := changed(bill)) is not None:
            would_be = facts.price(terms, bill.cell.stretch)
            if would_be is None:
                return 0
            saved += bill.left_nanousd - would_be
    return saved


class _Samples(dict[tuple[Model, str], "Sample"]):
    """Each model's scores by a scorer, drawn once."""

    def __init__(self, facts: Facts) -> None:
        import numpy as np  # a daemon starts without it

        self._scores = facts.scores
        self._rng = np.random.default_rng(_SEED)

    def __missing__(self, key: tuple[Model, str]) -> "Sample":
        from personad.analytics.score_difference import sampled

        model, scorer = key
        self[key] = found = sampled(self._scores[model][scorer], self._rng)
        return found

    def compared(self, used: Model, other: Model) -> "tuple[str, Difference] | None":
        """By the scorer of which there are most scores of both; None where these are too few."""
        from personad.analytics.score_difference import Difference, difference

        ours, theirs = self._scores.get(used, {}), self._scores.get(other, {})

        def scores(scorer: str) -> int:
            return min(ours[scorer].n, theirs[scorer].n)

        both = ours.keys() & theirs.keys()
        scorer = max(both, key=lambda each: (scores(each), each), default=None)
        if scorer is None or scores(scorer) < LEAST_SCORES:
            return None
        found = difference(self[used, scorer], self[other, scorer])
        return scorer, Difference(*(each / _UNIT for each in found))
